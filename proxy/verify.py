"""Bundles are drawn and measured before they are sent, where this side can reach a runtime like downstream's.

In: what the encoder made, with its shortlist. Out: the smallest of it that is really above the floor, after at most two
drawings. Refuses: to measure for another engine than downstream's own; then the encoder's prediction stands.

The bundle that the encoder predicts to be good enough is drawn first. If it is, the next cheaper one is tried; if not,
the next dearer one; if neither is, the classical file is sent, or the original.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol

from proxy.bundle import MEDIA_TYPE, BundleError, unpack
from proxy.encode import Declined, Encoded, EncodeRequest, Measured, MeasureRequest
from proxy.policy import Reason
from proxy.runtime_client import Reconstructed, ReconstructionError, RuntimeCapabilities

logger = logging.getLogger("sketchwire.verify")

LOSSLESS = "image/png"


class Engine(Protocol):
    """What draws; proxy.runtime_client.RuntimeClient is one."""

    async def capabilities(self) -> RuntimeCapabilities | None:
        """What it can do; None when it cannot be reached. Never raises."""

    async def reconstruct(self, bundle: bytes, prompt: str | None, media_type: str, deadline_s: float) -> Reconstructed:
        """The picture as a file. Raises ReconstructionError."""


class Meter(Protocol):
    """What measures; proxy.encode.pool.EncoderPool is one."""

    async def measure(self, request: MeasureRequest) -> Measured | Declined:
        """What a picture is worth. Never raises."""


class Verifier:
    """Measures with `engine` and `meter`; each drawing may take `deadline_s`."""

    def __init__(self, engine: Engine, meter: Meter, deadline_s: float = 6.0) -> None:
        self._engine = engine
        self._meter = meter
        self._deadline_s = deadline_s

    async def draws_for(self, label: str) -> bool:
        """Whether the engine here is the one that downstream named, weights and all."""
        here = await self._engine.capabilities()
        return here is not None and here.label == label

    async def best(self, request: EncodeRequest, made: Encoded) -> Encoded | Declined:
        """What is to be sent instead of `made`, or `made` itself. Never raises."""
        if made.media_type != MEDIA_TYPE or made.shortlist is None:
            return made
        first = await self._measured(request, made)
        if first is None:
            return replace(made, shortlist=None)
        other = made.shortlist.cheaper if first.headroom >= 0 else made.shortlist.dearer
        second = await self._measured(request, other) if other else None
        if other and second and second.headroom >= 0:
            return replace(other, score=second.score, kind=made.kind, stage_ms=made.stage_ms, shortlist=None)
        if first.headroom >= 0:
            return replace(made, score=first.score, shortlist=None)
        if made.shortlist.file:
            return replace(made.shortlist.file, kind=made.kind, stage_ms=made.stage_ms)
        return Declined(Reason.NO_GAIN, "what is drawn of it is not good enough", made.kind, made.stage_ms)

    async def _measured(self, request: EncodeRequest, made: Encoded) -> Measured | None:
        """What the drawing of a bundle is worth; None if it could not be drawn or measured."""
        try:
            prompt = unpack(made.body).prompt
            words = (prompt.text or request.words) if prompt else None
            drawn = await self._engine.reconstruct(made.body, words, LOSSLESS, self._deadline_s)
        except (ReconstructionError, BundleError) as error:
            logger.info("nothing to measure: %s", error)
            return None
        if drawn.fallback is not None:
            return None
        found = await self._meter.measure(MeasureRequest(request.data, drawn.body, request.tier, request.max_pixels))
        return found if isinstance(found, Measured) else None
