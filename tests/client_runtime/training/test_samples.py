from pathlib import Path

import pytest
import torch

from client_runtime.training.manifest import Entry, entries
from client_runtime.training.options import Mix
from client_runtime.training.samples import Samples, collate


def test_shapes(images: Path) -> None:
    samples = Samples(entries(images), Mix(), 32, 3, seed=1)
    batch = collate([samples[0], samples[1]])
    assert batch["target"].shape == batch["colour"].shape == (6, 3, 32, 32)
    assert batch["edges"].shape == batch["mask"].shape == (6, 1, 16, 16)
    assert batch["noise"].shape == (6, 1, 32, 32) and batch["facts"].shape[0] == 6
    assert all(value.dtype == torch.float32 for value in batch.values())


def test_a_resumed_stream_goes_on_where_it_stopped(images: Path) -> None:
    whole, rest = (
        Samples(entries(images), Mix(), 32, 1, seed=1),
        Samples(entries(images), Mix(), 32, 1, seed=1, start=5),
    )
    for name, value in whole[7].items():
        assert torch.equal(value, rest[2][name])
    assert not torch.equal(whole[7]["target"], whole[8]["target"])


def test_the_target_lies_under_its_conditions(images: Path) -> None:
    fine = Mix(scales=(2,), scale_weights=(1,), palette=0, blind=0, qualities=(90, 95), crops=0, full_chroma=1)
    sample = Samples(entries(images), fine, 64, 1, seed=3)[0]
    assert (sample["target"] - sample["colour"]).abs().mean() < 0.05


def test_unreadable_and_small_images_are_passed_over(images: Path) -> None:
    broken = [Entry("x", images / "missing.png"), *entries(images)]
    samples = Samples(broken, Mix(), 64, 1, seed=1)
    assert all(samples[k]["target"].shape == (1, 3, 64, 64) for k in range(8))
    with pytest.raises(ValueError, match="none of the"):
        Samples(entries(images), Mix(), 128, 1, seed=1)[0]
