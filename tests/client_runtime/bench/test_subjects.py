from __future__ import annotations

import pytest

from client_runtime.bench.subjects import MODES, scene, subject
from proxy.bundle import pack, unpack
from proxy.bundle.preview import render


@pytest.mark.parametrize("side_px", [64, 192])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_makes_a_sound_bundle(mode: str, side_px: int) -> None:
    bundle = subject(mode, side_px, 3)
    assert unpack(pack(bundle)) == bundle
    assert render(bundle).shape == (side_px, side_px, 3)
    parts = {name for name in ("edges", "palette", "thumbnail", "salient") if getattr(bundle, name) is not None}
    wanted = {
        "prompt": set(),
        "edges": {"edges"},
        "edges+palette": {"edges", "palette"},
        "thumbnail": {"thumbnail"},
        "salient": {"thumbnail", "salient"},
    }
    assert parts == wanted[mode]


def test_numbers_make_other_words_and_seeds() -> None:
    first, second = subject("prompt", 64, 0), subject("prompt", 64, 1)
    assert first.prompt != second.prompt and first.seed != second.seed


def test_the_scene_has_edges_and_colours() -> None:
    picture = scene(96)
    assert picture.std() > 20 and len({tuple(pixel) for pixel in picture.reshape(-1, 3)}) > 100


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="no mode"):
        subject("sculpture", 64)
