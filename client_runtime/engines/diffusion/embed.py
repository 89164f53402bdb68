"""Words become numbers for the network, and are kept for the next picture with the same words.

In: a prompt and its negative. Out: what the pipelines take as embeddings, for one picture. Refuses nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from client_runtime.engines.diffusion.load import Components
from client_runtime.engines.diffusion.prompt import PromptPair, build_prompt

LIMIT = 256  # embeddings of 77 × 768 numbers in fp16 take 30 MB

Embeddings = dict[str, torch.Tensor]


class Embedder:
    """Embeds one prompt at a time, so that a picture's numbers do not depend on its batch."""

    def __init__(self, components: Components, guides: bool, negative: str, limit: int = LIMIT) -> None:
        self._parts, self._guides, self._negative, self._limit = components, guides, negative, limit
        self._known: OrderedDict[PromptPair, Embeddings] = OrderedDict()
        self._pipe: Any = None
        self.hits = 0

    def embed(self, words: str | None, kind: str | None = None) -> Embeddings:
        """The pipelines' keyword arguments for the page's words, or for no words, in the style of a kind of image that
        `build_prompt` knows. Keeps the last `limit`.
        """
        pair = build_prompt(words, None, kind, self._parts.text["tokenizer"])
        pair = PromptPair(pair.positive, (self._negative or pair.negative) if self._guides else "")
        if pair in self._known:
            self.hits += 1
            self._known.move_to_end(pair)
            return self._known[pair]
        made = self._made(pair)
        self._known[pair] = made
        while len(self._known) > self._limit:
            self._known.popitem(last=False)
        return made

    def offload(self) -> None:
        """Move the text encoders to the CPU; they are slower there, and work."""
        for module in self._parts.text.values():
            if isinstance(module, torch.nn.Module):
                module.to("cpu")

    def _made(self, pair: PromptPair) -> Embeddings:
        encoder = self._parts.text["text_encoder"]
        where = next(encoder.parameters()).device
        with torch.inference_mode():
            told = self._encoder().encode_prompt(
                prompt=pair.positive,
                negative_prompt=pair.negative,
                device=where,
                num_images_per_prompt=1,
                do_classifier_free_guidance=self._guides,
            )
        names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
        parts = self._parts
        return {
            name: value.to(parts.device, parts.dtype)
            for name, value in zip(names, told, strict=False)
            if value is not None
        }

    def _encoder(self) -> Any:
        """A pipeline that does nothing but encode prompts."""
        if self._pipe is None:
            import diffusers

            parts = self._parts
            common = {"unet": parts.unet, "vae": parts.vae, "scheduler": parts.scheduler, **parts.text}
            kind: Any = diffusers.StableDiffusionPipeline
            extra: dict[str, Any] = {"safety_checker": None, "feature_extractor": None}
            extra["requires_safety_checker"] = False
            if parts.family == "sdxl":
                kind, extra = diffusers.StableDiffusionXLPipeline, {"add_watermarker": False}
            self._pipe = kind(**common, **extra)
        return self._pipe
