"""From files to components in memory, on the device and in the number format it is fast in.

In: a `Profile` and where its weights lie. Out: `Components`. Refuses: weights that do not fit together or are damaged,
and a device too small for them (`EngineUnavailable`).

safetensors only, local files only, no remote code: what the library would fetch or run is never asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from client_runtime.engines.base import EngineUnavailable, Fallback
from client_runtime.engines.diffusion.memory import free_bytes
from client_runtime.engines.diffusion.profile import Profile
from client_runtime.engines.diffusion.weights import Found
from client_runtime.engines.sketch.draw import best_dtype

_SPARE = 1.1  # of the weights' own size
_SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "ddim-trailing": ("DDIMScheduler", {"timestep_spacing": "trailing", "clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-trailing": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "dpm": ("DPMSolverMultistepScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


@dataclass(slots=True)
class Components:
    """Everything loaded, once for all modes. `text` holds tokenizers and text encoders by diffusers' names."""

    family: str
    device: torch.device
    dtype: torch.dtype
    unet: Any
    vae: Any
    scheduler: Any
    text: dict[str, Any]
    controlnets: dict[str, Any] = field(default_factory=dict)

    @property
    def cell_px(self) -> int:
        """Pixels under one latent cell, each way."""
        channels = self.vae.config.block_out_channels
        return int(2 ** (len(channels) - 1))

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return int(self.unet.config.in_channels)


def load(
    profile: Profile,
    found: Found,
    device: torch.device,
    free: Callable[[torch.device], int | None] = free_bytes,
) -> Components:
    """The components of `profile`, on `device`. Raises EngineUnavailable."""
    dtype = best_dtype(device) if profile.dtype == "auto" else getattr(torch, profile.dtype)
    _check_room(profile, found, device, dtype, free)
    try:
        parts = _load(profile, found, device, dtype)
    except torch.OutOfMemoryError as error:
        raise EngineUnavailable(f"diffusion: no room for {profile.id}: {error}", Fallback.OUT_OF_MEMORY) from error
    except ImportError:
        raise
    except Exception as error:  # the libraries raise OSError, ValueError, RuntimeError, SafetensorError, KeyError, …
        raise EngineUnavailable(
            f"diffusion: the weights of {profile.id} cannot be loaded: {type(error).__name__}: {_first_line(error)}; "
            f"check them with: sketchwire models verify {profile.id}",
            Fallback.BROKEN_WEIGHTS,
        ) from error
    _check_fit(profile, parts)
    return parts


def scheduler(name: str, config: Any) -> Any:
    """The sampler called `name` (see `profile.SCHEDULERS`), for a model with the scheduler configuration `config`."""
    import diffusers

    kind, changes = _SCHEDULERS[name]
    return getattr(diffusers, kind).from_config(config, **changes)


def _load(profile: Profile, found: Found, device: torch.device, dtype: torch.dtype) -> Components:
    import diffusers
    import transformers

    libraries: tuple[Any, ...] = (diffusers, transformers)
    for library in libraries:  # their warnings are about choices made here on purpose
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    base = found.folders["base"]
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}

    def model(kind: Any, folder: Path, variant: str, subfolder: str = "") -> Any:
        where = {"subfolder": subfolder} if subfolder else {}
        return kind.from_pretrained(folder, variant=variant or None, torch_dtype=dtype, **where, **options)

    def text(kind: Any, subfolder: str) -> Any:
        return kind.from_pretrained(base, subfolder=subfolder, variant=profile.variant or None, dtype=dtype, **options)

    unet = model(diffusers.UNet2DConditionModel, base, profile.variant, "unet")
    if profile.tiny_vae is None:
        vae = model(diffusers.AutoencoderKL, base, profile.variant, "vae")
        if dtype is torch.float16 and vae.config.force_upcast:
            vae = vae.float()  # this decoder overflows in fp16
    else:
        tiny = profile.tiny_vae
        vae = model(diffusers.AutoencoderTiny, found.folders["tiny_vae"], tiny.variant, tiny.subfolder)
    words = {
        "tokenizer": transformers.CLIPTokenizer.from_pretrained(base, subfolder="tokenizer", local_files_only=True),
        "text_encoder": text(transformers.CLIPTextModel, "text_encoder"),
    }
    if profile.family == "sdxl":
        words["tokenizer_2"] = transformers.CLIPTokenizer.from_pretrained(
            base, subfolder="tokenizer_2", local_files_only=True
        )
        words["text_encoder_2"] = text(transformers.CLIPTextModelWithProjection, "text_encoder_2")
    nets = {
        role: model(diffusers.ControlNetModel, found.folders[f"controlnets.{role}"], w.variant, w.subfolder)
        for role, w in profile.controlnets.items()
    }
    sampler = scheduler(
        profile.scheduler, diffusers.DDIMScheduler.load_config(base, subfolder="scheduler", local_files_only=True)
    )
    parts = Components(profile.family, device, dtype, unet, vae, sampler, words, nets)
    if profile.lora is not None:
        _fuse(profile, found.files["lora"][0], parts)
    for module in (unet, vae, *nets.values(), *words.values()):
        if isinstance(module, torch.nn.Module):
            module.eval().requires_grad_(False).to(device)  # type: ignore[no-untyped-call, unused-ignore]
    for module in (unet, vae, *nets.values()):
        module.to(memory_format=torch.channels_last)
    return parts


def _fuse(profile: Profile, file: Path, parts: Components) -> None:
    """The LoRA becomes part of the weights: it costs nothing while drawing."""
    import diffusers

    assert profile.lora is not None
    family = "StableDiffusionXLPipeline" if profile.family == "sdxl" else "StableDiffusionPipeline"
    extra = {} if profile.family == "sdxl" else {"safety_checker": None, "feature_extractor": None}
    if profile.family == "sd":
        extra["requires_safety_checker"] = False  # type: ignore[assignment]
    pipe = getattr(diffusers, family)(unet=parts.unet, vae=parts.vae, scheduler=parts.scheduler, **parts.text, **extra)
    pipe.load_lora_weights(str(file.parent), weight_name=file.name, use_safetensors=True, local_files_only=True)
    pipe.fuse_lora(lora_scale=profile.lora.weight)
    pipe.unload_lora_weights()


def _check_room(
    profile: Profile,
    found: Found,
    device: torch.device,
    dtype: torch.dtype,
    free: Callable[[torch.device], int | None],
) -> None:
    room = free(device)
    stored = sum(path.stat().st_size for paths in found.files.values() for path in paths)
    halves = profile.variant == "fp16" and dtype is torch.float32
    need = int(stored * (2 if halves else 1) * _SPARE)
    if room is not None and need > room:
        raise EngineUnavailable(
            f"diffusion: {profile.id} needs {need >> 20} MiB on {device}, {room >> 20} MiB are free; "
            "choose a smaller profile, or close what uses the memory",
            Fallback.OUT_OF_MEMORY,
        )


def _check_fit(profile: Profile, parts: Components) -> None:
    wide = parts.unet.config.cross_attention_dim
    for role, net in parts.controlnets.items():
        if net.config.cross_attention_dim != wide:
            raise EngineUnavailable(
                f"diffusion: profile {profile.id}: the ControlNet for {role} was made for another base "
                f"(text of {net.config.cross_attention_dim} numbers, the base has {wide})",
                Fallback.BROKEN_WEIGHTS,
            )
    if parts.unet.config.in_channels != parts.vae.config.latent_channels:
        raise EngineUnavailable(
            f"diffusion: profile {profile.id}: the network takes {parts.unet.config.in_channels} channels, the "
            f"autoencoder makes {parts.vae.config.latent_channels}; in-painting bases are not needed here",
            Fallback.BROKEN_WEIGHTS,
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
