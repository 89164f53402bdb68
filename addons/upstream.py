"""The upstream proxy's addon: strips and records what downstream asks, and sends less instead of images.

In: flows of a proxy in regular mode. Out: the origin's answers, unchanged and streamed, or bundles, or smaller files of
the same image. Refuses: to rewrite
for anyone who did not ask in the request itself, and to believe an origin that speaks our media type or our fields.

Whatever goes wrong here, the origin's own bytes pass; a request that cannot be handled is answered with 502, because a
flow whose hook fails would otherwise reach the origin with our fields in it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter

from mitmproxy import http

from addons import adapt
from addons.accounts import Accounts, Record, upstream_row, with_outcome
from addons.exchange import KEY, UpstreamExchange
from addons.pagetext import COPY_BYTES, PageText, is_page
from addons.passing import Tally, Tee
from proxy import bare, etag, rewrite
from proxy.bundle import MEDIA_TYPE
from proxy.encode import Encoded
from proxy.headers import Headers
from proxy.identity import Identity
from proxy.negotiation import ACCEPT, ORIGINAL, WORDS, Skipped, Taken, parse_accept, parse_words
from proxy.pages import address_says_logo
from proxy.policy import Reason, RequestFacts, ResponseFacts, Skip, Take, Verdict, judge_head
from proxy.ranges import Span, Unsatisfiable, parse_range
from proxy.spool import Original, Spool
from proxy.tiers import terms
from proxy.transform import Transformer, Words

logger = logging.getLogger("sketchwire.upstream")

# RFC 8586: a loop is found like by Via, but servers don't stop compressing text because of it, as nginx does for Via
LOOP_FIELD = "CDN-Loop"
STREAMED_REQUEST_BYTES = 64 * 1024


class Upstream:
    """The addon. `record` gets a ledger row for each image; `loop_id` names this proxy in CDN-Loop."""

    def __init__(
        self,
        transformer: Transformer,
        spool: Spool,
        *,
        pages: PageText | None = None,
        record: Record = lambda row: None,
        loop_id: str = "sketchwire",
        max_held: int = 34,
    ) -> None:
        self._transformer = transformer
        self._spool = spool
        self._pages = pages
        self._accounts = Accounts(record, logger)
        self._loop_id = loop_id.lower()
        self._max_held = max_held
        self._identity = Identity()
        self._held: set[str] = set()  # flows whose bodies are in memory
        self.failures: Counter[str] = Counter()

    # hooks, in the order of a flow; none of them may raise

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Record and strip what downstream says; refuse loops; answer from the spool."""
        if flow.response is not None:
            return  # refused by the guard
        try:
            self._requestheaders(flow)
        except Exception:
            self._failed("requestheaders")
            adapt.refuse(flow, 502, "The request could not be handled.", "Try again; the log says why.")

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Decide whether the body is held for the encoder or streams through."""
        exchange = flow.metadata.get(KEY)
        if flow.response is None or exchange is None:
            return
        try:
            self._responseheaders(flow, flow.response, exchange)
        except Exception:
            self._failed("responseheaders")
            exchange.verdict = None
            flow.response.stream = True

    async def response(self, flow: http.HTTPFlow) -> None:
        """Encode what was held; account for it and for what was streamed."""
        exchange = flow.metadata.get(KEY)
        if flow.response is None or exchange is None:
            return
        try:
            await self._response(flow.response, exchange)
        except Exception:
            self._failed("response")
        finally:
            self._held.discard(flow.id)

    def error(self, flow: http.HTTPFlow) -> None:
        """The flow ended early: its body is no longer held."""
        self._held.discard(flow.id)

    def _failed(self, where: str) -> None:
        self.failures[where] += 1
        logger.exception("defect in %s; the original passes", where)

    # what they do

    def _requestheaders(self, flow: http.HTTPFlow) -> None:
        facts = adapt.request_facts(flow)
        headers = rewrite.without_partial(facts.headers)
        if any(self._loop_id in value for value in (*headers.tokens("cdn-loop"), *headers.tokens("via"))):
            adapt.refuse(flow, 508, "This request has passed here before: the proxies are configured in a circle.")
            return
        accept = parse_accept(headers.get(ACCEPT))
        forced = headers.get(ORIGINAL) == "1"
        digest = parse_words(headers.get(WORDS))
        headers, back = rewrite.with_tags_for_origin(rewrite.without_ours(headers), accept is not None and not forced)
        client = f"{adapt.client_address(flow)}|{accept.client if accept else ''}"
        exchange = UpstreamExchange(
            request=RequestFacts(facts.method, headers),
            url=flow.request.url,
            client=client,
            key=self._identity.key(client, flow.request.url, headers),
            accept=None if forced else accept,
            reads_pages=self._pages is not None and accept is not None and bool(accept.client),
            words_digest=digest,
            back=back,
            forced_original=forced,
            request_bytes=adapt.request_head_bytes(flow),
        )
        adapt.set_headers(flow.request, headers.adding((LOOP_FIELD, self._loop_id)))
        if facts.method == "GET" and (forced or "range" in headers):
            spooled = self._spool.get(exchange.key, time.monotonic())
            if spooled is not None:
                _answer_spooled(flow, spooled, headers)
                return
        flow.metadata[KEY] = exchange
        if adapt.large_or_unknown_body(flow.request, STREAMED_REQUEST_BYTES):
            flow.request.stream = True

    def _responseheaders(self, flow: http.HTTPFlow, response: http.Response, exchange: UpstreamExchange) -> None:
        came = adapt.response_facts(response)
        headers = rewrite.neutralised(came.headers)
        if came.status == 304:
            headers = rewrite.with_our_tag(headers, exchange.back)
        origin = exchange.origin = ResponseFacts(came.status, headers)
        foreign = came.headers.media_type() in rewrite.OUR_TYPES
        verdict = exchange.verdict = Skip(Reason.FOREIGN_BUNDLE) if foreign else self._judge(exchange, origin)
        if isinstance(verdict, Skip) and exchange.accept is not None and came.status == 200 and _is_image(origin):
            headers = rewrite.announced(headers, Skipped(verdict.reason))
        if headers != came.headers:
            adapt.set_headers(response, headers)
        if isinstance(verdict, Take):
            self._held.add(flow.id)
            response.stream = False
        elif came.status != 101:
            reads = exchange.reads_pages and came.status == 200 and is_page(headers)
            exchange.tally = Tee(COPY_BYTES) if reads else Tally()
            response.stream = exchange.tally

    def _judge(self, exchange: UpstreamExchange, origin: ResponseFacts) -> Verdict:
        if exchange.accept is None:
            return Skip(Reason.FORCED_ORIGINAL if exchange.forced_original else Reason.NOT_ASKED)
        verdict = judge_head(exchange.request, origin, self._transformer.limits)
        if isinstance(verdict, Skip):
            return verdict
        if len(self._held) >= self._max_held:
            return Skip(Reason.BUSY, "too many images at once")
        return self._transformer.ready()

    async def _response(self, response: http.Response, exchange: UpstreamExchange) -> None:
        origin, accept = exchange.origin, exchange.accept
        if origin is None or exchange.verdict is None:
            return
        if response.stream and isinstance(exchange.verdict, Take):  # of unknown length, and it became too long to hold
            exchange.verdict = Skip(Reason.TOO_LARGE)
        if not isinstance(exchange.verdict, Take) or accept is None:
            passed_bytes = exchange.tally.size_bytes if exchange.tally else 0
            if isinstance(exchange.tally, Tee) and self._pages is not None:
                self._pages.read(exchange.client, exchange.url, exchange.tally.take(), origin.headers)
            if _is_image(origin):
                row = upstream_row(exchange, origin, adapt.response_head_bytes(response), passed_bytes)
                self._accounts.enter(row, exchange.started_s)
            return
        raw = response.raw_content or b""
        asked = terms(self._transformer.tier, accept, exchange.request.headers)
        outcome = await self._transformer.transform(origin, raw, accept, self._words(exchange), asked)
        if outcome.encoded is None:
            assert isinstance(outcome.verdict, Skip)
            adapt.set_response(response, rewrite.announced(origin.headers, Skipped(outcome.verdict.reason)), raw)
        else:
            made = outcome.encoded
            content_type = origin.headers.media_type()
            info = Taken(accept.nonce, made.mode, len(raw), round(outcome.encode_ms), content_type, outcome.kind)
            self._spool.put(exchange.key, Original(origin.headers, raw), time.monotonic())
            body, media_type = made.body, made.media_type
            if bare.FORMAT in accept.formats:
                body, media_type = bare.crossing(body, media_type)
            adapt.set_response(response, _made_head(origin.headers, made, media_type, len(body), info), body)
        row = upstream_row(exchange, origin, adapt.response_head_bytes(response), len(response.raw_content or b""))
        self._accounts.enter(with_outcome(row, exchange, outcome, len(raw)), exchange.started_s, outcome.stage_ms)

    def _words(self, exchange: UpstreamExchange) -> Words:
        logo = address_says_logo(exchange.url)
        if self._pages is None or not exchange.reads_pages:
            return Words(logo=logo)
        client, url, referer = exchange.client, exchange.url, exchange.request.headers.get("referer")
        words = self._pages.words_for(client, url, referer)
        return Words(words, exchange.words_digest, logo or self._pages.is_logo(client, url))


def _made_head(origin: Headers, made: Encoded, media_type: str, body_bytes: int, info: Taken) -> Headers:
    """The head of what crosses for `made`, `body_bytes` of `media_type`."""
    if made.media_type == MEDIA_TYPE:
        return rewrite.bundle_head(origin, body_bytes, info)
    tag = etag.local(hashlib.sha256(made.body).digest())
    return rewrite.file_head(origin, media_type, body_bytes, tag, info)


def _is_image(origin: ResponseFacts) -> bool:
    return origin.headers.media_type().startswith("image/")


def _answer_spooled(flow: http.HTTPFlow, spooled: Original, request: Headers) -> None:
    """Answer with an original that was rewritten a moment ago, or the part of it that is asked for."""
    size = len(spooled.body)
    span = parse_range(request.get("range") or "", size) if "if-range" not in request else None
    if isinstance(span, Unsatisfiable):
        adapt.answer(flow, 416, Headers((("Content-Range", f"bytes */{size}"), ("Content-Length", "0"))))
    elif isinstance(span, Span):
        part = spooled.body[span.first : span.last + 1]
        content_range = ("Content-Range", f"bytes {span.first}-{span.last}/{size}")
        adapt.answer(flow, 206, rewrite.spooled_head(spooled.headers, len(part)).adding(content_range), part)
    else:
        adapt.answer(flow, 200, rewrite.spooled_head(spooled.headers, size), spooled.body)
