from __future__ import annotations

import logging
import time

import pytest

from addons.accounts import Accounts, downstream_row, failed_row, unchanged_row
from addons.exchange import DownstreamExchange
from proxy.headers import Headers
from proxy.ledger import Row
from proxy.negotiation import Accept, Skipped
from proxy.policy import Reason, RequestFacts, ResponseFacts


def exchange(**known: object) -> DownstreamExchange:
    request = RequestFacts("GET", Headers((("Accept", "image/*"),)))
    url = "http://secret.test/path?query"
    made = DownstreamExchange(request=request, url=url, client="c", key=b"", forced_original=False, request_bytes=100)
    for name, value in known.items():
        setattr(made, name, value)
    return made


def came(status: int = 200, media_type: str = "image/jpeg", **fields: str) -> ResponseFacts:
    return ResponseFacts(status, Headers.of([("Content-Type", media_type), *fields.items()]))


ASKED = Accept("preview", "0" * 16)


@pytest.mark.parametrize(
    ("known", "answer", "reason"),
    [
        ({"accept": ASKED, "info": Skipped(Reason.KIND)}, came(), Reason.KIND),
        ({"forced_original": True}, came(), Reason.FORCED_ORIGINAL),
        ({"accept": ASKED}, came(304), Reason.NOT_MODIFIED),
        ({"accept": ASKED}, came(404), Reason.STATUS),
        ({"accept": ASKED}, came(media_type="image/svg+xml"), Reason.SVG),
        ({"accept": ASKED}, came(media_type="application/vnd.sketchwire.bundle"), Reason.FOREIGN_BUNDLE),
        ({"accept": ASKED}, came(), Reason.INTERNAL_ERROR),
        ({}, came(), Reason.NOT_ASKED),
    ],
)
def test_reasons_come_from_upstream_or_from_the_heads(
    known: dict[str, object], answer: ResponseFacts, reason: Reason
) -> None:
    row = downstream_row(exchange(**known), answer, 50)
    assert row.reason == reason.value
    assert (row.origin_bytes, row.delivered_bytes, row.link_bytes) == (50, 50, 150)


def test_nothing_that_is_written_down_names_an_address(caplog: pytest.LogCaptureFixture) -> None:
    rows: list[Row] = []
    accounts = Accounts(rows.append, logging.getLogger("sketchwire.test"))
    with caplog.at_level(logging.INFO):
        for row in (downstream_row(exchange(), came(), 5), failed_row(exchange()), unchanged_row()):
            accounts.enter(row, time.monotonic())
    assert len(rows) == 3 and all(row.total_ms is not None for row in rows)
    assert "secret" not in caplog.text and "secret" not in repr(rows)
    assert caplog.text.count("image role=downstream") == 3
