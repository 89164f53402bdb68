"""The four ways of the paper on tiny networks: sizes, seeds, batches, crops, memory and deadlines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from client_runtime.engines.base import EngineFailed, Fallback, Task
from client_runtime.engines.diffusion.draw import Painter
from client_runtime.engines.diffusion.load import Components, scheduler
from client_runtime.engines.diffusion.profile import SCHEDULERS
from proxy.bundle import Bundle, BundleError, Depicted, Picture, UnsupportedBundle
from proxy.bundle.model import Coding
from proxy.bundle.pixels import crops
from proxy.bundle.preview import SEAM_PX

Paint = Callable[..., Painter]
BundleOf = Callable[..., Bundle]
RGB = npt.NDArray[np.uint8]

WORDS = Bundle(130, 96, seed=3)
SECTIONS = {"prompt": "", "edges": "e", "edges+palette": "pe", "salient": "tes", "thumbnail": "t", "crops alone": "s"}


def task(bundle_of: BundleOf, sections: str, height: int = 96, width: int = 130, seed: int = 3) -> Task:
    bundle = bundle_of(height, width, sections, seed=seed) if sections else Bundle(width, height, seed)
    return Task(bundle, "a cup of coffee")


def far(a: RGB, b: RGB) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("sections", SECTIONS.values(), ids=SECTIONS)
def test_every_mode_draws_the_originals_size_and_the_same_again(
    paint: Paint, bundle_of: BundleOf, sections: str
) -> None:
    first, again = (paint().draw([task(bundle_of, sections)])[0] for _ in range(2))
    assert first.dtype == np.uint8 and first.shape == (96, 130, 3)
    assert np.array_equal(first, again)
    other = paint().draw([task(bundle_of, sections, seed=4)])[0]
    assert far(first, other) > 2


def test_words_and_edges_change_the_picture(paint: Paint, bundle_of: BundleOf) -> None:
    painter = paint()
    [plain] = painter.draw([Task(WORDS, "a cup of coffee")])
    assert far(plain, painter.draw([Task(WORDS, "two dogs")])[0]) > 2
    assert far(plain, painter.draw([task(bundle_of, "e")])[0]) > 2
    drawings = [painter.draw([Task(replace(WORDS, kind=kind), "a cup of coffee")])[0] for kind in Depicted]
    assert all(far(plain, drawing) > 2 for drawing in drawings) and far(drawings[0], drawings[1]) > 2


def test_what_was_sent_is_what_is_shown(paint: Paint, bundle_of: BundleOf, picture: Callable[[int, int], RGB]) -> None:
    [drawn] = paint().draw([task(bundle_of, "pe")])
    wanted = picture(96, 130)
    coarse = [image[:96, :128].reshape(6, 16, 8, 16, 3).mean(axis=(1, 3)) for image in (drawn, wanted)]
    assert np.abs(coarse[0] - coarse[1]).mean() < 12


@pytest.mark.parametrize("sections", ["tes", "s"])
def test_true_crops_are_kept_exactly(paint: Paint, bundle_of: BundleOf, sections: str) -> None:
    asked = task(bundle_of, sections)
    [drawn] = paint().draw([asked])
    salient = asked.bundle.salient
    assert salient is not None
    [crop], [r] = crops(salient), salient.rectangles
    inner = np.s_[SEAM_PX:-SEAM_PX, SEAM_PX:-SEAM_PX]
    shown = drawn[r.y_px : r.y_px + r.height_px, r.x_px : r.x_px + r.width_px]
    assert np.array_equal(shown[inner], crop[inner])


def test_a_picture_does_not_depend_on_its_batch(paint: Paint, bundle_of: BundleOf) -> None:
    sizes = [(96, 130), (130, 96), (100, 100), (40, 300), (96, 130), (17, 16)]
    tasks = [
        task(bundle_of, sections, *size, seed=seed)
        for seed, (size, sections) in enumerate(zip(sizes, ["t", "t", "", "e", "t", "tes"], strict=True))
    ]
    alone = [paint().draw([each])[0] for each in tasks]
    one_by_one = paint()
    assert all(np.array_equal(a, b) for a, b in zip(alone, one_by_one.draw(tasks), strict=True))
    assert set(one_by_one.batches) == {1}
    together = paint(largest_batch=8)
    assert max(far(a, b) for a, b in zip(alone, together.draw(tasks), strict=True)) <= 2
    assert sorted(together.batches) == [1, 1, 1, 1, 2]


def test_batches_for_compiled_code_are_filled_up(paint: Paint, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    painter = paint(largest_batch=8, fixed_batches=(1, 4))
    monkeypatch.setattr(painter, "_start", lambda scenes, own=painter._start: seen.append(len(scenes)) or own(scenes))
    tasks = [Task(Bundle(64, 64, seed), "a cat") for seed in range(7)]
    assert len(painter.draw(tasks)) == 7 and seen == [4, 4]
    painter.draw(tasks[:1])
    assert seen == [4, 4, 1]
    painter.warm_up()
    assert len(seen) == 3 + 3 * 2 * 2  # buckets, sizes, with and without edges


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_sampler_draws_in_every_way(
    paint: Paint, components: Components, bundle_of: BundleOf, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(components, "scheduler", scheduler(name, components.scheduler.config))
    painter = paint(scheduler=name, guidance=3.0, negative_prompt="blurry")
    tasks = [task(bundle_of, sections, 64, 64) for sections in ("", "e", "pe", "tes")]
    assert [image.shape for image in painter.draw(tasks)] == [(64, 64, 3)] * 4


def test_the_negative_prompt_counts_only_with_guidance(paint: Paint) -> None:
    asked = [Task(WORDS, "a cat")]

    def drawn(guidance: float, negative: str) -> RGB:
        return paint(guidance=guidance, negative_prompt=negative, scheduler="ddim").draw(asked)[0]

    assert np.array_equal(drawn(1.0, "blurry"), drawn(1.0, "watermark"))
    assert far(drawn(5.0, "blurry"), drawn(5.0, "watermark")) > 0


def test_a_large_picture_is_drawn_again_in_windows(paint: Paint, bundle_of: BundleOf) -> None:
    asked = [task(bundle_of, "te", 110, 150)]
    once, windows = paint(), paint(tile_over=1.1)
    assert far(once.draw(asked)[0], windows.draw(asked)[0]) > 2
    assert len(once.batches) == 1 and len(windows.batches) > 4


def test_embeddings_of_the_same_words_are_kept(paint: Paint) -> None:
    painter = paint()
    painter.draw([Task(WORDS, "a cat"), Task(Bundle(96, 130, 9), "a cat")])
    assert painter._embedder.hits == 1


def test_optional_sections_guide_where_the_profile_has_a_network(
    paint: Paint, profile: Any, components: Components, bundle_of: BundleOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = task(bundle_of, "pe")
    guided = replace(asked, bundle=replace(asked.bundle, segmentation=asked.bundle.palette))
    without = paint()
    assert np.array_equal(without.draw([asked])[0], without.draw([guided])[0])
    nets = {"edges": profile.controlnets["edges"], "segmentation": profile.controlnets["edges"]}
    monkeypatch.setitem(components.controlnets, "segmentation", components.controlnets["edges"])
    both = paint(controlnets=nets)
    assert far(both.draw([asked])[0], both.draw([guided])[0]) > 0


# ---- what it refuses


def test_bundles_that_say_nothing_are_refused(paint: Paint, bundle_of: BundleOf) -> None:
    with pytest.raises(UnsupportedBundle, match="nothing to draw"):
        paint().draw([Task(WORDS, None)])
    with pytest.raises(UnsupportedBundle, match="no ControlNet for edges"):
        paint(controlnets={}).draw([task(bundle_of, "e")])


def test_a_torn_section_is_the_bundles_fault(paint: Paint) -> None:
    torn = Bundle(64, 64, thumbnail=Picture(Coding.WEBP_LOSSY, 8, 8, b"nothing"))
    with pytest.raises(BundleError):
        paint().draw([Task(torn, "a cat")])


@pytest.mark.parametrize(("value", "reason"), [(float("nan"), "no numbers"), (-1.0, "black"), (0.2, "one colour")])
def test_broken_pictures_are_noticed(
    paint: Paint, monkeypatch: pytest.MonkeyPatch, components: Components, value: float, reason: str
) -> None:
    def decode(latents: torch.Tensor, **options: Any) -> tuple[torch.Tensor]:
        return (torch.full((len(latents), 3, 8 * latents.shape[2], 8 * latents.shape[3]), value),)

    monkeypatch.setattr(components.vae, "decode", decode)
    with pytest.raises(EngineFailed, match=reason) as failed:
        paint().draw([Task(WORDS, "a cat")])
    assert failed.value.reason is Fallback.BROKEN_IMAGE


def test_a_batch_shrinks_to_the_memory_there_is(paint: Paint) -> None:
    tasks = [Task(Bundle(64, 64, seed), "a cat") for seed in range(5)]
    painter = paint(largest_batch=8, measure=lambda device: 60_000_000)  # of which two such pictures fit
    assert len(painter.draw(tasks)) == 5 and painter.batches == [2, 2, 1]
    with pytest.raises(EngineFailed) as failed:
        paint(measure=lambda device: 1_000_000).draw(tasks)
    assert failed.value.reason is Fallback.OUT_OF_MEMORY


def test_out_of_memory_halves_the_batch(paint: Paint, components: Components, monkeypatch: pytest.MonkeyPatch) -> None:
    own, limit = components.unet.forward, [2]

    def forward(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if len(sample) > limit[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(sample, *args, **kwargs)

    tasks = [Task(Bundle(64, 64, seed), "a cat") for seed in range(5)]
    monkeypatch.setattr(components.unet, "forward", forward)
    painter = paint(largest_batch=8)
    assert len(painter.draw(tasks)) == 5 and painter.batches == [2, 1, 2]
    limit[0] = 0
    with pytest.raises(EngineFailed, match="ran out of memory") as failed:
        painter.draw(tasks)
    assert failed.value.reason is Fallback.OUT_OF_MEMORY


def test_drawing_stops_at_the_deadline(paint: Paint, components: Components, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    own = components.unet.forward
    monkeypatch.setattr(components.unet, "forward", lambda *a, **k: steps.append(clock.advance(10)) or own(*a, **k))

    class Clock:
        now_s = 100.0

        def advance(self, by_s: float) -> None:
            self.now_s += by_s

        def monotonic(self) -> float:
            return self.now_s

    clock = Clock()
    for module in ("draw", "steps"):
        monkeypatch.setattr(f"client_runtime.engines.diffusion.{module}.time", clock)
    painter = paint(steps=8)
    with pytest.raises(EngineFailed, match="after step 3") as failed:
        painter.draw([Task(WORDS, "a cat", until_s=125.0)])
    assert failed.value.reason is Fallback.DEADLINE and len(steps) == 3
    with pytest.raises(EngineFailed, match="too near"):  # it is known by now what a picture takes
        painter.draw([Task(WORDS, "a cat", until_s=clock.now_s + 5)])
    assert len(steps) == 3
    assert painter.draw([Task(WORDS, "a cat", until_s=clock.now_s + 1000)])[0].shape == (96, 130, 3)


def test_what_is_late_already_is_not_begun(paint: Paint) -> None:
    with pytest.raises(EngineFailed, match="deadline"):
        paint().draw([Task(WORDS, "a cat", until_s=time.monotonic() - 1)])
