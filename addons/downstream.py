"""The downstream proxy's addon: says what it can draw, and gives browsers images where bundles came.

In: flows of a proxy in upstream mode. Out: upstream's answers, unchanged and streamed, or images restored from bundles.
Refuses: bundles without the nonce of the request, and to let any field of ours reach a browser.

Whatever goes wrong with a bundle ends in a preview, then the original, then a 502, and never in a broken picture.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections import Counter
from dataclasses import replace

from mitmproxy import http

from addons import adapt
from addons.accounts import Accounts, Record, downstream_row, failed_row, unchanged_row, with_restored
from addons.exchange import KEY, DownstreamExchange
from addons.pagetext import COPY_BYTES, PageText, is_page
from addons.passing import Tally, Tee
from proxy import bare, etag, rewrite, transcode
from proxy.bundle import MAX_BUNDLE_BYTES, MEDIA_TYPE
from proxy.config import FORMATS as KNOWN_FORMATS
from proxy.freshness import Revalidations
from proxy.headers import Headers
from proxy.identity import Identity
from proxy.ledger import Row
from proxy.negotiation import (
    ACCEPT,
    INFO,
    ORIGINAL,
    WORDS,
    Accept,
    Taken,
    format_accept,
    format_words,
    parse_accept,
    parse_info,
)
from proxy.pages import words_digest
from proxy.policy import Limits, Reason, RequestFacts, ResponseFacts, Take, asks_for_image, asks_for_page, judge_request
from proxy.refetch import Refetched, Refetcher, RefetchError
from proxy.restore import Failed, Restored, Restorer

logger = logging.getLogger("sketchwire.downstream")

STREAMED_REQUEST_BYTES = 64 * 1024
REFETCH_DEADLINE_S = 30.0
FORMATS = (*transcode.FORMATS, bare.FORMAT)
CLASSICAL_TYPES = frozenset((*(f"image/{name}" for name in KNOWN_FORMATS), bare.MEDIA_TYPE))
MAX_RECODED_BYTES = 16 * 1024 * 1024


class Downstream:
    """The addon. `record` gets a ledger row for each image."""

    def __init__(
        self,
        restorer: Restorer,
        refetcher: Refetcher,
        *,
        pages: PageText | None = None,
        record: Record = lambda row: None,
    ) -> None:
        self._restorer = restorer
        self._refetcher = refetcher
        self._pages = pages
        self._accounts = Accounts(record, logger)
        self._identity = Identity()
        self._revalidations = Revalidations()
        self._nonce = secrets.token_hex(8)
        # the operator's bounds are upstream's; here only what no upstream would rewrite is left out
        self._limits = Limits(min_bytes=0, max_bytes=2**63, transform_private=True)
        self.failures: Counter[str] = Counter()

    # hooks, in the order of a flow; none of them may raise

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Confirm what the browser holds, or send the request on with what we can draw."""
        if flow.response is not None:
            return
        try:
            self._requestheaders(flow)
        except Exception:
            self._failed("requestheaders")
            adapt.refuse(flow, 502, "The request could not be handled.", "Try again; the log says why.")

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Decide whether a bundle is collected or an answer streams through."""
        exchange = flow.metadata.get(KEY)
        if flow.response is None or exchange is None:
            return
        try:
            self._responseheaders(flow.response, exchange)
        except Exception:
            self._failed("responseheaders")
            flow.response.stream = True

    async def response(self, flow: http.HTTPFlow) -> None:
        """Show what a bundle holds; account for it and for what streamed through."""
        exchange = flow.metadata.get(KEY)
        if flow.response is None or exchange is None or exchange.came is None:
            return
        try:
            if exchange.is_bundle:
                await self._show(flow, flow.response, exchange, exchange.came)
            elif exchange.is_file and exchange.tally is None:
                await self._recode(flow, flow.response, exchange, exchange.came)
            else:
                self._passed(exchange, exchange.came)
        except Exception:
            self._failed("response")
            if exchange.is_bundle or (exchange.is_file and exchange.tally is None):
                adapt.refuse(flow, 502, "The image could not be shown.", "Reload it; the log says why.")

    def error(self, flow: http.HTTPFlow) -> None:
        """The link failed; people who closed the page are no failure."""
        exchange = flow.metadata.get(KEY)
        closed = flow.error is None or "disconnected" in flow.error.msg.lower()
        if exchange is not None and not closed and asks_for_image(exchange.request):
            self._accounts.enter(failed_row(exchange), exchange.started_s)

    def _failed(self, where: str) -> None:
        self.failures[where] += 1
        logger.exception("defect in %s", where)

    # what they do

    def _requestheaders(self, flow: http.HTTPFlow) -> None:
        came = adapt.request_facts(flow)
        ours = parse_accept(came.headers.get(ACCEPT))
        if ours is not None and ours.nonce == self._nonce:
            adapt.refuse(flow, 508, "This request has passed here before: the proxies are configured in a circle.")
            return
        headers = rewrite.without_partial(rewrite.without_ours(came.headers))
        facts = RequestFacts(came.method, headers)
        client = self._identity.pseudonym(adapt.client_address(flow))
        key = self._identity.key(client, flow.request.url, headers)
        forced = came.headers.get(ORIGINAL) == "1"
        exchange = DownstreamExchange(
            request=facts, url=flow.request.url, client=client, key=key, forced_original=forced
        )
        if facts.method == "GET" and not exchange.forced_original:
            tag = self._revalidations.still_fresh(key, headers, time.time())
            if tag is not None:
                adapt.answer(flow, 304, rewrite.confirmed_head(tag))
                self._accounts.enter(unchanged_row())
                return
        exchange.sent = headers.adding(*self._our_fields(exchange))
        adapt.set_headers(flow.request, exchange.sent)
        exchange.request_bytes = adapt.request_head_bytes(flow)
        flow.metadata[KEY] = exchange
        if adapt.large_or_unknown_body(flow.request, STREAMED_REQUEST_BYTES):
            flow.request.stream = True

    def _our_fields(self, exchange: DownstreamExchange) -> list[tuple[str, str]]:
        """What upstream must know; nothing where the answer can be neither an image nor a page."""
        verdict = judge_request(exchange.request, self._limits)
        may_be_image = isinstance(verdict, Take) or verdict.reason is Reason.RANGE
        is_page_wanted = self._pages is not None and asks_for_page(exchange.request)
        fields = [(ORIGINAL, "1")] if exchange.forced_original else []
        if not may_be_image and not is_page_wanted:
            return fields
        offer = self._restorer.offer
        exchange.accept = Accept(offer.engine, self._nonce, offer.modes, exchange.client, offer.tier, FORMATS)
        fields.append((ACCEPT, format_accept(exchange.accept)))
        if may_be_image and self._pages is not None:
            referer = exchange.request.headers.get("referer")
            exchange.words = self._pages.words_for(exchange.client, exchange.url, referer)
            if exchange.words is not None:
                fields.append((WORDS, format_words(words_digest(exchange.words))))
        return fields

    def _responseheaders(self, response: http.Response, exchange: DownstreamExchange) -> None:
        came = exchange.came = adapt.response_facts(response)
        exchange.response_bytes = adapt.response_head_bytes(response)
        exchange.info = parse_info(came.headers.get(INFO))
        exchange.is_bundle = self._is_our_bundle(exchange, came)
        exchange.is_file = self._is_our_file(exchange, came)
        if exchange.is_bundle or (exchange.is_file and self._must_recode(exchange, came)):
            response.stream = False
            return
        if exchange.is_file:
            self._pass_file(response, exchange, came)
            return
        headers = rewrite.neutralised(came.headers)
        if came.status == 304:
            headers = self._confirm_shown(exchange, headers)
        if headers != came.headers:
            adapt.set_headers(response, headers)
        if came.status != 101:
            reads = self._pages is not None and exchange.accept is not None and came.status == 200
            exchange.tally = Tee(COPY_BYTES) if reads and is_page(headers) else Tally()
            response.stream = exchange.tally

    def _is_our_bundle(self, exchange: DownstreamExchange, came: ResponseFacts) -> bool:
        length = came.headers.number("content-length")
        small = length is not None and length <= MAX_BUNDLE_BYTES
        return came.headers.media_type() == MEDIA_TYPE and small and self._is_made(exchange, came)

    def _is_our_file(self, exchange: DownstreamExchange, came: ResponseFacts) -> bool:
        named = came.headers.media_type() in CLASSICAL_TYPES and "content-length" in came.headers
        return named and self._is_made(exchange, came)

    def _is_made(self, exchange: DownstreamExchange, came: ResponseFacts) -> bool:
        """Whether our upstream made this answer for this request."""
        genuine = isinstance(exchange.info, Taken) and secrets.compare_digest(exchange.info.nonce, self._nonce)
        return genuine and came.status == 200 and exchange.accept is not None

    def _must_recode(self, exchange: DownstreamExchange, came: ResponseFacts) -> bool:
        media_type = came.headers.media_type()
        if media_type == bare.MEDIA_TYPE:
            return True
        small = (came.headers.number("content-length") or 0) <= MAX_RECODED_BYTES
        return small and transcode.needed(media_type, exchange.request.headers.get("accept"))

    def _pass_file(self, response: http.Response, exchange: DownstreamExchange, came: ResponseFacts) -> None:
        """A classical file that the browser can show streams through, under the head of a reconstruction."""
        tag, size_bytes = came.headers.get("etag"), came.headers.number("content-length") or 0
        adapt.set_headers(response, rewrite.shown_head(came.headers, came.headers.media_type(), size_bytes, tag, False))
        if tag:
            self._revalidations.remember(exchange.key, tag, came.headers, exchange.request.headers, time.time())
        exchange.tally = Tally()
        response.stream = exchange.tally

    def _confirm_shown(self, exchange: DownstreamExchange, headers: Headers) -> Headers:
        """A 304 that comes for a reconstruction: confirmed under our tag, and fresh for as long as the origin says."""
        held = [tag for tag in etag.split(exchange.request.headers.get("if-none-match")) if etag.is_ours(tag)]
        if not held:
            return headers
        self._revalidations.remember(exchange.key, held[0], headers, exchange.request.headers, time.time())
        return rewrite.confirmed_head(held[0])

    async def _show(
        self, flow: http.HTTPFlow, response: http.Response, exchange: DownstreamExchange, came: ResponseFacts
    ) -> None:
        bundle = response.raw_content or b""
        assert isinstance(exchange.info, Taken)
        accept = exchange.request.headers.get("accept") or ""
        row = downstream_row(exchange, came, len(bundle))
        made = await self._restorer.restore(bundle, exchange.words, accept, exchange.info.content_type, exchange.client)
        if isinstance(made, Restored):
            tag = came.headers.get("etag") or etag.local(hashlib.sha256(bundle).digest())
            size_bytes, told = len(made.body), made.provenance
            headers = rewrite.shown_head(came.headers, made.media_type, size_bytes, tag, made.degraded, told)
            adapt.set_response(response, headers, made.body)
            if not made.degraded:
                self._revalidations.remember(exchange.key, tag, came.headers, exchange.request.headers, time.time())
            row = with_restored(row, made)
        else:
            row = await self._show_original(flow, response, exchange, row, made)
        self._accounts.enter(row, exchange.started_s)

    async def _recode(
        self, flow: http.HTTPFlow, response: http.Response, exchange: DownstreamExchange, came: ResponseFacts
    ) -> None:
        """A classical file gets its boxes back, and becomes one that the browser can show where it cannot."""
        assert isinstance(exchange.info, Taken)
        came_bytes = response.raw_content or b""
        row = downstream_row(exchange, came, len(came_bytes))
        accept = exchange.request.headers.get("accept") or ""
        made = await self._restorer.recode(came_bytes, came.headers.media_type(), accept, exchange.info.content_type)
        if isinstance(made, Failed):
            row = await self._show_original(flow, response, exchange, row, made)
        else:
            body, media_type = made
            tag = came.headers.get("etag")
            adapt.set_response(response, rewrite.shown_head(came.headers, media_type, len(body), tag, False), body)
            if tag:
                self._revalidations.remember(exchange.key, tag, came.headers, exchange.request.headers, time.time())
            row = replace(row, delivered_bytes=len(body))
        self._accounts.enter(row, exchange.started_s)

    async def _show_original(
        self, flow: http.HTTPFlow, response: http.Response, exchange: DownstreamExchange, row: Row, why: Failed
    ) -> Row:
        logger.warning("a bundle could not be shown (%s): %s", why.reason, why.detail)
        try:
            original: Refetched = await self._refetcher.fetch(exchange.url, exchange.sent, REFETCH_DEADLINE_S)
        except RefetchError as error:
            logger.warning("nor could its original be fetched: %s", error)
            adapt.refuse(flow, 502, "The image could not be shown.", "Reload it in a moment.")
            return replace(row, decision="error", reason=why.reason.value)
        headers = rewrite.neutralised(original.headers)
        adapt.set_response(response, headers, original.body, original.status)
        return replace(
            row,
            decision="original",
            reason=why.reason.value,
            refetch_bytes=original.link_bytes,
            refetches=1,
            delivered_bytes=len(original.body),
        )

    def _passed(self, exchange: DownstreamExchange, came: ResponseFacts) -> None:
        if isinstance(exchange.tally, Tee) and self._pages is not None:
            self._pages.read(exchange.client, exchange.url, exchange.tally.take(), came.headers)
        if came.headers.media_type().startswith("image/") or asks_for_image(exchange.request):
            passed_bytes = exchange.tally.size_bytes if exchange.tally else 0
            self._accounts.enter(downstream_row(exchange, came, passed_bytes), exchange.started_s)
