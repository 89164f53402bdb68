from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data as samples

from proxy.encode.classical import file_of, pixels_of
from proxy.encode.floor import DRAWN, FLOORS, MEASURED, Judge, calibration, fingerprint
from proxy.encode.measure import measure
from proxy.encode.request import BALANCED, ECONOMY, FAITHFUL, Declined, Measured, MeasureRequest
from proxy.policy import Reason

RGB = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def coffee() -> RGB:
    return np.asarray(samples.coffee())


def png(rgb: RGB) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "PNG", compress_level=1)
    return out.getvalue()


def test_an_equal_picture_is_far_above_every_floor(coffee: RGB) -> None:
    for tier in (ECONOMY, BALANCED, FAITHFUL):
        judge = Judge(coffee, tier)
        assert judge.headroom(judge.measured(coffee)) > 0
    assert judge.measured(coffee).vgg16 > 0.97


def test_better_files_are_estimated_better(coffee: RGB) -> None:
    judge = Judge(coffee, BALANCED)
    estimates = [judge.measured(pixels_of(file_of(coffee, "avif", q))) for q in (3, 15, 40, 75)]
    assert [e.vgg16 for e in estimates] == sorted(e.vgg16 for e in estimates)
    assert [e.lpips for e in estimates] == sorted((e.lpips for e in estimates), reverse=True)


def test_blur_noise_and_a_cast_are_all_punished(coffee: RGB) -> None:
    judge = Judge(coffee, BALANCED)
    rng = np.random.default_rng(1)
    noisy = np.clip(coffee + rng.normal(0, 40, coffee.shape), 0, 255).astype(np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(coffee, (0, 0), 8), np.uint8)
    tinted = np.clip(coffee + np.array((0, 0, 90)), 0, 255).astype(np.uint8)
    for spoilt in (noisy, blurred, tinted):
        assert judge.headroom(judge.measured(spoilt)) < 0


def test_tiers_ask_for_more_and_more(coffee: RGB) -> None:
    picture = pixels_of(file_of(coffee, "avif", 20))
    rooms = [(judge := Judge(coffee, tier)).headroom(judge.measured(picture)) for tier in (ECONOMY, BALANCED, FAITHFUL)]
    assert rooms[0] > rooms[1] > rooms[2]
    assert FLOORS[BALANCED].vgg16 == 0.85 and FLOORS[BALANCED].lpips_of_reference == 1


def test_the_engine_is_credited_only_if_it_was_calibrated(coffee: RGB) -> None:
    preview = np.asarray(cv2.resize(cv2.resize(coffee, (300, 200)), (600, 400)), np.uint8)
    unknown = Judge(coffee, BALANCED, "diffusion").drawn(preview, 2, 30)
    assert unknown == Judge(coffee, BALANCED).measured(preview) and unknown.measured
    assert not Judge(coffee, BALANCED, "sketch").drawn(preview, 2, 30).measured


def test_small_and_odd_shapes_are_judged() -> None:
    for shape in ((1, 1, 3), (3, 900, 3), (64, 64, 3)):
        flat = np.full(shape, 90, np.uint8)
        judge = Judge(flat, BALANCED)
        assert np.isfinite(judge.headroom(judge.measured(flat)))
    with pytest.raises(ValueError, match="compare"):
        judge.measured(np.zeros((5, 5, 3), np.uint8))


def test_the_shipped_calibration_is_whole() -> None:
    fitted = calibration()
    assert set(fitted.heads) == {"vgg16", "lpips", "sketch vgg16", "sketch lpips"}
    assert set(fitted.margins) == {DRAWN, MEASURED} and all(m >= 0 for pair in fitted.margins.values() for m in pair)
    assert len(fingerprint()) == 16


def test_a_drawn_file_is_measured_against_the_original_file(coffee: RGB) -> None:
    good = measure(MeasureRequest(png(coffee), png(coffee), BALANCED))
    poor = measure(MeasureRequest(png(coffee), png(pixels_of(file_of(coffee, "avif", 1))), BALANCED))
    assert isinstance(good, Measured) and isinstance(poor, Measured)
    assert good.headroom > 0 > poor.headroom and good.score > poor.score


def test_what_cannot_be_measured_is_declined(coffee: RGB) -> None:
    other = measure(MeasureRequest(png(coffee), png(coffee[:50]), BALANCED))
    assert other == Declined(Reason.RUNTIME, "a picture of another size")
    broken = measure(MeasureRequest(png(coffee), png(coffee)[:500], BALANCED))
    assert isinstance(broken, Declined) and broken.reason is Reason.BROKEN
