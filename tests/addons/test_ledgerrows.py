"""Every response gets one row: with what crossed the wire, with a pseudonym, without an address."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from mitmproxy.test import tflow, tutils

from addons.exchange import KEY, DownstreamExchange, UpstreamExchange
from addons.ledgerrows import LedgerRows, Naming, draft
from addons.link import BYTES
from addons.passing import Tally
from addons.sockets import LeftOver, SocketMeter
from proxy.headers import Headers
from proxy.ledger import Row
from proxy.policy import RequestFacts, ResponseFacts

URL = "https://www.example.co.uk/secret/path?and=query"


class Counted(SocketMeter):
    """A meter with a fixed charge."""

    def __init__(self, charge: tuple[int, int] | None) -> None:
        super().__init__()
        self.fixed = charge

    def charge(self, flow: Any) -> tuple[int, int] | None:
        return self.fixed


def response(media_type: str = "text/html", body_bytes: int = 5_000) -> Any:
    flow = tflow.tflow(req=tutils.treq(host="www.example.co.uk", headers=()), resp=tutils.tresp())
    flow.request.url = URL
    exchange = DownstreamExchange(
        request=RequestFacts("GET", Headers(())), url=URL, client="c", key=b"", forced_original=False, request_bytes=100
    )
    exchange.came = ResponseFacts(200, Headers.of([("Content-Type", media_type)]))
    exchange.response_bytes, exchange.tally = 200, Tally()
    exchange.tally(b"x" * body_bytes)
    flow.metadata[KEY] = exchange
    return flow


def rows_of(charge: tuple[int, int] | None = None, naming: Naming | None = None) -> tuple[LedgerRows, list[Row]]:
    rows: list[Row] = []
    return LedgerRows("downstream", rows.append, naming, Counted(charge)), rows


def image(**changes: Any) -> Row:
    return replace(Row(time_s=time.time(), role="downstream", decision="reconstructed", link_bytes=1), **changes)


def test_a_page_gets_a_row() -> None:
    addon, rows = rows_of()
    addon.response(response("text/html; charset=utf-8"))
    [row] = rows
    assert (row.decision, row.image, row.content_type) == ("passed", False, "text/html")
    assert (row.origin_bytes, row.delivered_bytes, row.link_bytes, row.link_up_bytes) == (5_000, 5_000, 5_300, 100)
    assert row.total_ms is not None and row.link_ms is not None


def test_a_draft_is_completed_and_not_doubled() -> None:
    addon, rows = rows_of((400, 2_000))
    draft(image())
    addon.response(response("image/jpeg"))
    assert [(row.decision, row.link_bytes, row.link_up_bytes) for row in rows] == [("reconstructed", 2_400, 400)]
    addon.response(response())
    assert [row.decision for row in rows] == ["reconstructed", "passed"]


def test_the_link_s_own_account_comes_first() -> None:
    addon, rows = rows_of((400, 2_000))
    flow = response()
    flow.metadata[BYTES] = (30, 70)
    addon.response(flow)
    assert (rows[0].link_bytes, rows[0].link_up_bytes) == (100, 30)


def test_an_answer_of_our_own_costs_nothing() -> None:
    addon, rows = rows_of()
    flow = tflow.tflow(resp=tutils.tresp())
    draft(image(decision="cached", link_bytes=0))
    addon.requestheaders(flow)
    addon.response(flow)
    assert [(row.decision, row.link_bytes) for row in rows] == [("cached", 0)]


def test_people_who_leave_are_charged_for_what_came() -> None:
    addon, rows = rows_of((50, 800))
    addon.error(response())
    assert [(row.decision, row.reason, row.link_bytes) for row in rows] == [("error", "aborted", 850)]


def test_clients_are_pseudonyms_and_sites_are_domains_only_when_asked() -> None:
    seen: list[str] = []

    def pseudonym(who: str) -> str:
        seen.append(who)
        return "0123456789abcdef"

    for naming, subscriber, domain in (
        (Naming(pseudonym, domains=True), "0123456789abcdef", "example.co.uk"),
        (Naming(pseudonym, lambda client, flow: "user ada"), "0123456789abcdef", ""),
        (Naming(), "", ""),
    ):
        addon, rows = rows_of(naming=naming)
        addon.response(response())
        assert (rows[0].subscriber, rows[0].domain) == (subscriber, domain)
        assert "secret" not in repr(rows) and "query" not in repr(rows)
    assert seen == ["address 127.0.0.1", "user ada"]


def test_left_over_bytes_are_rows() -> None:
    addon, rows = rows_of()
    client = tflow.tflow().client_conn
    addon._left_over(LeftOver(client, 24, 31, 3))
    addon._left_over(LeftOver(client, 1_000, 9_000, 0))
    assert [(row.decision, row.link_bytes, row.origin_bytes, row.image) for row in rows] == [
        ("overhead", 55, 0, False),
        ("tunnelled", 10_000, 9_000, False),
    ]


def test_upstream_s_pages_have_the_origin_s_time() -> None:
    rows: list[Row] = []
    flow = response()
    flow.request.timestamp_end, flow.response.timestamp_end = 10.0, 10.25
    exchange = UpstreamExchange(
        request=RequestFacts("GET", Headers(())), url=URL, client="c", key=b"", accept=None, reads_pages=False,
        words_digest=None, back={}, forced_original=False, request_bytes=100,
    )  # fmt: skip
    exchange.origin = ResponseFacts(200, Headers.of([("Content-Type", "text/css")]))
    flow.metadata[KEY] = exchange
    LedgerRows("upstream", rows.append).response(flow)
    assert (rows[0].role, rows[0].origin_ms, rows[0].content_type) == ("upstream", 250.0, "text/css")


def test_a_defect_reaches_no_flow(caplog: pytest.LogCaptureFixture) -> None:
    def broken(row: Row) -> None:
        raise RuntimeError("broken")

    LedgerRows("downstream", broken).response(response())
    assert "has no row" in caplog.text
