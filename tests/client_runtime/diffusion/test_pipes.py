"""Our pipelines are diffusers' own: the same noise and words give the same latents as the stock classes."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from client_runtime.engines.diffusion import noise
from client_runtime.engines.diffusion.embed import Embedder
from client_runtime.engines.diffusion.load import Components
from client_runtime.engines.diffusion.pipes import Pipes
from client_runtime.engines.diffusion.scene import Kind
from client_runtime.engines.diffusion.steps import Start

ROOM = {"text_encoder": None, "tokenizer": None, "safety_checker": None, "feature_extractor": None}


@pytest.fixture
def start() -> Start:
    clean = torch.from_numpy(noise.field(2, 4, 16, 16)) * 0.5
    return Start(torch.from_numpy(noise.field(1, 4, 16, 16))[None], clean[None])


@pytest.fixture
def call(components: Components) -> dict[str, Any]:
    words = Embedder(components, False, "").embed("a cat")
    return {"guidance_scale": 1.0, "num_inference_steps": 4, "output_type": "latent", "return_dict": False, **words}


def stock(components: Components, name: str, **extra: Any) -> Any:
    parts = {"vae": components.vae, "unet": components.unet, "scheduler": components.scheduler, **ROOM}
    pipe = getattr(diffusers, name)(**parts, requires_safety_checker=False, **extra)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def ours(components: Components, kind: Kind, roles: tuple[str, ...], start: Start) -> Any:
    pipe = Pipes(components).pipe(kind, roles)
    pipe.start = start
    return pipe


def both(one: Any, other: Any, **call: Any) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        return tuple(pipe(**call, generator=[noise.generator(5)])[0] for pipe in (one, other))  # type: ignore[return-value]


def test_words_alone(components: Components, start: Start, call: dict[str, Any]) -> None:
    size = {"height": 128, "width": 128}
    pipe = ours(components, Kind.TEXT, (), Start(start.noise, None))
    with torch.inference_mode():
        [got] = pipe(**call, **size, generator=[noise.generator(5)])[:1]
        theirs = stock(components, "StableDiffusionPipeline")
        [wanted] = theirs(**call, **size, latents=start.noise, generator=[noise.generator(5)])[:1]
    assert torch.equal(got, wanted)


def test_edges(components: Components, start: Start, call: dict[str, Any]) -> None:
    told = {"image": torch.rand(1, 3, 128, 128, generator=torch.manual_seed(0)), "height": 128, "width": 128}
    pipe = ours(components, Kind.TEXT, ("edges",), Start(start.noise, None))
    theirs = stock(components, "StableDiffusionControlNetPipeline", controlnet=components.controlnets["edges"])
    with torch.inference_mode():
        [got] = pipe(**call, **told, generator=[noise.generator(5)])[:1]
        [wanted] = theirs(**call, **told, latents=start.noise, generator=[noise.generator(5)])[:1]
    assert torch.equal(got, wanted)


def test_colours_and_edges(
    components: Components, start: Start, call: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "diffusers.pipelines.controlnet.pipeline_controlnet_img2img.randn_tensor"
    monkeypatch.setattr(module, lambda shape, **options: start.noise)
    control = torch.rand(1, 3, 128, 128, generator=torch.manual_seed(0))
    call |= {"image": start.clean, "control_image": control, "strength": 0.75, "height": 128, "width": 128}
    name = "StableDiffusionControlNetImg2ImgPipeline"
    theirs = stock(components, name, controlnet=components.controlnets["edges"])
    assert torch.equal(*both(ours(components, Kind.IMAGE, ("edges",), start), theirs, **call))


@pytest.mark.parametrize("strength", [0.75, 1.0])
def test_known_regions_and_edges(
    components: Components, start: Start, call: dict[str, Any], monkeypatch: pytest.MonkeyPatch, strength: float
) -> None:
    module = "diffusers.pipelines.controlnet.pipeline_controlnet_inpaint.randn_tensor"
    monkeypatch.setattr(module, lambda shape, **options: start.noise)
    picture = torch.rand(1, 3, 128, 128, generator=torch.manual_seed(0))
    mask = torch.ones(1, 1, 128, 128)
    mask[..., 32:96, 32:96] = 0
    call |= {"image": picture, "mask_image": mask, "control_image": picture, "strength": strength}
    name = "StableDiffusionControlNetInpaintPipeline"
    theirs = stock(components, name, controlnet=components.controlnets["edges"])
    monkeypatch.setattr(theirs, "_encode_vae_image", lambda image, generator: start.clean)
    got, wanted = both(ours(components, Kind.INPAINT, ("edges",), start), theirs, **call, height=128, width=128)
    assert torch.equal(got, wanted)
    assert start.clean is not None
    assert torch.allclose(got[..., 4:12, 4:12], start.clean[..., 4:12, 4:12])  # what is known stays


def test_noise_is_the_seeds_own() -> None:
    one, same, other = noise.field(1, 4, 8, 8), noise.field(1, 4, 8, 8), noise.field(2, 4, 8, 8)
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert abs(float(noise.field(3, 4, 64, 64).std()) - 1) < 0.02
    first, second = (torch.randn(8, generator=noise.generator(seed)) for seed in (1, 2))
    assert not torch.equal(first, second) and torch.equal(first, torch.randn(8, generator=noise.generator(1)))
