import numpy as np
import pytest
from PIL import Image

from proxy.bundle import Bundle, Edges, Prompt, Rectangle, Salient, SalientKind, jbig2
from proxy.bundle.atlas import layout
from proxy.bundle.imagefile import best_media_type, encode_image
from proxy.bundle.pixels import crops
from proxy.bundle.preview import SEAM_PX, paste_crops, render
from proxy.encode.pictures import avif_picture, palette


def scene(width: int = 200, height: int = 120) -> np.ndarray:
    """Left half red, right half blue."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = 200
    image[:, width // 2 :, 2] = 200
    return image


def with_crops(*rectangles: Rectangle, scale: int = 1, shade: int = 250) -> Bundle:
    plan = layout(rectangles, scale)
    atlas = np.full((plan.height_px, plan.width_px, 3), shade, np.uint8)
    return Bundle(200, 120, salient=Salient(rectangles, scale, avif_picture(atlas, 90)))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (333, 2), (200, 120)])
def test_every_kind_of_bundle_can_be_shown_at_the_original_size(size: tuple[int, int]) -> None:
    width, height = size
    lines = Edges(9, 9, 2, False, jbig2.encode(np.eye(9, dtype=bool), template=2))
    for bundle in (
        Bundle(width, height, prompt=Prompt("a cat")),
        Bundle(width, height, edges=lines),
        Bundle(width, height, edges=lines, palette=palette(scene())),
        Bundle(width, height, palette=palette(scene())),
        Bundle(width, height, thumbnail=avif_picture(scene(50, 30), 60)),
    ):
        shown = render(bundle)
        assert shown.shape == (height, width, 3)
        assert shown.dtype == np.uint8


def test_edges_sharpen_a_palette() -> None:
    original = scene(256, 256)
    line = np.zeros((128, 128), bool)
    line[:, 64] = True
    edges = Edges(128, 128, 2, False, jbig2.encode(line, template=2))
    blurred = render(Bundle(256, 256, palette=palette(original)))
    sharp = render(Bundle(256, 256, palette=palette(original), edges=edges))

    def error(image: np.ndarray) -> float:
        return float(np.abs(image.astype(int) - original.astype(int)).mean())

    assert error(sharp) < 0.8 * error(blurred)


def test_crops_are_exact_inside_the_seam() -> None:
    bundle = with_crops(Rectangle(40, 30, 60, 50, SalientKind.FACE))
    base = np.zeros((120, 200, 3), np.uint8)
    shown = paste_crops(base, bundle)
    assert bundle.salient is not None
    inner = slice(SEAM_PX, -SEAM_PX)
    assert np.array_equal(shown[30:80, 40:100][inner, inner], crops(bundle.salient)[0][inner, inner])
    assert not shown[:30].any() and not shown[80:].any() and not shown[:, :40].any() and not shown[:, 100:].any()
    assert 0 < shown[30, 70, 0] < 120


def test_a_crop_at_the_image_border_has_no_seam_there() -> None:
    shown = paste_crops(np.zeros((120, 200, 3), np.uint8), with_crops(Rectangle(0, 0, 60, 50)))
    assert shown[0, 0, 0] > 240
    assert shown[49, 30, 0] < 120


def test_scaled_crops_come_back_at_their_size() -> None:
    bundle = with_crops(Rectangle(0, 0, 61, 49), Rectangle(100, 50, 33, 17), scale=3)
    assert bundle.salient is not None
    assert [crop.shape for crop in crops(bundle.salient)] == [(49, 61, 3), (17, 33, 3)]


def test_the_atlas_layout_never_overlaps() -> None:
    chance = np.random.default_rng(1)
    for _ in range(50):
        sizes = chance.integers(1, 90, (chance.integers(1, 12), 2))
        plan = layout([Rectangle(0, 0, int(w), int(h)) for w, h in sizes], int(chance.integers(1, 5)))
        used = np.zeros((plan.height_px, plan.width_px), int)
        for x, y, width, height in plan.places:
            used[y : y + height, x : x + width] += 1
        assert used.max() == 1


def test_files_are_what_the_browser_accepts() -> None:
    assert best_media_type("image/avif,image/webp,*/*", "image/png", 10, 10) == "image/webp"
    assert best_media_type("*/*", "image/jpeg", 10, 10) == "image/jpeg"
    assert best_media_type("image/webp", "image/jpeg", 20_000, 10) == "image/jpeg"
    for media_type in ("image/jpeg", "image/webp", "image/png"):
        import io

        assert Image.open(io.BytesIO(encode_image(scene(), media_type, 80))).size == (200, 120)
    with pytest.raises(ValueError, match="image/gif"):
        encode_image(scene(), "image/gif")
