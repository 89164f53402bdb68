from __future__ import annotations

import io

import pytest
from PIL import Image

from evaluation.collect.gate import Stay
from evaluation.collect.judge import Kept, judge
from tests.evaluation.collect.small_web import picture


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "ending"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("AVIF", "avif")])
def test_the_papers_least_size_is_kept(kind: str, ending: str) -> None:
    kept = judge(picture(1, (512, 256), kind))
    assert isinstance(kept, Kept) and (kept.width_px, kept.height_px, kept.ending) == (512, 256, ending)


@pytest.mark.parametrize("size", [(511, 256), (512, 255), (256, 512), (16, 16)])
def test_smaller_ones_are_not(size: tuple[int, int]) -> None:
    assert judge(picture(1, size)) == Stay("under 512×256 px")


def test_the_size_counts_as_shown() -> None:
    turned = Image.open(io.BytesIO(picture(1, (256, 512))))
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = 6, "Ansel\0 A."
    kept = judge(_saved(turned, "JPEG", exif=exif))
    assert isinstance(kept, Kept) and (kept.width_px, kept.height_px) == (512, 256)
    assert kept.copyright == "Ansel A."


def test_transparent_animated_broken_and_other_files() -> None:
    assert judge(picture(1, kind="PNG", mode="RGBA")) == Stay("alpha")
    assert isinstance(judge(_saved(Image.new("RGBA", (600, 300), (9, 9, 9, 255)), "PNG")), Kept)
    frames = [Image.new("RGB", (600, 300), colour) for colour in ("red", "blue")]
    assert judge(_saved(frames[0], "GIF", save_all=True, append_images=frames[1:])) == Stay("animated")
    assert isinstance(judge(picture(1)[:3000]), Stay)
    assert judge(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == Stay("not an image of the set: image/svg+xml")
    assert judge(b"") == Stay("not an image of the set: unknown type")
