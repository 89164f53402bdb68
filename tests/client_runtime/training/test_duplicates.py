from pathlib import Path

from PIL import Image, ImageOps

from client_runtime.training.duplicates import NEAR_BITS, perceptual_hash, without_duplicates
from client_runtime.training.manifest import entries


def test_scaled_and_coded_again_is_still_the_same(images: Path) -> None:
    with Image.open(images / "0.png") as image:
        smaller = image.resize((60, 50))
        assert (perceptual_hash(image) ^ perceptual_hash(smaller)).bit_count() <= NEAR_BITS


def test_held_out_images_and_their_mirror_images_are_dropped(images: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    with Image.open(images / "1.png") as image:
        image.resize((70, 60)).save(held / "other.jpg", quality=60)
    with Image.open(images / "2.png") as image:
        ImageOps.mirror(image).save(held / "mirrored.png")
    keep, dropped = without_duplicates(entries(images), entries(held))
    assert {e.name for e in dropped} == {"1.png", "2.png"} and [e.name for e in keep] == ["0.png"]


def test_unreadable_images_are_left_out(images: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    Image.new("RGB", (40, 40), "red").save(held / "red.png")
    (images / "broken.png").write_bytes(b"no image")
    keep, dropped = without_duplicates(entries(images), entries(held))
    assert "broken.png" not in {e.name for e in keep + dropped}
