"""The registry: what is known, what works here, and what `auto` takes."""

from __future__ import annotations

import numpy as np
import pytest

from client_runtime import engines
from client_runtime.engines import AUTO_ORDER, ENGINES, EngineUnavailable, Registered, available, best_available, create
from client_runtime.engines.base import Capabilities, Task
from client_runtime.engines.preview import MODES, PreviewEngine
from proxy.bundle import Bundle, UnsupportedBundle, preview, unpack
from proxy.config import MODES as ALL_MODES
from proxy.config import RuntimeConfig


class Stub(PreviewEngine):
    pass


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Registered]:
    """A registry that a test may change."""
    changed = dict(ENGINES)
    monkeypatch.setattr(engines, "ENGINES", changed)
    return changed


def config(engine: str) -> RuntimeConfig:
    return RuntimeConfig(engine=engine)


def test_every_engine_tells_whether_it_works_here() -> None:
    told = {item.engine: item.reason for item in available()}
    assert set(told) == {"preview", "sketch", "diffusion"} and told["preview"] is None
    assert best_available() in AUTO_ORDER


def test_auto_takes_the_best_that_works(registry: dict[str, Registered]) -> None:
    registry["sketch"] = Registered(lambda config: Stub(), lambda: None)
    assert type(create(config("auto"))) is Stub and best_available() == "sketch"
    registry["sketch"] = Registered(lambda config: Stub(), lambda: "no weights")
    assert type(create(config("auto"))) is PreviewEngine and best_available() == "preview"


@pytest.mark.parametrize(
    "error", [EngineUnavailable("no device"), OSError("libcudart.so"), ImportError("torch")], ids=repr
)
def test_auto_survives_an_engine_that_fails_to_start(
    registry: dict[str, Registered], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(config: RuntimeConfig) -> PreviewEngine:
        raise error

    registry["sketch"] = Registered(fail, lambda: None)
    assert type(create(config("auto"))) is PreviewEngine
    assert "sketch" in caplog.text and str(error) in caplog.text


def test_an_engine_asked_for_by_name_is_not_replaced(registry: dict[str, Registered]) -> None:
    def fail(config: RuntimeConfig) -> PreviewEngine:
        raise OSError("libcudart.so is missing")

    registry["sketch"] = Registered(fail, lambda: None)
    with pytest.raises(EngineUnavailable, match=r"sketch: .*libcudart"):
        create(config("sketch"))
    registry["sketch"] = Registered(fail, lambda: "torch is not installed")
    with pytest.raises(EngineUnavailable, match="sketch: torch is not installed"):
        create(config("sketch"))


def test_an_unknown_engine_is_told_with_the_known_ones() -> None:
    with pytest.raises(EngineUnavailable, match=r"'sketsh'.*auto, diffusion, preview, sketch; did you mean 'sketch'"):
        create(config("sketsh"))


@pytest.mark.parametrize(
    ("engine", "fingerprint"), [("Sketch", "01234567"), ("a@b", "01234567"), ("a", "0123"), ("a", "XYZ" * 5)]
)
def test_capabilities_refuse_what_cannot_cross_the_link(engine: str, fingerprint: str) -> None:
    with pytest.raises(ValueError, match=r"id|fingerprint"):
        Capabilities(engine, fingerprint, ())


def test_the_preview_engine_draws_the_preview(bundle) -> None:  # type: ignore[no-untyped-def]
    tasks = [Task(unpack(bundle(seed=seed))) for seed in (1, 2)]
    images = PreviewEngine().reconstruct(tasks)
    assert all(np.array_equal(image, preview.render(task.bundle)) for image, task in zip(images, tasks, strict=True))


def test_the_previews_fingerprint_follows_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = PreviewEngine().capabilities()
    assert before == PreviewEngine().capabilities() and set(before.modes) == set(MODES) < set(ALL_MODES)
    monkeypatch.setattr("client_runtime.engines.preview.VERSION", preview.VERSION + 1)
    assert PreviewEngine().capabilities().fingerprint != before.fingerprint


def test_the_preview_engine_refuses_a_blank_sheet() -> None:
    with pytest.raises(UnsupportedBundle, match="words"):
        PreviewEngine().reconstruct([Task(Bundle(8, 8), "a cat")])
