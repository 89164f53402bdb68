"""The ledger's tables as SQLAlchemy knows them, the same for SQLite and PostgreSQL.

In: nothing. Out: tables. Refuses: to make them; that is the migrations' work (`proxy.ledger.schema`), and a test
compares the two.

A row is one response in `response`; its codes are one entry of `facet`, its pseudonym of `subscriber`, its domain of
`domain` (0: none). Maintenance adds each row once to `rollup` (sums per hour, later per day, as finely divided as rows
are) and `sample` (histograms of stage times and quality), and marks it `rolled`: a sum is always `rollup` plus the rows
with `rolled = 0`. What reports ask most is kept added up as well: `total` is `rollup` without subscribers and domains,
`daily` is `rollup` by day without codes. Both hold nothing that `rollup` does not, and go when it goes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, SmallInteger, Table, Text

from proxy.ledger.row import BYTES, STAGES

metadata = MetaData()
ID = BigInteger().with_variant(Integer(), "sqlite")


def _names(name: str) -> Table:
    return Table(name, metadata, Column("id", ID, primary_key=True), Column("name", Text, nullable=False))


facet = Table(
    "facet",
    metadata,
    Column("id", ID, primary_key=True),
    Column("role", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("image", SmallInteger, nullable=False),
    *(Column(name, Text, nullable=False) for name in ("content_type", "reason", "mode", "engine", "kind")),
)
subscriber = _names("subscriber")
domain = _names("domain")
response = Table(
    "response",
    metadata,
    Column("id", ID, primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
    *(Column(name, ID, nullable=False) for name in ("facet_id", "subscriber_id", "domain_id")),
    *(Column(name, Integer, nullable=False) for name in ("width_px", "height_px")),
    *(Column(name, BigInteger, nullable=False) for name in BYTES),
    Column("refetches", BigInteger, nullable=False),
    *(Column(name, Double) for name in STAGES),
    Column("cache_hit", SmallInteger, nullable=False),
    Column("quality", Double),
    Column("rolled", SmallInteger, nullable=False),
)
SUMS = ("responses", *BYTES, "refetches", "cache_hits")
rollup = Table(
    "rollup",
    metadata,
    Column("span_s", Integer, primary_key=True, autoincrement=False),
    Column("start_s", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, ID, primary_key=True, autoincrement=False) for name in ("facet_id", "subscriber_id", "domain_id")),
    *(Column(name, BigInteger, nullable=False) for name in SUMS),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)
total = Table(
    "total",
    metadata,
    Column("span_s", Integer, primary_key=True, autoincrement=False),
    Column("start_s", BigInteger, primary_key=True, autoincrement=False),
    Column("facet_id", ID, primary_key=True, autoincrement=False),
    *(Column(name, BigInteger, nullable=False) for name in SUMS),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)
SHARES = ("responses", "images", *BYTES, "refetches", "cache_hits")  # the order of `answers.Totals`
daily = Table(
    "daily",
    metadata,
    Column("start_s", BigInteger, primary_key=True, autoincrement=False),
    Column("role", Text, primary_key=True),
    *(Column(name, ID, primary_key=True, autoincrement=False) for name in ("subscriber_id", "domain_id")),
    *(Column(name, BigInteger, nullable=False) for name in SHARES),
)
sample = Table(
    "sample",
    metadata,
    Column("span_s", Integer, primary_key=True, autoincrement=False),
    Column("start_s", BigInteger, primary_key=True, autoincrement=False),
    Column("role", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("bin", Integer, primary_key=True, autoincrement=False),
    Column("responses", BigInteger, nullable=False),
)
setting = Table(
    "setting", metadata, Column("name", Text, primary_key=True), Column("value", BigInteger, nullable=False)
)
EPOCH = "epoch"  # rises when names were deleted, so that writers forget the ids they remember
