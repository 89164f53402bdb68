"""What is written down about an image: one ledger row and one log line, from what an exchange knows at its end.

In: exchanges, outcomes, sizes. Out: rows, whose link bytes are heads and bodies; `addons.ledgerrows` puts in what was
counted, and who asked. Refuses: anything but images; a row has no place for an address.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from addons.exchange import DownstreamExchange, UpstreamExchange
from proxy.bundle import MEDIA_TYPE
from proxy.ledger import Row
from proxy.negotiation import NO_ENGINE, Skipped, Taken
from proxy.policy import Limits, Reason, ResponseFacts, Skip, judge_head
from proxy.restore import Restored
from proxy.trace import image_line
from proxy.transform import Outcome

Record = Callable[[Row], None]


class Accounts:
    """Logs each row to `logger` and hands it to `record`, which must not block (`ledgerrows.draft` in a proxy)."""

    def __init__(self, record: Record, logger: logging.Logger) -> None:
        self._record = record
        self._logger = logger

    def enter(self, row: Row, started_s: float | None = None, stage_ms: Mapping[str, float] | None = None) -> None:
        """Write `row` down; its total time ends now if `started_s` (a monotonic clock) is given."""
        if started_s is not None:
            row = replace(row, total_ms=(time.monotonic() - started_s) * 1000)
        self._logger.info(image_line(row, stage_ms))
        self._record(row)


def upstream_row(exchange: UpstreamExchange, origin: ResponseFacts, head_bytes: int, body_bytes: int) -> Row:
    """An image that passed upstream as it came; `head_bytes` and `body_bytes` are the answer's on the link."""
    reason = exchange.verdict.reason.value if isinstance(exchange.verdict, Skip) else ""
    return Row(
        time_s=time.time(),
        role="upstream",
        decision="original" if exchange.forced_original else "skipped",
        content_type=origin.headers.media_type(),
        reason=reason,
        origin_bytes=body_bytes,
        link_bytes=exchange.request_bytes + head_bytes + body_bytes,
        link_up_bytes=exchange.request_bytes,
        delivered_bytes=body_bytes,
        cache_hit=bool(exchange.from_cache),
    )


def with_outcome(row: Row, exchange: UpstreamExchange, outcome: Outcome, origin_bytes: int) -> Row:
    """The row of an image that was held for the encoder."""
    row = replace(row, origin_bytes=origin_bytes, kind=outcome.kind, encode_ms=outcome.encode_ms)
    if isinstance(outcome.verdict, Skip) or outcome.encoded is None:
        return replace(row, reason=outcome.verdict.reason.value if isinstance(outcome.verdict, Skip) else "")
    drawn = outcome.encoded.media_type == MEDIA_TYPE
    return replace(
        row,
        decision="reconstructed" if drawn else "recoded",
        reason="",
        mode=outcome.encoded.mode,
        engine=exchange.accept.engine if exchange.accept and drawn else "",
        width_px=outcome.encoded.width_px,
        height_px=outcome.encoded.height_px,
        quality=outcome.encoded.score,
    )


def downstream_row(exchange: DownstreamExchange, came: ResponseFacts, body_bytes: int) -> Row:
    """An image that crossed the link with a body of `body_bytes`."""
    row = Row(
        time_s=time.time(),
        role="downstream",
        decision="original" if exchange.forced_original else "skipped",
        content_type=came.headers.media_type(),
        origin_bytes=body_bytes,
        link_bytes=exchange.request_bytes + exchange.response_bytes + body_bytes,
        link_up_bytes=exchange.request_bytes,
        delivered_bytes=body_bytes,
        link_ms=(time.monotonic() - exchange.started_s) * 1000,
    )
    info = exchange.info if exchange.is_bundle or exchange.is_file else None
    if not isinstance(info, Taken):
        return from_cache(replace(row, reason=_why_unchanged(exchange, came).value), exchange.from_cache)
    row = from_cache(row, exchange.from_cache)
    return replace(
        row,
        decision="recoded" if exchange.is_file else row.decision,
        content_type=info.content_type,
        origin_bytes=info.origin_bytes,
        mode=info.mode,
        kind=info.kind,
        encode_ms=float(info.encode_ms),
    )


def with_restored(row: Row, made: Restored) -> Row:
    """The row of a bundle that became an image."""
    return replace(
        row,
        decision="preview" if made.degraded or made.engine == NO_ENGINE else "reconstructed",
        reason=made.reason.value if made.reason else "",
        engine=made.engine,
        width_px=made.width_px,
        height_px=made.height_px,
        delivered_bytes=len(made.body),
        queue_ms=made.queue_ms,
        reconstruct_ms=made.reconstruct_ms,
        cache_hit=made.cache_hit or row.cache_hit,
    )


def from_cache(row: Row, how: str) -> Row:
    """The row of an answer whose body came from downstream's HTTP cache; what crossed the link, if anything, is known
    where the sockets are counted.
    """
    if not how:
        return row
    row = replace(row, cache_hit=True)
    if how == "validated":  # a 304 crossed
        return replace(row, link_bytes=max(0, row.link_bytes - row.delivered_bytes))
    reason = Reason.STALE if how == "stale" else Reason.CACHED
    unchanged = row.decision in ("passed", "skipped", "original")
    decision = "cached" if unchanged else row.decision
    return replace(row, decision=decision, reason=reason.value, link_bytes=0, link_up_bytes=0, link_ms=None)


def unchanged_row() -> Row:
    """A picture that the browser holds was confirmed without the link."""
    return Row(time_s=time.time(), role="downstream", decision="cached", reason=Reason.NOT_MODIFIED.value)


def failed_row(exchange: DownstreamExchange) -> Row:
    """An image that never came, because upstream or the origin could not be reached."""
    row = Row(time_s=time.time(), role="downstream", decision="error", reason=Reason.UNREACHABLE.value)
    return replace(row, link_bytes=exchange.request_bytes, link_up_bytes=exchange.request_bytes)


def _why_unchanged(exchange: DownstreamExchange, came: ResponseFacts) -> Reason:
    """Upstream's word, else what the heads tell."""
    if exchange.forced_original:
        return Reason.FORCED_ORIGINAL
    if isinstance(exchange.info, Skipped):
        return exchange.info.reason
    if came.headers.media_type() == MEDIA_TYPE:
        return Reason.FOREIGN_BUNDLE
    if came.status == 304:
        return Reason.NOT_MODIFIED
    verdict = judge_head(exchange.request, came, Limits(min_bytes=0, max_bytes=2**63))
    if isinstance(verdict, Skip):
        return verdict.reason
    return Reason.NOT_ASKED if exchange.accept is None else Reason.INTERNAL_ERROR
