"""An image on its way through the encoder: what was asked, what was found out, and the time it took.

In: an `EncodeRequest` and its opened image. Out: the frame of its bundle, the words that go with it. Refuses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import sqrt

from proxy.bundle import Bundle, Depicted
from proxy.encode.analyse import Analysis, Kind
from proxy.encode.floor import Judge
from proxy.encode.prompt import prompt_for
from proxy.encode.request import EncodeRequest
from proxy.encode.source import Source

# Bytes grow with the side, not the area: a picture twice as wide is looked at in the same column of the same page.
BYTES_PER_SIDE_PX = 3.0
MIN_BUDGET_BYTES = 1200.0
DIGEST_BYTES = 8
_DEPICTED = {
    Kind.PHOTOGRAPH: Depicted.PHOTOGRAPH,
    Kind.ILLUSTRATION: Depicted.ILLUSTRATION,
    Kind.GRAPHIC: Depicted.GRAPHIC,
}


@dataclass(slots=True)
class Clock:
    """CPU milliseconds of this process by stage."""

    stage_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts what is done within towards `name`."""
        start = time.process_time()
        try:
            yield
        finally:
            spent = (time.process_time() - start) * 1000
            self.stage_ms[name] = round(self.stage_ms.get(name, 0.0) + spent, 3)


@dataclass(frozen=True, slots=True)
class Work:
    """An image on its way through the stages."""

    request: EncodeRequest
    source: Source
    analysis: Analysis
    digest: bytes
    judge: Judge
    clock: Clock

    @property
    def budget_bytes(self) -> float:
        """What a bundle of this size may weigh, where no floor decides."""
        height, width = self.source.rgb.shape[:2]
        return max(BYTES_PER_SIDE_PX * sqrt(width * height), MIN_BUDGET_BYTES)

    def bundle(self) -> Bundle:
        """The frame of the bundle, still without sections."""
        seed = self.request.seed if self.request.seed is not None else int.from_bytes(self.digest[:4], "big")
        return Bundle(self.source.width_px, self.source.height_px, seed, original_sha256=self.digest[:DIGEST_BYTES])

    def with_prompt(self, bundle: Bundle) -> Bundle:
        """`bundle` with the words for the image, and what sort of picture it is."""
        request = self.request
        words = prompt_for(request.words, request.words_known_downstream, self.source.rgb, self.analysis.kind)
        return replace(bundle, prompt=words, kind=_DEPICTED.get(self.analysis.kind))
