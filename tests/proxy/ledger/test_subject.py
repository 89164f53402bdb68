"""A person's data: all of it is handed out, and all of it can be made to go."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from proxy.ledger import Keep, Ledger, LedgerUnreadable, Place, Row, read
from proxy.ledger.database import open_writer
from proxy.ledger.read import opened
from proxy.ledger.rollup import maintain
from proxy.ledger.subject import UnknownSubscriber, everything, forget
from tests.proxy.ledger.rows import ADA, BOB, filled, now_s, row


@pytest.fixture
def lived_in(place: Place) -> Place:
    """Rows, hours and days of two people."""
    now = now_s()
    rows = [
        row(time_s=now - days * 86_400, subscriber=who, domain=f"{who[0]}-only.org", origin_bytes=1_000)
        for who in (ADA, BOB)
        for days in (0, 1, 10, 50)
    ]
    filled(place, *rows, domains=True)
    with open_writer(place).connect() as connection:
        while maintain(connection, Keep(), now):
            pass
    return place


def test_everything_about_one_and_nothing_about_another(lived_in: Place) -> None:
    found = list(everything(lived_in, ADA))
    assert {record["subscriber"] for record in found} == {ADA} and {record["domain"] for record in found} == {
        "a-only.org"
    }
    assert [record["record"] for record in found] == ["response", "response", "day", "hour", "hour"]
    assert {f.name for f in fields(Row)} <= found[0].keys()
    with pytest.raises(UnknownSubscriber):
        list(everything(lived_in, "c" * 16))


def test_forgetting_deletes_rows_and_names_and_keeps_sums(lived_in: Place) -> None:
    before = read.summary(lived_in).totals
    gone = forget(lived_in, ADA)
    assert (gone.rows, gone.sums) == (2, 4)
    found = read.summary(lived_in, domain_k=1)
    assert found.totals == before
    assert {group.key[0] for group in found.by_domain} == {"b-only.org", ""} and found.subscribers == 1
    assert len(list(everything(lived_in, BOB))) == 6  # the last hour's sum is new
    with pytest.raises(UnknownSubscriber):
        forget(lived_in, ADA)
    if isinstance(lived_in, Path):
        stored = b"".join(each.read_bytes() for each in lived_in.parent.iterdir())
        assert ADA.encode() not in stored and b"a-only" not in stored and BOB.encode() in stored


def test_a_proxy_that_is_running_notices(place: Place) -> None:
    ledger = Ledger(place, domains=True)
    for who in (ADA, BOB):
        ledger.record(row(subscriber=who, domain="x.org"))
    ledger.flush()
    forget(place, ADA)
    ledger.record(row(subscriber=ADA, domain="x.org"))
    ledger.record(row(subscriber=BOB, domain="x.org"))
    ledger.close()
    assert ledger.dropped == 0
    with opened(place) as reader:
        counts = {group.key[0]: group.totals.responses for group in reader.by_subscriber()}
    assert counts == {ADA: 1, BOB: 2, "": 1}


def test_there_is_nobody_to_forget_where_there_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnreadable, match="no ledger here yet"):
        forget(tmp_path / "none.sqlite", ADA)
    assert not (tmp_path / "none.sqlite").exists()
