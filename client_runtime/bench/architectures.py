"""Full-size networks of the Stable Diffusion families with random weights, built from configurations written here.

In: a profile, a device and a number format. Out: `Components`, as the loader makes them from files. Refuses: bases
whose architecture is not written here (`BenchError`).

A network takes as long with random weights as with trained ones: the same matrices are multiplied, and nothing in it
depends on the values. The sizes are those of the published configurations: Stable Diffusion 1.5 (859.5 M parameters),
2.1, whose distilled form SD-Turbo is (865.9 M), and SDXL (2,567 M); ControlNets are the networks' own first halves
(361 M, 364 M), for SDXL the "small" one without transformers on the way down; TAESD is `AutoencoderTiny`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from client_runtime.engines.diffusion.load import Components, scheduler
from client_runtime.engines.diffusion.profile import Profile
from client_runtime.engines.sketch.draw import best_device, best_dtype

_GAIN = 0.5  # below 1, so that values stay moderate through hundreds of layers
_SPREAD = 0.25  # standard deviation of a decoded picture: neither black nor of one colour
FULL_AUTOENCODER: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
}
_TEXT_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_TEXT_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
_TEXT_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
_SDXL: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_NOISE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "steps_offset": 1,
}


class BenchError(RuntimeError):
    """Nothing can be measured; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The configuration of one family; `controlnet` None means the network's own first half."""

    unet: Mapping[str, Any]
    text: tuple[Mapping[str, Any], ...]
    controlnet: Mapping[str, Any] | None = None


ARCHITECTURES: dict[str, Architecture] = {
    "sd15": Architecture({"sample_size": 64, "cross_attention_dim": 768}, (_TEXT_L,)),
    "sd21": Architecture(
        {
            "sample_size": 64,
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
        },
        ({**_TEXT_H, "hidden_act": "gelu"},),
    ),
    "sdxl": Architecture(
        {
            **_SDXL,
            "sample_size": 128,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10),
        },
        (_TEXT_L, {**_TEXT_G, "hidden_act": "gelu", "projection_dim": 1280}),
        {**_SDXL, "down_block_types": ("DownBlock2D",) * 3, "transformer_layers_per_block": (1, 1, 1)},
    ),
}
_OF_BASE = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "sd15",
    "stabilityai/sd-turbo": "sd21",
    "stabilityai/sdxl-turbo": "sdxl",
    "stabilityai/stable-diffusion-xl-base-1.0": "sdxl",
}


def architecture_of(profile: Profile) -> str:
    """The key of ARCHITECTURES for the profile's base. Raises BenchError."""
    if profile.base in _OF_BASE:
        return _OF_BASE[profile.base]
    raise BenchError(
        f"the architecture of {profile.base} is not known here; give --architecture {'|'.join(ARCHITECTURES)}"
    )


def random_components(
    profile: Profile,
    architecture: str,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    smaller: Mapping[str, Any] | None = None,
) -> Components:
    """Components of the size of `architecture`, all weights random but the same each time.

    `smaller` overrides the network's configuration, for tests; text encoders then follow `cross_attention_dim`.
    """
    diffusers: Any = importlib.import_module("diffusers")
    transformers: Any = importlib.import_module("transformers")
    for library in ("diffusers", "transformers"):  # their warnings are about choices made here on purpose
        logging.getLogger(library).setLevel(logging.ERROR)
    sizes = ARCHITECTURES[architecture]
    device = device or best_device()
    dtype = dtype or best_dtype(device)
    generator = torch.Generator(device).manual_seed(0)

    def made(build: Callable[[], Any]) -> Any:
        with torch.device("meta"):
            module = build()
        module = module.to(dtype).to_empty(device=device)
        _fill(module, generator)
        return module.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    config = {**sizes.unet, **(smaller or {})}
    unet = made(lambda: diffusers.UNet2DConditionModel(**config))

    def controlnet() -> Any:
        if sizes.controlnet is None or smaller:
            return diffusers.ControlNetModel.from_unet(unet, load_weights_from_unet=False)
        return diffusers.ControlNetModel(**sizes.controlnet)

    nets = {role: made(controlnet) for role in profile.controlnets}
    tiny = profile.tiny_vae is not None
    vae = made(lambda: diffusers.AutoencoderTiny() if tiny else diffusers.AutoencoderKL(**FULL_AUTOENCODER))
    _spread(vae, generator)
    words: dict[str, Any] = {}
    for number, text in enumerate(sizes.text):
        ending = "" if number == 0 else f"_{number + 1}"
        told = transformers.CLIPTextConfig(**_narrowed(text, config, smaller), eos_token_id=49407, bos_token_id=49406)
        kind = transformers.CLIPTextModelWithProjection if "projection_dim" in text else transformers.CLIPTextModel
        with torch.device(device):
            torch.manual_seed(number)
            encoder = kind(told)
        words[f"tokenizer{ending}"] = tokenizer()
        words[f"text_encoder{ending}"] = encoder.to(device, dtype).eval().requires_grad_(False)
    sampler = scheduler(profile.scheduler, _NOISE)
    return Components(profile.family, device, dtype, unet, vae, sampler, words, nets)


def tokenizer() -> Any:
    """A CLIP tokenizer that splits words into letters: 77 tokens take the encoder as long whatever they stand for."""
    letters = [chr(n) for n in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    vocabulary |= {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
    return importlib.import_module("transformers").CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def parameters(components: Components) -> dict[str, int]:
    """How many parameters each network has."""
    nets: dict[str, Any] = {"unet": components.unet, "vae": components.vae}
    nets |= {f"controlnet {role}": net for role, net in components.controlnets.items()}
    nets |= {name: part for name, part in components.text.items() if isinstance(part, torch.nn.Module)}
    return {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}


def _fill(module: torch.nn.Module, generator: torch.Generator) -> None:
    """Weights uniform about 0 by their inputs, scales 1, shifts 0."""
    for name, weight in module.named_parameters():
        if weight.dim() > 1:
            reach = _GAIN * (3 / weight[0].numel()) ** 0.5
            weight.data.uniform_(-reach, reach, generator=generator)
        else:
            weight.data.fill_(0.0 if name.endswith("bias") else 1.0)


def _spread(vae: Any, generator: torch.Generator) -> None:
    """Scale the decoder's last layer so that pictures vary as pictures do: an engine refuses blank ones."""
    last = [part for part in vae.decoder.modules() if isinstance(part, torch.nn.Conv2d)][-1]
    like = next(vae.parameters())
    latents = torch.randn(1, vae.config.latent_channels, 16, 16, device=like.device, generator=generator)
    with torch.inference_mode():
        spread = float(vae.decode(latents.to(like.dtype), return_dict=False)[0].float().std())
    last.weight.data.mul_(2 * _SPREAD / max(spread, 1e-6))


def _narrowed(text: Mapping[str, Any], config: Mapping[str, Any], smaller: Mapping[str, Any] | None) -> dict[str, Any]:
    if not smaller:
        return {"vocab_size": 49408, **text}
    width = int(config["cross_attention_dim"])
    return {"vocab_size": 49408, "hidden_size": width, "intermediate_size": width, "num_hidden_layers": 1} | {
        "num_attention_heads": 2
    }
