"""From diffusion to sketch to preview: who draws when the engine that was asked for cannot, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from client_runtime import engines
from client_runtime.engines import EngineUnavailable, Registered, instead_of, ladder
from client_runtime.engines.base import EngineFailed, Fallback
from client_runtime.engines.preview import PreviewEngine
from client_runtime.service.server import StartError, serving
from proxy.config import RuntimeConfig

Make = Callable[..., bytes]
Serve = Callable[..., Awaitable[SimpleNamespace]]
DIFFUSION = RuntimeConfig(engine="diffusion")
REASONS = [Fallback.OUT_OF_MEMORY, Fallback.BROKEN_IMAGE, Fallback.DEADLINE, Fallback.ENGINE_FAILED]


@pytest.fixture
def sketch(monkeypatch: pytest.MonkeyPatch, new_engine: Any) -> Any:
    """A fake in the place of the sketch engine."""
    made = new_engine("sketch", "aaaaaaaaaaaaaaaa")
    registry = engines.ENGINES | {"sketch": Registered(lambda config: made, lambda: None)}
    monkeypatch.setattr(engines, "ENGINES", registry)
    return made


def missing(reason: Fallback = Fallback.MISSING_WEIGHTS) -> EngineUnavailable:
    return EngineUnavailable("diffusion: no weights; fetch them with: sketchwire models pull sd15-lcm", reason)


async def ask(at: SimpleNamespace, data: bytes, **headers: str) -> tuple[int, Any, Any]:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    async with at.session.post("/v1/reconstruct", data=data, headers=fields) as answer:
        await answer.read()
        async with at.session.get("/healthz") as health:
            return answer.status, answer.headers, await health.json()


@pytest.mark.parametrize("reason", REASONS)
async def test_a_failing_engine_is_followed_by_the_next(
    serve: Serve, new_engine: Any, sketch: Any, bundle: Make, reason: Fallback
) -> None:
    top = new_engine("diffusion")
    top.error = lambda tasks: EngineFailed("no", reason)
    at = await serve(top)
    status, headers, health = await ask(at, bundle())
    assert status == 200 and headers["Sketchwire-Engine"] == "sketch@aaaaaaaa"
    assert headers["Sketchwire-Fallback"] == reason.value
    assert health["reasons"] == {reason.value: 1} and health["fallbacks"] == 1
    sketch.error = lambda tasks: RuntimeError("neither")
    status, headers, health = await ask(at, bundle(seed=1))
    assert status == 200 and headers["Sketchwire-Engine"].startswith("preview@")
    assert headers["Sketchwire-Fallback"] == reason.value and health["reasons"] == {reason.value: 2}


async def test_a_lesser_engines_picture_is_not_kept_for_the_better_one(
    serve: Serve, new_engine: Any, sketch: Any, bundle: Make
) -> None:
    top = new_engine("diffusion")
    top.error = lambda tasks: EngineFailed("no", Fallback.OUT_OF_MEMORY)
    at = await serve(top)
    await ask(at, bundle())
    top.error = lambda tasks: None
    _, headers, _ = await ask(at, bundle())
    assert headers["Sketchwire-Engine"].startswith("diffusion@") and headers["Sketchwire-Cache"] == "miss"


async def test_the_engine_is_told_when_to_stop(serve: Serve, new_engine: Any, sketch: Any, bundle: Make) -> None:
    top = new_engine("diffusion")
    at = await serve(top)
    loop = asyncio.get_running_loop()
    before_s = loop.time()
    await ask(at, bundle(), Sketchwire_Deadline_Ms="4000")
    await ask(at, bundle(seed=1), Sketchwire_Deadline_Ms="60000")
    [[short], [long]] = top.batches
    assert before_s + 2 < short.until_s <= loop.time() + 3.0  # a quarter is left for the next engine
    assert before_s + 57 < long.until_s <= loop.time() + 58.5  # or one and a half seconds


async def test_without_weights_the_next_engine_serves_under_its_own_name(
    tmp_path: Path, sketch: Any, bundle: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def make() -> Any:
        raise missing()

    config = RuntimeConfig(engine="diffusion", listen_port=0, state_dir=str(tmp_path), batch_wait_ms=0.0)
    async with serving(config, make) as (ready, _), aiohttp.ClientSession(f"http://127.0.0.1:{ready.port}") as s:
        assert ready.engine == "sketch@aaaaaaaa" and "models pull" in caplog.text
        at = SimpleNamespace(session=s)
        status, headers, health = await ask(at, bundle())
        assert status == 200 and headers["Sketchwire-Engine"] == "sketch@aaaaaaaa"
        assert health["reasons"] == {"missing-weights": 1} and health["missing"]["engine"] == "diffusion"
        assert "models pull sd15-lcm" in health["missing"]["message"]
        async with s.get("/v1/capabilities") as answer:
            told = await answer.json()
        assert told["engine"] == "sketch" and told["fallback"].startswith("preview@")


async def test_a_wrong_configuration_is_not_covered_up(tmp_path: Path) -> None:
    config = RuntimeConfig(engine="diffusion", profile="sd15-lmc", listen_port=0, state_dir=str(tmp_path))
    with pytest.raises(StartError, match="did you mean 'sd15-lcm'"):
        async with serving(config):
            pass


def test_only_the_diffusion_engine_is_replaced(sketch: Any) -> None:
    made, told = instead_of(DIFFUSION, missing(Fallback.BROKEN_WEIGHTS))
    assert made is sketch and told.reason is Fallback.BROKEN_WEIGHTS and told.engine == "diffusion"
    for config, reason in ((DIFFUSION, Fallback.UNAVAILABLE), (RuntimeConfig(engine="sketch"), Fallback.ENGINE_FAILED)):
        with pytest.raises(EngineUnavailable, match="no weights"):
            instead_of(config, missing(reason))


def test_the_ladder_goes_down_from_where_it_starts(new_engine: Any, sketch: Any) -> None:
    def ids(top: Any) -> list[str]:
        return [engine.capabilities().engine for engine in ladder(top, DIFFUSION)]

    assert ids(new_engine("diffusion")) == ["diffusion", "sketch", "preview"]
    assert ids(sketch) == ["sketch", "preview"]
    assert ids(PreviewEngine()) == ["preview"]
    assert ids(new_engine("someones-own")) == ["someones-own", "preview"]
    engines.ENGINES["sketch"] = Registered(lambda config: sketch, lambda: "torch is not installed")
    assert ids(new_engine("diffusion")) == ["diffusion", "preview"]
