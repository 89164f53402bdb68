import cv2
import numpy as np
import pytest
from skimage import data as samples

from proxy.encode.analyse import Kind, analyse
from proxy.encode.edges import drop_short
from proxy.encode.quality import score


def test_equal_images_score_one() -> None:
    assert score(samples.coffee(), samples.coffee()) == pytest.approx(1.0)


def test_the_score_falls_with_every_damage() -> None:
    image = samples.coffee()
    slight, strong = (cv2.GaussianBlur(image, (0, 0), sigma) for sigma in (1.5, 6.0))
    cast = np.clip(image.astype(int) + np.array((40, 0, -40)), 0, 255).astype(np.uint8)
    assert 1 > score(image, slight) > score(image, strong) > 0
    assert score(image, cast) < 0.9
    assert score(image, np.zeros_like(image)) < 0.2


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 17), (900, 20)])
def test_any_size_has_a_score(size: tuple[int, int]) -> None:
    image = cv2.resize(samples.coffee(), size)
    assert score(image, image) == pytest.approx(1.0)


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="compare"):
        score(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8))


def test_photographs_are_told_from_graphics() -> None:
    for photo in (samples.coffee(), samples.astronaut(), samples.chelsea(), samples.rocket()):
        assert analyse(photo, "JPEG").kind is Kind.PHOTOGRAPH
    page = np.repeat(samples.text()[..., None], 3, axis=2)
    assert analyse(page, "JPEG").kind in (Kind.PHOTOGRAPH, Kind.GRAPHIC)
    assert analyse(np.full((50, 50, 3), 9, np.uint8), "PNG").kind is Kind.EMPTY
    assert analyse(np.zeros((1, 1, 3), np.uint8), "PNG").kind is Kind.TRACKING


def test_short_components_are_dropped() -> None:
    bitmap = np.zeros((20, 40), bool)
    bitmap[5, 2:32] = True
    bitmap[10, 3:8] = True
    kept = drop_short(bitmap, 20)
    assert kept[5].sum() == 30 and not kept[10].any()
