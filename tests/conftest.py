"""What tests of several packages use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.redis_server import RedisServer


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Running; its folder has a short name, since a socket's path must not be long."""
    from tests.redis_server import RedisServer

    server = RedisServer(tmp_path_factory.mktemp("r"))
    yield server
    server.kill()
