"""Measures the ledger: ingest, roll-up, report and size of many synthetic responses.

    python -m evaluation.bench_ledger --rows 1000000 --out out/ledger.json

In: a number of rows, a ledger's place (an SQLite file in a temporary folder by default, or a PostgreSQL URL). Out: a
line per measure, and JSON. Refuses: a ledger that already holds rows.

The rows are spread evenly over 30 days, from 200 subscribers, 40 domains, seven content types, both proxies' decisions.
Ingest goes through `Ledger.record` as in a proxy, with a producer that waits while the queue is full, and is timed
until the last row is committed; maintenance runs meanwhile as it does in a proxy. "report" is the time it takes to
gather all figures of `sketchwire report` for the whole period: sums, percentiles, a series, subscribers, the link's
rate, examples; "week" the same for the last seven days, "subscriber" for one of them, "html" the rendering of the file.
CPU seconds are this process's own, for machines that do other things as well.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from proxy.ledger import Keep, Ledger, Place, Row
from proxy.ledger.database import open_writer
from proxy.ledger.read import Scope
from proxy.ledger.rollup import maintain
from proxy.ledger.sums import DAY_S
from proxy.report.content import Wanted, gather
from proxy.report.document import render

DAYS = 30.0
SUBSCRIBERS, DOMAINS = 200, 40
TYPES = ("image/jpeg", "image/png", "image/webp", "text/html", "text/css", "text/javascript", "application/json")
QUEUE_ROWS = 20_000


def synthetic(count: int, now_s: float, seed: int = 1) -> Iterator[Row]:
    """Rows in the order of their time, the last one now."""
    dice = random.Random(seed)
    for number in range(count):
        content_type = dice.choice(TYPES)
        image = content_type.startswith("image/")
        origin = int(dice.lognormvariate(9.5 if image else 8.5, 1.2))
        drawn = image and dice.random() < 0.6
        link = int(dice.lognormvariate(7.3, 0.5)) if drawn else origin + 400
        yield Row(
            time_s=now_s - (count - 1 - number) * DAYS * DAY_S / count,
            role="downstream",
            decision="reconstructed" if drawn else "skipped" if image else "passed",
            image=image,
            content_type=content_type,
            reason="" if drawn or not image else dice.choice(("no-gain", "kind", "too-small", "svg")),
            mode=dice.choice(("thumbnail", "edges", "salient")) if drawn else "",
            engine="sketch@0123abcd" if drawn else "",
            kind="photo" if image else "",
            subscriber=f"{dice.randrange(SUBSCRIBERS):016x}",
            domain=f"site{int(dice.paretovariate(1.1)) % DOMAINS}.org",
            width_px=640 if image else 0,
            height_px=480 if image else 0,
            origin_bytes=origin,
            link_bytes=link,
            link_up_bytes=350,
            delivered_bytes=origin,
            encode_ms=dice.expovariate(1 / 200) if drawn else None,
            link_ms=dice.expovariate(1 / 300),
            queue_ms=dice.expovariate(1 / 5) if drawn else None,
            reconstruct_ms=dice.expovariate(1 / 150) if drawn else None,
            total_ms=dice.expovariate(1 / 700),
            cache_hit=drawn and dice.random() < 0.2,
            quality=dice.betavariate(9, 1.5) if drawn else None,
        )


def main() -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ledger", default="", help="a file or a postgresql URL; default: a temporary file")
    parser.add_argument("--domains", action="store_true", help="keep domains, too")
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        named = wanted.ledger or f"{folder}/ledger.sqlite"
        place: Place = named if "://" in named else Path(named)
        if isinstance(place, Path) and place.exists():
            parser.error(f"{place} exists; name a new file")
        measured = measure(place, wanted.rows, wanted.domains)
    for name, figure in measured.items():
        print(f"{name:<28}{figure:>14,.2f}")
    if wanted.out:
        wanted.out.parent.mkdir(parents=True, exist_ok=True)
        wanted.out.write_text(json.dumps(measured, indent=1) + "\n")


def measure(place: Place, count: int, domains: bool) -> dict[str, float]:
    """Fill `place` with `count` rows and read them back; what it took."""
    now_s = time.time()
    # made beforehand, a hundred thousand at a time, so that making rows is not part of the time
    ingest_cpu_s = 0.0
    ledger, ingest_s, made = Ledger(place, Keep(), domains=domains, queue_rows=QUEUE_ROWS), 0.0, 0
    source = synthetic(count, now_s)
    while made < count:
        batch = [row for _, row in zip(range(100_000), source, strict=False)]
        made += len(batch)
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for row in batch:
            while ledger.queued >= QUEUE_ROWS - 1:
                time.sleep(0.001)
            ledger.record(row)
        ledger.flush(600)
        ingest_s += time.perf_counter() - began_s
        ingest_cpu_s += time.process_time() - began_cpu_s
    ledger.close(600)
    began_s = time.perf_counter()
    with open_writer(place).connect() as connection:
        while maintain(connection, Keep(), now_s + 120):
            pass
    maintenance_s = time.perf_counter() - began_s
    found = gather(place, Wanted(now_s))
    if found.summary.totals.responses != ledger.written or not found.points:
        raise SystemExit(f"{ledger.written} rows were written, the report knows {found.summary.totals.responses}")
    scopes = {"report": Scope(), "week": Scope(now_s - 7 * DAY_S), "subscriber": Scope(subscriber=f"{0:016x}")}
    reading: dict[str, float] = {}
    for name, scope in scopes.items():
        reading |= _timed(name, functools.partial(gather, place, Wanted(now_s, scope)))
    reading |= _timed("html", lambda: render(found))
    return {
        "rows": float(ledger.written),
        "dropped rows": float(ledger.dropped),
        "ingest rows/s": ledger.written / ingest_s,
        "ingest rows/CPU s": ledger.written / ingest_cpu_s,
        "maintenance after it s": maintenance_s,
        **reading,
        "size MB": _size_bytes(place) / 1e6,
    }


def _timed(name: str, work: Callable[[], object]) -> dict[str, float]:
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    work()
    return {
        f"{name} s": time.perf_counter() - began_s,
        f"{name} CPU s": time.process_time() - began_cpu_s,
    }


def _size_bytes(place: Place) -> int:
    if isinstance(place, Path):
        return sum(each.stat().st_size for each in place.parent.glob(f"{place.name}*"))
    with open_writer(place).connect() as connection:
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())


if __name__ == "__main__":
    main()
