from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data as samples

from evaluation.made_maps import made_map
from evaluation.made_stars import made_stars
from proxy.encode import graphics
from proxy.encode.analyse import GENERATED, Kind, analyse, colour_shares, reduced
from proxy.encode.salient.verdict import RENDERED


@pytest.mark.parametrize("sample", ["coffee", "astronaut", "chelsea"])
def test_photographs_are_photographs(sample: str) -> None:
    told = analyse(getattr(samples, sample)(), "JPEG")
    assert told.kind is Kind.PHOTOGRAPH and told.rendered < 0.36


@pytest.mark.parametrize("side_px", [96, 200, 640])
def test_a_code_is_called_a_code(side_px: int) -> None:
    modules = cv2.QRCodeEncoder.create().encode("https://example.org/tickets/1048576")
    quiet = cv2.copyMakeBorder(modules, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=255)
    code = cv2.cvtColor(cv2.resize(quiet, (side_px, side_px), interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2RGB)
    assert analyse(np.asarray(code, np.uint8), "PNG").kind is Kind.CODE


def test_a_page_of_interface_is_a_screenshot() -> None:
    page = np.full((600, 900, 3), 250, np.uint8)
    page[:50] = (30, 60, 140)
    page[50:, :180] = (235, 237, 240)
    for i in range(14):
        place = 200, 100 + 34 * i
        cv2.putText(page, "Settings saved for this account", place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (40, 40, 40), 1)
        cv2.putText(page, f"Entry {i}", (20, 100 + 34 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 60, 60), 1)
    assert analyse(page, "PNG").kind in (Kind.SCREENSHOT, Kind.TEXT)


def test_maps_count_as_rendered_also_as_small_jpegs() -> None:
    missed = []
    for number in range(2000, 2012):  # the weights saw 0 to 39
        small = cv2.resize(made_map(number), None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        worn = cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1], 1)
        told = analyse(np.asarray(worn, np.uint8), "JPEG")
        if told.kind in GENERATED and told.rendered < 0.36:
            missed.append(number)
    assert len(missed) <= 1  # a pale street map with few labels


def _sky(number: int) -> np.ndarray:
    """A sky that was a JPEG; the weights saw 0 to 29."""
    coded = cv2.imencode(".jpg", made_stars(number), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return np.asarray(cv2.imdecode(coded, 1), np.uint8)


def test_night_skies_count_as_photographs() -> None:
    for number in range(2000, 2012):
        told = analyse(_sky(number), "JPEG")
        assert told.kind in GENERATED and told.rendered < RENDERED


def test_the_rules_are_always_believed_of_pngs() -> None:
    assert analyse(_sky(2000), "JPEG").kind in GENERATED
    assert analyse(_sky(2000), "PNG").kind not in GENERATED


def test_empty_pictures_and_beacons() -> None:
    assert analyse(np.full((80, 80, 3), 200, np.uint8), "PNG").kind is Kind.EMPTY
    for shape in ((1, 1, 3), (1, 500, 3), (3, 3, 3)):
        assert analyse(np.full(shape, 90, np.uint8), "GIF").kind is Kind.TRACKING


@pytest.mark.parametrize("shape", [(1, 9, 3), (5, 5, 3), (4, 700, 3), (700, 4, 3)])
def test_any_size_has_features(shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    told, small = analyse(picture, "PNG"), reduced(picture)
    values = graphics.features(small, colour_shares(small), told.flat, told.strong, told.hardness)
    assert values.shape == (len(graphics.FEATURES),) and np.isfinite(values).all()
    assert 0.0 <= graphics.likelihood(values) <= 1.0 and graphics.name(values) in graphics.NAMES
