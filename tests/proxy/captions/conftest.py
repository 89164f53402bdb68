from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from skimage import data as samples

from proxy.captions import Captioner
from proxy.captions import captioner as captioner_module
from proxy.captions.outcome import NoCaption
from proxy.captions.sight import Sight, look
from proxy.config import CaptionsConfig
from tests.proxy.captions.llm import FakeServer

KEY = "sk-test-abcdefgh12345678"


class HereEye:
    """`look` in this process: starting one takes seconds."""

    def __init__(self, side_px: int) -> None:
        self._side_px = side_px

    async def look(self, data: bytes) -> Sight | NoCaption:
        return look(data, self._side_px)

    def close(self) -> None:
        pass


def jpeg(name: str, quality: int = 90, side_px: int = 0) -> bytes:
    image = Image.fromarray(getattr(samples, name)())
    if side_px:
        image.thumbnail((side_px, side_px))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


@pytest.fixture(scope="session")
def coffee() -> bytes:
    return jpeg("coffee")


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    return jpeg("astronaut")


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    runner = await fake.start()
    yield fake
    await runner.cleanup()


@pytest.fixture
async def captioner_with(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Captioner]]:
    monkeypatch.setattr(captioner_module, "Eye", HereEye)
    monkeypatch.setattr(captioner_module, "FIRST_WAIT_S", 0.01)
    made: list[Captioner] = []

    def make(**changes: object) -> Captioner:
        config = replace(CaptionsConfig(enabled=True, base_url=server.url, model="tiny", timeout_s=5.0), **changes)
        made.append(Captioner(config, tmp_path, {"OPENAI_API_KEY": KEY}))
        return made[-1]

    yield make
    for captioner in made:
        await captioner.close()
