"""Summaries add up, periods neither overlap nor miss, domains are merged until enough people share them."""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from proxy.config import LedgerConfig
from proxy.ledger import Keep, Ledger, LedgerUnreadable, Place, Row, ledger_file, ledger_place, read
from proxy.ledger.database import open_writer, shown
from proxy.ledger.read import Scope, opened
from proxy.ledger.rollup import maintain
from proxy.ledger.sums import roll_slice
from tests.proxy.ledger.conftest import Fill
from tests.proxy.ledger.rows import ADA, BOB, filled, now_s, row


def test_summary_adds_up_and_charges_refetches(ledger_of: Fill) -> None:
    now = now_s()
    place = ledger_of(
        row(time_s=now, origin_bytes=10_000, link_bytes=1_000, delivered_bytes=8_000, encode_ms=10.0),
        row(time_s=now, origin_bytes=10_000, link_bytes=1_000, delivered_bytes=8_000, encode_ms=20.0, cache_hit=True),
        row(
            time_s=now, origin_bytes=10_000, link_bytes=1_000, refetch_bytes=10_500, refetches=1, decision="original",
            reason="deadline", mode="edges", encode_ms=None,
        ),
        row(time_s=now - 500, origin_bytes=99, decision="skipped", reason="svg", mode="", content_type="image/gif"),
    )  # fmt: skip
    found = read.summary(place, since_s=now - 100)
    assert (found.totals.responses, found.totals.images, found.totals.cache_hits) == (3, 3, 1)
    assert (found.totals.link_up_bytes, found.totals.refetches) == (1_200, 1)
    assert found.totals.saved_bytes == 30_000 - 3_000 - 10_500
    assert found.totals.saved_percent == pytest.approx(55.0)
    assert [(g.key, g.totals.images) for g in found.by_decision] == [
        (("reconstructed", ""), 2),
        (("original", "deadline"), 1),
    ]
    assert [g.key for g in found.by_mode] == [("thumbnail",), ("edges",)]
    [encode, total] = found.stages
    assert (encode.name, encode.responses, encode.p50_ms, encode.p95_ms) == ("encode_ms", 2, 10.0, 20.0)
    assert total.name == "total_ms" and total.exact
    everything = read.summary(place)
    assert everything.totals.images == 4
    assert [g.key for g in everything.by_mode] == [("thumbnail",), ("edges",)]  # a skipped image has no mode
    assert [g.key for g in everything.by_content_type] == [("image/jpeg",), ("image/gif",)]


def test_images_are_told_from_other_responses(ledger_of: Fill) -> None:
    page = row(decision="passed", image=False, content_type="text/html", mode="", origin_bytes=1_000, link_bytes=1_200)
    found = read.summary(ledger_of(row(), page))
    assert (found.totals.responses, found.totals.images, found.images.responses) == (2, 1, 1)
    assert found.images.origin_bytes == 50_000 and found.totals.origin_bytes == 51_000


def test_overhead_counts_as_bytes_but_not_as_a_response(ledger_of: Fill) -> None:
    farewell = row(decision="overhead", image=False, mode="", content_type="", origin_bytes=0, link_bytes=700)
    found = read.summary(ledger_of(row(), farewell))
    assert found.totals.responses == 1 and found.totals.link_bytes == 2_200


def test_a_summary_of_one_role_counts_a_response_in_a_shared_ledger_once(ledger_of: Fill) -> None:
    place = ledger_of(row(), row(role="upstream", total_ms=9.0), row(role="upstream"))
    assert [read.summary(place, role=role).totals.images for role in ("downstream", "upstream", None)] == [1, 2, 3]
    assert [s.responses for s in read.summary(place, role="downstream").stages] == [1, 1]
    assert read.summary(place, role="nobody").totals.responses == 0


def test_percentiles_are_by_nearest_rank(ledger_of: Fill) -> None:
    place = ledger_of(*(row(encode_ms=float(n)) for n in range(1, 101)))
    stage = next(s for s in read.summary(place).stages if s.name == "encode_ms")
    assert (stage.p50_ms, stage.p95_ms, stage.p99_ms) == (50.0, 95.0, 99.0)


def test_qualities_have_percentiles_and_a_histogram(ledger_of: Fill) -> None:
    place = ledger_of(*(row(quality=n / 100) for n in (91, 91, 80, 75)), row(quality=None))
    found = read.summary(place).quality
    assert found is not None
    assert (found.images, found.p5, found.p50, found.p95) == (4, 0.75, 0.8, 0.91)
    assert found.counts == ((0.755, 1), (0.805, 1), (0.915, 2))


def test_an_empty_ledger_has_an_empty_summary(place: Place) -> None:
    ledger = Ledger(place)
    ledger.flush()
    ledger.close()
    found = read.summary(place)
    assert found.totals.images == 0 and found.totals.saved_percent is None and found.stages == ()
    assert found.quality is None and found.by_domain == () and found.first_s is None


def test_one_subscriber_apart(ledger_of: Fill) -> None:
    place = ledger_of(row(), row(), row(subscriber=BOB, origin_bytes=7, encode_ms=5.0), row(subscriber=""))
    mine = read.summary(place, subscriber=BOB)
    assert (mine.totals.responses, mine.totals.origin_bytes, mine.subscribers) == (1, 7, 1)
    assert mine.stages[0].p50_ms == 5.0
    assert read.summary(place, subscriber="c" * 16).totals.responses == 0
    assert read.summary(place).subscribers == 2
    with opened(place) as reader:
        groups = {group.key[0]: group.totals.responses for group in reader.by_subscriber()}
    assert groups == {ADA: 2, BOB: 1, "": 1}


def visits(domain: str, people: int) -> list[Row]:
    return [row(domain=domain, subscriber=f"{number:016x}") for number in range(people)]


def test_domains_that_few_visited_are_merged(place: Place) -> None:
    filled(place, *visits("common.org", 5), *visits("rare.org", 4), *visits("lone.org", 1), row(), domains=True)
    shared = {group.key[0]: group.totals.responses for group in read.summary(place, domain_k=5).by_domain}
    assert shared == {"common.org": 5, "other": 5, "": 1}
    own = read.summary(place, domain_k=5, subscriber=f"{0:016x}").by_domain
    assert {group.key[0] for group in own} == {"common.org", "rare.org", "lone.org"}
    with open_writer(place).connect() as connection:  # the same once there are sums instead of rows
        roll_slice(connection, 2**53)
    assert {g.key[0]: g.totals.responses for g in read.summary(place, domain_k=5).by_domain} == shared


def test_without_domains_there_is_no_table_of_them(ledger_of: Fill) -> None:
    assert read.summary(ledger_of(row())).by_domain == ()


@pytest.mark.parametrize("rolled", ["rows", "sums", "both"])
def test_any_period_holds_exactly_its_responses(place: Place, rolled: str) -> None:
    now, dice = now_s(), random.Random(5)
    times = [round(now - dice.uniform(0, 30 * 3600), 3) for _ in range(400)]
    filled(place, *(row(time_s=at, role=dice.choice(("downstream", "upstream"))) for at in times))
    with open_writer(place).connect() as connection:
        if rolled != "rows":
            roll_slice(connection, int((now - (0 if rolled == "sums" else 12 * 3600)) * 1000))
    with opened(place) as reader:
        for _ in range(60):
            since, until = sorted(round(now - dice.uniform(-3600, 31 * 3600), 3) for _ in range(2))
            wanted = sum(since <= at < until for at in times)
            assert reader.summary(Scope(since, until)).totals.responses == wanted
        for step_s in (60, 3600, 86_400):
            points = reader.series(step_s, Scope(now - 9 * 3600))
            assert Counter({p.start_s: p.totals.responses for p in points}) == Counter(
                int(at // step_s) * step_s for at in times if at >= now - 9 * 3600
            )


def test_periods_that_touch_never_overlap_even_when_rows_are_gone(place: Place) -> None:
    now, dice = now_s(), random.Random(6)
    filled(place, *(row(time_s=round(now - dice.uniform(0, 80 * 86_400), 3)) for _ in range(300)))
    with open_writer(place).connect() as connection:
        while maintain(connection, Keep(rows_days=2.0, hours_days=10.0), now + 120):
            pass
    cuts = [now - days * 86_400 for days in (82, 60.3, 30.7, 9.9, 5.123, 1.77, 0.2)] + [now + 1]
    with opened(place) as reader:
        assert len(reader.rows()) < 40
        parts = [reader.summary(Scope(a, b)).totals.responses for a, b in itertools.pairwise(cuts)]
        assert sum(parts) == 300 == reader.summary().totals.responses
        assert sum(p.totals.responses for p in reader.series(86_400)) == 300


def test_rows_by_quality(ledger_of: Fill) -> None:
    place = ledger_of(*(row(quality=q) for q in (0.5, 0.9, None, 0.7)), row(image=False, quality=0.1))
    with opened(place) as reader:
        worst = reader.rows(only_images=True, by_quality=True, limit=2)
        best = reader.rows(only_images=True, by_quality=True, limit=1, descending=True)
        assert [each.quality for _, each in worst] == [0.5, 0.7] and best[0][1].quality == 0.9
        assert [number for number, _ in reader.each_row(page=2)] == [1, 2, 3, 4, 5]


def test_a_missing_or_foreign_file_is_said_plainly(path: Path, tmp_path: Path) -> None:
    with pytest.raises(LedgerUnreadable, match="no ledger here yet"):
        read.summary(path)
    foreign = tmp_path / "foreign.sqlite"
    foreign.write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerUnreadable, match="cannot be read"):
        read.rows_since(foreign)
    assert foreign.read_bytes() == b"not a database" * 100
    with pytest.raises(LedgerUnreadable, match="cannot be read") as told:
        read.summary("postgresql://ada:topsecret@127.0.0.1:1/none")
    assert "topsecret" not in str(told.value)
    with pytest.raises(LedgerUnreadable, match="not in mysql"):
        read.summary("mysql://localhost/x")


def test_a_reader_changes_nothing_in_a_read_only_folder(path: Path) -> None:
    filled(path, row())
    path.parent.chmod(0o500)
    try:
        assert read.summary(path).totals.images == 1
        assert [each.name for each in path.parent.iterdir()] == ["ledger.sqlite"] or os.geteuid() == 0
    finally:
        path.parent.chmod(0o700)


def test_a_reader_of_postgresql_cannot_write(postgres: object) -> None:
    url = filled(postgres(), row())  # type: ignore[operator]
    with pytest.raises(LedgerUnreadable, match="read-only"), opened(url) as reader:
        roll = reader.connection
        roll.exec_driver_sql("DELETE FROM response")


def test_where_the_ledger_is(tmp_path: Path) -> None:
    assert ledger_file(LedgerConfig(), tmp_path) == tmp_path / "ledger.sqlite"
    assert ledger_file(LedgerConfig(file="~/x.sqlite"), tmp_path) == Path.home() / "x.sqlite"
    assert ledger_place(LedgerConfig(url="postgresql://h/l"), tmp_path) == "postgresql://h/l"
    assert ledger_place(LedgerConfig(url="sqlite:////var/l.sqlite"), tmp_path) == Path("/var/l.sqlite")
    assert shown("postgresql://ada:topsecret@h/l") == "postgresql://ada:***@h/l"
