from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from client_runtime.bench.architectures import (  # noqa: E402
    ARCHITECTURES,
    FULL_AUTOENCODER,
    BenchError,
    architecture_of,
    parameters,
    random_components,
    tokenizer,
)
from client_runtime.bench.subjects import MODES, subject  # noqa: E402
from client_runtime.engines.base import Task  # noqa: E402
from client_runtime.engines.diffusion.draw import Painter  # noqa: E402
from client_runtime.engines.diffusion.profile import load_profile, profiles  # noqa: E402

PUBLISHED = {"sd15": 859_520_964, "sd21": 865_910_724, "sdxl": 2_567_463_684}
CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 8,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_have_the_published_size(name: str) -> None:
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**ARCHITECTURES[name].unet)
    assert sum(weight.numel() for weight in unet.parameters()) == PUBLISHED[name]


def test_every_shipped_profile_has_an_architecture() -> None:
    known = {
        profile.id: architecture_of(profile)
        for profile in profiles()
        if profile.file and "profiles" in str(profile.file)
    }
    assert known["sd15-lcm"] == "sd15" and known["sd-turbo"] == "sd21" and known["sdxl-turbo"] == "sdxl"


def test_an_unknown_base_says_what_to_give() -> None:
    with pytest.raises(BenchError, match="--architecture"):
        architecture_of(replace(load_profile("sd15-lcm"), base="someone/else"))


def test_random_networks_draw_every_mode() -> None:
    profile = replace(load_profile("sd15-lcm"), steps=1, native_px=64, buckets=((64, 64),))
    components = random_components(profile, "sd15", CPU, torch.float32, SMALL)
    assert set(parameters(components)) == {"unet", "vae", "controlnet edges", "text_encoder"}
    painter = Painter(components, profile)
    for mode in MODES:
        bundle = subject(mode, 64)
        (picture,) = painter.draw([Task(bundle, bundle.prompt.text if bundle.prompt else None)])
        assert picture.shape == (64, 64, 3) and picture.std() > 1


def test_they_are_the_same_each_time() -> None:
    profile = load_profile("sd15-lcm")
    first, second = (random_components(profile, "sd15", CPU, torch.float32, SMALL) for _ in range(2))
    for name in ("unet", "vae"):
        for one, other in zip(getattr(first, name).parameters(), getattr(second, name).parameters(), strict=True):
            assert torch.equal(one, other)


def test_the_full_autoencoder_has_the_published_size() -> None:
    with torch.device("meta"):
        vae = diffusers.AutoencoderKL(**FULL_AUTOENCODER)
    assert sum(weight.numel() for weight in vae.parameters()) == 83_653_863


def test_the_tokenizer_stays_within_the_vocabulary() -> None:
    ids = tokenizer()("A lighthouse, on a cliff: 狐 é ñ!").input_ids
    assert ids[0] == 49406 and ids[-1] == 49407 and max(ids) < 49408
