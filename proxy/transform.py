"""One held image becomes a bundle, a smaller file, or a reason to send it as it is: the upstream proxy's work between
two heads.

In: an answer's head and whole body, what downstream said it can draw, and the terms. Out: `Outcome`. Refuses (as a
`Skip`): what `policy.judge_body` refuses, codings that cannot be undone within the limit, what the encoder declines,
what takes too long (the search goes on for the cache), and, while the encoder keeps failing, everything for a while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from proxy.breaker import Breaker
from proxy.bundle import MEDIA_TYPE
from proxy.captions import Captioner
from proxy.coding import CodingError, CodingTooLarge, decode
from proxy.config import UpstreamConfig
from proxy.encode import BUNDLE_MODES, Declined, Encoded, EncodeRequest
from proxy.encode.ladder import TEXT_ENGINES
from proxy.encode.salient.verdict import names_logo
from proxy.encoded_cache import EncodedCache
from proxy.negotiation import Accept
from proxy.pages import words_digest
from proxy.policy import Limits, Reason, ResponseFacts, Skip, Take, Verdict, judge_body
from proxy.polish import Polisher
from proxy.sniff import may_move
from proxy.tiers import Terms
from proxy.verify import Verifier

logger = logging.getLogger("sketchwire.transform")

_WORDED_MODES = frozenset(("prompt", "edges", "edges+palette"))
_BROKEN_STAGE = frozenset((Reason.CRASHED, Reason.INTERNAL_ERROR))
_BUSY_STAGE = frozenset((Reason.BUSY, Reason.DEADLINE))


class Encoder(Protocol):
    """What makes bundles and files; proxy.encode.pool.EncoderPool is one."""

    async def encode(self, request: EncodeRequest) -> Encoded | Declined:
        """The answer, or why there is none. Never raises."""


@dataclass(frozen=True, slots=True)
class Words:
    """What this side knows an image's page says, the digest of what downstream knows, and whether the page or the
    image's address says that it is a logo.
    """

    text: str | None = None
    digest_downstream: bytes | None = None
    logo: bool = False

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


class _Search:
    """A search under way; `provisional` is what could be sent if it takes too long."""

    __slots__ = ("provisional", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[Encoded | Declined]
        self.provisional: Encoded | None = None


class Transformer:
    """Turns held images into less with `encoder`, on the terms of the configuration; measures with `verifier`."""

    def __init__(
        self,
        config: UpstreamConfig,
        encoder: Encoder,
        cache: EncodedCache | None = None,
        verifier: Verifier | None = None,
        captioner: Captioner | None = None,
        polisher: Polisher | None = None,
    ) -> None:
        self.limits = Limits(config.min_image_bytes, config.max_image_bytes, config.transform_private)
        self._config = config
        self._encoder = encoder
        self._verifier = verifier
        self._captioner = captioner
        self._polisher = polisher
        self._breaker = Breaker()
        self._cache = cache or EncodedCache()
        self._under_way: dict[bytes, _Search] = {}

    async def close(self) -> None:
        """Give up what is searched for in the background, and finish writing."""
        searches = [search.task for search in self._under_way.values()]
        for task in searches:
            task.cancel()
        await asyncio.gather(*searches, return_exceptions=True)
        if self._polisher is not None:
            await self._polisher.close()
        await self._cache.close()

    def configure(self, config: UpstreamConfig) -> None:
        """Work on other terms from now on."""
        self.limits = Limits(config.min_image_bytes, config.max_image_bytes, config.transform_private)
        self._config = config

    def ready(self) -> Verdict:
        """Whether the encoder is worth trying now."""
        return Take() if self._breaker.allows(time.monotonic()) else Skip(Reason.BREAKER_OPEN)

    @property
    def tier(self) -> str:
        """The tier of whoever names none."""
        return self._config.tier

    async def transform(
        self, origin: ResponseFacts, raw: bytes, accept: Accept, words: Words, asked: Terms | None = None
    ) -> Outcome:
        """What is sent for the body `raw` of an answer with the head `origin`. Without terms, the configured tier and
        bundles only. Never raises on bad images.
        """
        asked = asked or Terms(self._config.tier, ())
        began_s = time.monotonic()
        if self._polisher is not None:
            self._polisher.asked()
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
        text = words.text or await self._caption(origin, image, accept)
        request = EncodeRequest(
            data=image,
            mode=self._config.mode,
            words=text if self._worded(accept) else None,  # unused, they would only part what is the same
            words_known_downstream=words.agree and self._worded(accept),
            modes=modes,
            engine=accept.engine.partition("@")[0],
            max_pixels=self._config.max_image_pixels,
            min_bytes=self._config.min_image_bytes,
            tier=asked.tier,
            formats=asked.formats,
            moving=asked.moving and may_move(image),
            detect=bool(self._config.detect),
            detectors=self._config.detect,
            logo=words.logo,
            named_logo=names_logo(text),
            face_weights=self._config.face_weights or None,
        )
        made = await self._answered(request, accept.engine, _may_be_stored(origin, self._config))
        return self._outcome(made, asked, (time.monotonic() - began_s) * 1000)

    async def _caption(self, origin: ResponseFacts, image: bytes, accept: Accept) -> str | None:
        """A description for an image that the page says nothing about, if its bundle would carry words at all."""
        if self._captioner is None or not _may_be_stored(origin, self._config):
            return None
        return await self._captioner.words_for(image) if self._worded(accept) else None

    def _worded(self, accept: Accept) -> bool:
        """Whether a bundle for this receiver may carry words."""
        return self._config.mode in _WORDED_MODES or accept.engine.partition("@")[0] in TEXT_ENGINES

    async def _answered(self, request: EncodeRequest, engine: str, lasting: bool) -> Encoded | Declined:
        """The best answer that is found in time; the search for it is shared by all who ask for the same, and goes on
        for those who ask later.
        """
        key = self._cache.key(request, engine)
        made = await self._cache.find(key)
        if made is not None:
            if self._polisher is not None and isinstance(made, Encoded):
                self._polisher.found(key, request, made, lasting)
            return replace(made, stage_ms={"cached": 0.0})
        search = self._under_way.get(key)
        if search is None:
            search = self._under_way[key] = _Search()
            search.task = asyncio.create_task(self._search(search, key, request, engine, lasting))
            search.task.add_done_callback(_say_if_defect)
        await asyncio.wait((search.task,), timeout=self._config.encode_deadline_s)
        if search.task.done() and not search.task.cancelled():
            return search.task.result()
        late = f"nothing found within {self._config.encode_deadline_s:g} s"
        return search.provisional or Declined(Reason.DEADLINE, late)

    async def _search(
        self, search: _Search, key: bytes, request: EncodeRequest, engine: str, lasting: bool
    ) -> Encoded | Declined:
        try:
            measures = self._verifier is not None and await self._verifier.draws_for(engine)
            made = await self._encoder.encode(replace(request, shortlist=True) if measures else request)
            if measures and isinstance(made, Encoded) and self._verifier is not None:
                search.provisional = replace(made, shortlist=None)
                made = await self._verifier.best(request, made)
            self._cache.put(key, made, lasting)
            return made
        finally:
            self._under_way.pop(key, None)

    def _outcome(self, made: Encoded | Declined, asked: Terms, encode_ms: float) -> Outcome:
        if isinstance(made, Declined):
            if made.reason in _BROKEN_STAGE:
                self._breaker.failed(time.monotonic())
            elif made.reason not in _BUSY_STAGE:
                self._breaker.succeeded()
            return Outcome(Skip(made.reason, made.detail), None, made.kind, encode_ms, made.stage_ms)
        self._breaker.succeeded()
        if made.media_type not in (MEDIA_TYPE, *(f"image/{name}" for name in asked.formats)):
            return Outcome(Skip(Reason.NO_GAIN, f"the encoder made {made.media_type}"), None, made.kind, encode_ms)
        return Outcome(Take(), made, made.kind, encode_ms, made.stage_ms)


def _say_if_defect(task: asyncio.Task[Encoded | Declined]) -> None:
    """Whoever still waits gets the exception as well; nobody may."""
    if not task.cancelled() and task.exception() is not None:
        logger.error("a search for an encoding failed: %s", type(task.exception()).__name__)


def _may_be_stored(origin: ResponseFacts, config: UpstreamConfig) -> bool:
    """Whether what is made of an answer may be kept on disk."""
    kept_out = {"no-store", "private"} & set(origin.headers.directives("cache-control"))
    return not kept_out and not config.transform_private
