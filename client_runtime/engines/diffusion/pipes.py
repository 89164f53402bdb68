"""diffusers' pipelines, all over one loaded set of components, starting from our noise.

In: `Components`. Out: a pipeline for a kind of scene and the ControlNets it uses, made once. Refuses nothing.

The subclasses change two things: the initial latents come from the `Start` that is set before a call (so that a
picture does not depend on its batch), and the masked picture is not encoded when the network has no use for it.
Pipelines get finished prompt embeddings and give back latents; text encoders and decoding stay outside.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch

from client_runtime.engines.diffusion.load import Components
from client_runtime.engines.diffusion.scene import Kind
from client_runtime.engines.diffusion.steps import Start

_CLASSES = {
    (Kind.TEXT, False): "Pipeline",
    (Kind.TEXT, True): "ControlNetPipeline",
    (Kind.IMAGE, False): "Img2ImgPipeline",
    (Kind.IMAGE, True): "ControlNetImg2ImgPipeline",
    (Kind.INPAINT, False): "InpaintPipeline",
    (Kind.INPAINT, True): "ControlNetInpaintPipeline",
}
_FAMILIES = {"sd": "StableDiffusion", "sdxl": "StableDiffusionXL"}


class OurStart:
    """Goes before a pipeline's class."""

    start: Start
    scheduler: Any
    unet: Any

    def prepare_latents(self, *args: Any, **kwargs: Any) -> Any:
        """What the pipeline's own method returns, from `self.start`."""
        noise, clean = self.start.noise, self.start.clean
        if "return_noise" in kwargs:
            return self._for_inpainting(noise, clean, **kwargs)
        if kwargs.get("image") is None and clean is None:
            return noise * self.scheduler.init_noise_sigma
        timestep = kwargs["timestep"] if "timestep" in kwargs else args[1]
        return self.scheduler.add_noise(clean, noise, timestep)

    def _for_inpainting(self, noise: torch.Tensor, clean: torch.Tensor | None, **kwargs: Any) -> Any:
        latents = noise * self.scheduler.init_noise_sigma
        if not kwargs["is_strength_max"]:
            latents = self.scheduler.add_noise(clean, noise, kwargs["timestep"])
        return (latents, noise, clean) if kwargs["return_image_latents"] else (latents, noise)

    def prepare_mask_latents(self, mask: Any, masked_image: Any, *args: Any, **kwargs: Any) -> Any:
        """The mask at the latents' size, as the pipeline's own method makes it."""
        batch_size, _, _, dtype, device, _, guides = args
        rows, columns = self.start.noise.shape[-2:]
        small = torch.nn.functional.interpolate(mask, size=(rows, columns)).to(device=device, dtype=dtype)
        small = small.repeat(batch_size // small.shape[0], 1, 1, 1)
        nothing = torch.zeros(batch_size, self.start.noise.shape[1], rows, columns, device=device, dtype=dtype)
        return (torch.cat([small] * 2), torch.cat([nothing] * 2)) if guides else (small, nothing)


class Pipes:
    """Makes pipelines when they are first needed; they share every module."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._made: dict[tuple[Kind, tuple[str, ...]], Any] = {}

    def pipe(self, kind: Kind, roles: tuple[str, ...]) -> Any:
        """The pipeline for scenes of `kind` that use the ControlNets of `roles`."""
        if (kind, roles) not in self._made:
            self._made[kind, roles] = self._make(kind, roles)
        return self._made[kind, roles]

    def _make(self, kind: Kind, roles: tuple[str, ...]) -> Any:
        parts = self._components
        name = _FAMILIES[parts.family] + _CLASSES[kind, bool(roles)]
        base = getattr(importlib.import_module("diffusers"), name)
        modules: dict[str, Any] = {"vae": parts.vae, "unet": parts.unet, "scheduler": parts.scheduler}
        modules |= {"text_encoder": None, "tokenizer": None}
        if parts.family == "sdxl":
            modules |= {"text_encoder_2": None, "tokenizer_2": None, "add_watermarker": False}
        else:
            modules |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        if roles:
            nets = [parts.controlnets[role] for role in roles]
            modules["controlnet"] = nets[0] if len(nets) == 1 else nets
        pipe = type(f"Ours{name}", (OurStart, base), {})(**modules)
        pipe.set_progress_bar_config(disable=True)
        return pipe
