"""One held image becomes a bundle, or a reason to send it as it is: the upstream proxy's work between two heads.

In: an answer's head and whole body, and what downstream said it can draw. Out: `Outcome`. Refuses (as a `Skip`): what
`policy.judge_body` refuses, codings that cannot be undone within the limit, what the encoder declines, and, while
the encoder keeps failing, everything for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from proxy.breaker import Breaker
from proxy.bundle import MEDIA_TYPE
from proxy.coding import CodingError, CodingTooLarge, decode
from proxy.config import UpstreamConfig
from proxy.encode import BUNDLE_MODES, Declined, Encoded, EncodeRequest
from proxy.encoded_cache import EncodedCache
from proxy.negotiation import Accept
from proxy.pages import words_digest
from proxy.policy import Limits, Reason, ResponseFacts, Skip, Take, Verdict, judge_body

_BROKEN_STAGE = frozenset((Reason.CRASHED, Reason.INTERNAL_ERROR))
_BUSY_STAGE = frozenset((Reason.BUSY, Reason.DEADLINE))


class Encoder(Protocol):
    """What makes bundles; proxy.encode.pool.EncoderPool is one."""

    async def encode(self, request: EncodeRequest) -> Encoded | Declined:
        """The bundle, or why there is none. Never raises."""


@dataclass(frozen=True, slots=True)
class Words:
    """What this side knows an image's page says, and the digest of what downstream knows."""

    text: str | None = None
    digest_downstream: bytes | None = None

    @property
    def agree(self) -> bool:
        """Whether both sides hold the same words, so that they need not cross the link."""
        return self.text is not None and words_digest(self.text) == self.digest_downstream


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict, the bundle if there is one, and where the time went."""

    verdict: Verdict
    encoded: Encoded | None = None
    kind: str = ""
    encode_ms: float = 0.0
    stage_ms: Mapping[str, float] = field(default_factory=dict)


class Transformer:
    """Turns held images into bundles with `encoder`, on the terms of the configuration."""

    def __init__(self, config: UpstreamConfig, encoder: Encoder) -> None:
        self.limits = Limits(config.min_image_bytes, config.max_image_bytes, config.transform_private)
        self._config = config
        self._encoder = encoder
        self._breaker = Breaker()
        self._cache = EncodedCache()

    def ready(self) -> Verdict:
        """Whether the encoder is worth trying now."""
        return Take() if self._breaker.allows(time.monotonic()) else Skip(Reason.BREAKER_OPEN)

    async def transform(self, origin: ResponseFacts, raw: bytes, accept: Accept, words: Words) -> Outcome:
        """The bundle for the body `raw` of an answer with the head `origin`. Never raises on bad images."""
        began_s = time.monotonic()
        codings = origin.headers.tokens("content-encoding")
        try:
            image = await asyncio.to_thread(decode, raw, codings, self.limits.max_bytes) if codings else raw
        except CodingError as error:
            too_large = isinstance(error, CodingTooLarge)
            return Outcome(Skip(Reason.TOO_LARGE if too_large else Reason.UNKNOWN_CODING, str(error)))
        verdict = judge_body(origin, raw, image, self.limits)
        if isinstance(verdict, Skip):
            return Outcome(verdict)
        modes = tuple(mode for mode in BUNDLE_MODES if not accept.modes or mode in accept.modes)
        if self._config.mode not in ("auto", *modes):
            return Outcome(Skip(Reason.NO_GAIN, f"the receiver cannot draw {self._config.mode}"))
        request = EncodeRequest(
            data=image,
            mode=self._config.mode,
            words=words.text,
            words_known_downstream=words.agree,
            modes=modes,
            engine=accept.engine.partition("@")[0],
            max_pixels=self._config.max_image_pixels,
            min_bytes=self._config.min_image_bytes,
        )
        key = self._cache.key(request)
        made = self._cache.get(key)
        if made is not None:
            return self._outcome(replace(made, stage_ms={"cached": 0.0}), (time.monotonic() - began_s) * 1000)
        made = await self._encoder.encode(request)
        self._cache.put(key, made)
        return self._outcome(made, (time.monotonic() - began_s) * 1000)

    def _outcome(self, made: Encoded | Declined, encode_ms: float) -> Outcome:
        if isinstance(made, Declined):
            if made.reason in _BROKEN_STAGE:
                self._breaker.failed(time.monotonic())
            elif made.reason not in _BUSY_STAGE:
                self._breaker.succeeded()
            return Outcome(Skip(made.reason, made.detail), None, made.kind, encode_ms, made.stage_ms)
        self._breaker.succeeded()
        if made.media_type != MEDIA_TYPE:
            return Outcome(Skip(Reason.NO_GAIN, f"the encoder made {made.media_type}"), None, made.kind, encode_ms)
        return Outcome(Take(), made, made.kind, encode_ms, made.stage_ms)
