from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from addons.reload import Reload
from proxy.config import Config, ConfigError, load

LIVE = {"upstream": frozenset({"mode"}), "access": frozenset({"ports"})}


def test_live_keys_change_others_are_told_and_bad_ones_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sketchwire.reload")
    applied: list[Config] = []
    answers: list[Config | Exception] = [
        load(None, {"upstream": {"mode": "edges", "listen_port": 9}}),
        ConfigError("line 3"),
        load(None, {"upstream": {"mode": "salient", "listen_port": 9}}),
    ]

    def read() -> Config:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def prepare(config: Config) -> Callable[[], None]:
        if config.upstream.mode == "salient":
            raise ValueError("a file is missing")
        return lambda: applied.append(config)

    reload = Reload(Config(), read, prepare, LIVE)
    assert [reload.reload() for _ in range(3)] == [True, False, False]
    (config,) = applied
    assert config.upstream.mode == "edges" and config.upstream.listen_port == Config().upstream.listen_port
    assert "[upstream] mode" in caplog.text and "take a restart: [upstream] listen_port" in caplog.text
    assert "stays as it was: line 3" in caplog.text and "stays as it was: a file is missing" in caplog.text


def test_without_a_file_there_is_nothing_to_read() -> None:
    assert not Reload(Config(), None, lambda config: lambda: None, LIVE).reload()
