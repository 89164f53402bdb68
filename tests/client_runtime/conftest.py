"""A fake engine, small bundles and a service on a real port, for tests whose subject is something else."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import numpy as np
import pytest
from PIL import Image

from client_runtime.engines.base import Capabilities, Task
from client_runtime.service.server import serving
from proxy.bundle import Bundle, Coding, Picture, Prompt, pack, webp
from proxy.config import RuntimeConfig

PATIENCE_S = 10.0


class FakeEngine:
    """Draws plain pictures whose colour is the bundle's seed; waits at its gate, fails and lies when told to."""

    def __init__(
        self, engine: str = "fake", fingerprint: str = "0123456789abcdef", together: int | None = None
    ) -> None:
        self._capabilities = Capabilities(engine, fingerprint, ("thumbnail",), together)
        self.batches: list[list[Task]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.error: Callable[[Sequence[Task]], Exception | None] = lambda tasks: None
        self.change: Callable[[Any], Any] = lambda image: image
        self.threads: set[int] = set()
        self.closed = False

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def reconstruct(self, tasks: Sequence[Task]) -> list[Any]:
        self.batches.append(list(tasks))
        self.threads.add(threading.get_ident())
        self.entered.release()
        assert self.gate.wait(PATIENCE_S), "the test never opened the gate"
        error = self.error(tasks)
        if error is not None:
            raise error
        return [
            self.change(np.full((t.bundle.height_px, t.bundle.width_px, 3), t.bundle.seed % 256, np.uint8))
            for t in tasks
        ]

    def close(self) -> None:
        self.closed = True

    @property
    def drawn_seeds(self) -> list[int]:
        return [task.bundle.seed for batch in self.batches for task in batch]


def make_bundle(width_px: int = 64, height_px: int = 48, seed: int = 0, text: str | None = None) -> bytes:
    """A packed bundle with an 8×6 thumbnail, one colour a pixel."""
    rows, columns = np.mgrid[:6, :8]
    rgb = np.stack([rows * 40, columns * 30, rows * 0 + seed % 256], axis=2).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "WEBP", lossless=True)
    stream, _ = webp.strip(file.getvalue())
    thumbnail = Picture(Coding.WEBP_LOSSLESS, 8, 6, stream)
    prompt = Prompt(text) if text is not None else None
    return pack(Bundle(width_px, height_px, seed, prompt=prompt, thumbnail=thumbnail))


@pytest.fixture
def bundle() -> Callable[..., bytes]:
    return make_bundle


@pytest.fixture
def new_engine() -> type[FakeEngine]:
    return FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[SimpleNamespace]]]:
    """Starts services: `await serve(engine, setting=…)` gives url, port, service and a session to ask it with."""
    engines: list[FakeEngine] = []
    async with AsyncExitStack() as stack:

        async def start(engine: Any, **settings: Any) -> SimpleNamespace:
            engines.append(engine)
            defaults = {"listen_port": 0, "state_dir": str(tmp_path / "state"), "batch_wait_ms": 0.0}
            config = RuntimeConfig(**{**defaults, **settings})
            ready, service = await stack.enter_async_context(serving(config, lambda: engine, drain_s=3.0))
            url = f"http://{ready.host}:{ready.port}"
            session = await stack.enter_async_context(aiohttp.ClientSession(url))
            return SimpleNamespace(url=url, port=ready.port, service=service, session=session, engine=engine)

        yield start
        for engine in engines:
            if isinstance(engine, FakeEngine):
                engine.gate.set()
