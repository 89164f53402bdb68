"""Looks at an image before anybody else does: may it be sent, and as what.

In: an image file's bytes. Out: `Sight`: a small JPEG without metadata, its fingerprint, whether there are faces in it;
or a `NoCaption`. Refuses: what `proxy.encode.source` refuses, and kinds that are never drawn.

Runs in a process of its own, limited in memory: decoders and detectors meet hostile files.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from proxy.bundle import SalientKind
from proxy.captions.fingerprint import Fingerprint, fingerprint
from proxy.captions.outcome import NoCaption, Refusal
from proxy.encode.analyse import GENERATED, analyse
from proxy.encode.salient import detect
from proxy.encode.salient.verdict import verdict
from proxy.encode.source import open_source
from proxy.policy import Skip

MAX_PIXELS = 50_000_000
QUALITY = 80


@dataclass(frozen=True, slots=True)
class Sight:
    """`jpeg` is what may be sent; `faces` is None where no detector could look for them."""

    jpeg: bytes
    fingerprint: Fingerprint
    faces: int | None


def look(data: bytes, side_px: int, face_weights: str | None = None) -> Sight | NoCaption:
    """What is to be known of the image in `data`, its long side reduced to `side_px`. Never raises on bad data."""
    source = open_source(data, MAX_PIXELS)
    if isinstance(source, Skip):
        return NoCaption(Refusal.UNREADABLE, str(source.reason))
    analysis = analyse(source.rgb, source.format)
    if analysis.kind not in GENERATED:
        return NoCaption(Refusal.KIND, str(analysis.kind))
    found = detect(source.rgb, face_weights)
    height, width = source.rgb.shape[:2]
    other = verdict(analysis, found, width, height)
    if other is not None:
        return NoCaption(Refusal.FACES if other.kind == "crowd" else Refusal.KIND, str(other.kind))
    scale = min(1.0, side_px / max(height, width))
    small = source.rgb
    if scale < 1.0:
        small = np.asarray(cv2.resize(source.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).save(out, "JPEG", quality=QUALITY)
    blind = "faces" in (*found.missing, *found.unfinished)
    return Sight(out.getvalue(), fingerprint(small), None if blind else len(found.of(SalientKind.FACE)))


class Eye:
    """`look`, in a process of its own that is started at the first image and again when one kills it."""

    def __init__(self, side_px: int, memory_mib: int = 1024, face_weights: str | None = None) -> None:
        self._side_px = side_px
        self._memory_mib = memory_mib
        self._face_weights = face_weights
        self._pool: ProcessPoolExecutor | None = None

    async def look(self, data: bytes) -> Sight | NoCaption:
        """`look`, beside the event loop."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, _start, (self._memory_mib,))
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, look, data, self._side_px, self._face_weights
            )
        except BrokenProcessPool:
            self.close()
            return NoCaption(Refusal.UNREADABLE, "the process that looks at images died")

    def close(self) -> None:
        """Stop the process; an image that it is at is forgotten."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _start(memory_mib: int) -> None:
    from proxy.encode.salient import warm
    from proxy.encode.worker import limit_memory

    cv2.setNumThreads(1)
    warm()
    if sys.platform == "linux":
        limit_memory(memory_mib)
