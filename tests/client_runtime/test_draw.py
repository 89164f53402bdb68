"""Engines that fail or lie, and what becomes of their neighbours."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from client_runtime.engines.base import EngineFailed, Task
from client_runtime.engines.preview import PreviewEngine
from client_runtime.service.draw import Drawn, Failed, Fallback, Refused, draw
from proxy.bundle import Bundle, BundleError, UnsupportedBundle, unpack

Make = Callable[..., bytes]


def tasks(bundle: Make, *seeds: int) -> list[Task]:
    return [Task(unpack(bundle(seed=seed))) for seed in seeds]


def test_a_good_engine_draws_everything_at_once(engine: Any, bundle: Make) -> None:
    outcomes = draw([engine, PreviewEngine()], tasks(bundle, 1, 2, 3))
    assert all(isinstance(outcome, Drawn) and outcome.fallback is None for outcome in outcomes)
    assert [outcome.engine for outcome in outcomes] == ["fake@01234567"] * 3
    assert [len(batch) for batch in engine.batches] == [3]


def test_one_bad_bundle_does_not_spoil_its_neighbours(engine: Any, bundle: Make) -> None:
    engine.error = lambda tasks: BundleError("torn") if any(t.bundle.seed == 2 for t in tasks) else None
    first, second, third = draw([engine, PreviewEngine()], tasks(bundle, 1, 2, 3))
    assert isinstance(first, Drawn) and isinstance(third, Drawn)
    assert isinstance(second, Refused) and str(second.error) == "torn"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EngineFailed("the kernel died"), Fallback.ENGINE_FAILED),
        (MemoryError(), Fallback.OUT_OF_MEMORY),
        (EngineFailed("black", Fallback.BROKEN_IMAGE), Fallback.BROKEN_IMAGE),
        (EngineFailed("late", Fallback.DEADLINE), Fallback.DEADLINE),
        (UnsupportedBundle("no edges, please"), Fallback.UNSUPPORTED),
    ],
    ids=repr,
)
def test_a_failing_engine_falls_back_to_the_preview(
    engine: Any, bundle: Make, error: Exception, reason: Fallback, caplog: pytest.LogCaptureFixture
) -> None:
    engine.error = lambda tasks: error
    with caplog.at_level(logging.ERROR):
        [outcome] = draw([engine, PreviewEngine()], tasks(bundle, 1))
    assert isinstance(outcome, Drawn) and outcome.engine.startswith("preview@") and outcome.fallback is reason
    assert bool(caplog.records) == (reason in (Fallback.ENGINE_FAILED, Fallback.BROKEN_IMAGE))


@pytest.mark.parametrize(
    "lie",
    [
        lambda image: image[:-1],
        lambda image: image[..., :1],
        lambda image: image.transpose(1, 0, 2),
        lambda image: image.astype(np.float32),
        lambda image: np.full(image.shape, np.nan),
        lambda image: image.tolist(),
        lambda image: None,
    ],
)
def test_a_lying_engine_falls_back(engine: Any, bundle: Make, lie: Callable[[Any], Any]) -> None:
    engine.change = lie
    [outcome] = draw([engine, PreviewEngine()], tasks(bundle, 1))
    assert isinstance(outcome, Drawn) and outcome.fallback is Fallback.WRONG_OUTPUT
    assert outcome.image.shape == (48, 64, 3) and outcome.image.dtype == np.uint8


def test_an_engine_that_loses_pictures_falls_back(engine: Any, bundle: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "reconstruct", lambda tasks: [])
    outcomes = draw([engine, PreviewEngine()], tasks(bundle, 1, 2))
    assert [outcome.fallback for outcome in outcomes if isinstance(outcome, Drawn)] == [Fallback.WRONG_OUTPUT] * 2


def test_without_another_net_a_failure_is_told(engine: Any, bundle: Make) -> None:
    engine.error = lambda tasks: RuntimeError("secret details")
    assert draw([engine], tasks(bundle, 1)) == [Failed("engine-failed")]


def test_when_the_net_tears_too_it_is_told(engine: Any, new_engine: Any, bundle: Make) -> None:
    net = new_engine("net")
    engine.error = net.error = lambda tasks: RuntimeError("no")
    assert draw([engine, net], tasks(bundle, 1)) == [Failed("engine-failed")]


def test_a_bundle_that_nobody_supports_is_refused(engine: Any) -> None:
    engine.error = lambda tasks: UnsupportedBundle("words only")
    [outcome] = draw([engine, PreviewEngine()], [Task(Bundle(8, 8), "a cat")])
    assert isinstance(outcome, Refused) and isinstance(outcome.error, UnsupportedBundle)


def test_words_alone_that_the_better_engine_failed_at_are_its_failure(engine: Any) -> None:
    engine.error = lambda tasks: EngineFailed("late", Fallback.DEADLINE)
    assert draw([engine, PreviewEngine()], [Task(Bundle(8, 8), "a cat")]) == [Failed("deadline")]


def test_the_first_engine_that_can_draws(engine: Any, new_engine: Any, bundle: Make) -> None:
    second, third = new_engine("second"), new_engine("third")
    engine.error = lambda tasks: EngineFailed("black", Fallback.BROKEN_IMAGE)
    second.error = lambda tasks: EngineFailed("full", Fallback.OUT_OF_MEMORY)
    outcomes = draw([engine, second, third], tasks(bundle, 1, 2))
    assert [(o.engine, o.fallback) for o in outcomes if isinstance(o, Drawn)] == [
        ("third@01234567", Fallback.BROKEN_IMAGE)
    ] * 2
