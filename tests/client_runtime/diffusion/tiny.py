"""Models of the real classes with a few thousand random weights, saved as profiles: what a download leaves, in small.

Their pictures mean nothing; loading, batches, modes, seeds and failures are those of the real ones.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.-"


def write_profile(folder: Path, family: str = "sd", **changes: Any) -> Path:
    """Save the components and `profile.toml` in `folder`; `changes` are keys of the profile. Returns `folder`."""
    import diffusers
    import torch

    torch.manual_seed(7)
    wide = 32 if family == "sd" else 64
    extra: dict[str, Any] = {}
    if family == "sdxl":
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 32,
            "transformer_layers_per_block": (1, 1),
        }
    shape: dict[str, Any] = {
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "cross_attention_dim": wide,
        "attention_head_dim": 8,
        **extra,
    }
    down = ("DownBlock2D", "CrossAttnDownBlock2D")
    unet = diffusers.UNet2DConditionModel(
        sample_size=16, down_block_types=down, up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **shape
    )
    base = folder / "base"
    unet.save_pretrained(base / "unet")
    for role in ("edges", "colour"):
        net = diffusers.ControlNetModel(
            down_block_types=down, conditioning_embedding_out_channels=(8, 8, 8, 16), **shape
        )
        for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block):  # trained ones are not zero
            torch.nn.init.normal_(layer.weight, std=0.3)
        net.save_pretrained(folder / f"controlnet-{role}")
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
    )
    vae.save_pretrained(base / "vae")
    tiny = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    )
    with torch.no_grad():  # a decoder that draws in all of 0 to 1
        tiny.decoder.layers[-1].weight.mul_(6)
        tiny.decoder.layers[-1].bias.fill_(0.5)
    tiny.save_pretrained(folder / "tiny")
    _write_text(base, family)
    scheduler = diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    scheduler.save_pretrained(base / "scheduler")
    (base / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    write_toml(folder, family, **changes)
    return folder


def write_toml(folder: Path, family: str = "sd", **changes: Any) -> None:
    """`profile.toml` alone; a value None leaves a key out."""
    values: dict[str, Any] = {
        "id": "tiny",
        "title": "Tiny random weights",
        "base": "./base",
        "family": family,
        "dtype": "float32",
        "steps": 2,
        "guidance": 1.0,
        "scheduler": "lcm",
        "native_px": 64,
        "buckets": [[64, 64], [128, 64], [64, 128]],
        "licence": {
            "spdx": "CC0-1.0",
            "name": "none needed",
            "url": "https://creativecommons.org/publicdomain/zero/1.0/",
        },
        "tiny_vae": {"repo": "./tiny"},
        "controlnets": {"edges": {"repo": "./controlnet-edges"}},
    }
    values |= changes
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    (folder / "profile.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_lora(folder: Path) -> None:
    """A LoRA for the profile's network, in `folder`/lora."""
    import diffusers
    import peft
    import torch
    from diffusers.utils import convert_state_dict_to_diffusers

    torch.manual_seed(8)
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "base" / "unet")
    unet.add_adapter(peft.LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    weights = convert_state_dict_to_diffusers(peft.get_peft_model_state_dict(unet))
    diffusers.StableDiffusionPipeline.save_lora_weights(folder / "lora", weights)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def _write_text(base: Path, family: str) -> None:
    """A tokenizer of single letters, and text encoders to fit."""
    import transformers

    words = ["!", *LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: number for number, word in enumerate(words)}
    tokenizer = transformers.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)
    config = transformers.CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=vocab["<|startoftext|>"],
        eos_token_id=vocab["<|endoftext|>"],
        pad_token_id=1,
    )
    tokenizer.save_pretrained(base / "tokenizer")
    transformers.CLIPTextModel(config).save_pretrained(base / "text_encoder")
    if family == "sdxl":
        tokenizer.save_pretrained(base / "tokenizer_2")
        transformers.CLIPTextModelWithProjection(config).save_pretrained(base / "text_encoder_2")
