"""The ledger's tables, made by numbered migrations.

In: a connection inside a transaction. Out: the same, at the current version. Refuses: a database that a later version
of Sketchwire made (`LaterVersion`). To change the schema, append a function to `MIGRATIONS`; never edit one that was
released: the statements are written out here, so that they stay what they were when `tables` goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, text


class LaterVersion(Exception):
    """The database was made by a later version; this one must leave it alone."""


def _first(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return  # version 1 knew only SQLite, and nothing is left of it after version 2
    connection.execute(
        text(
            """
            CREATE TABLE image (
                id INTEGER PRIMARY KEY, time_s REAL NOT NULL, role TEXT NOT NULL, decision TEXT NOT NULL,
                content_type TEXT NOT NULL, reason TEXT NOT NULL, mode TEXT NOT NULL, engine TEXT NOT NULL,
                kind TEXT NOT NULL, width_px INTEGER NOT NULL, height_px INTEGER NOT NULL,
                origin_bytes INTEGER NOT NULL, link_bytes INTEGER NOT NULL, delivered_bytes INTEGER NOT NULL,
                refetch_bytes INTEGER NOT NULL, encode_ms REAL, link_ms REAL, queue_ms REAL, reconstruct_ms REAL,
                total_ms REAL, cache_hit INTEGER NOT NULL
            )
            """
        )
    )
    connection.execute(text("CREATE INDEX image_by_time ON image (time_s)"))


_SECOND = """
CREATE TABLE facet (
    id {identity}, role TEXT NOT NULL, decision TEXT NOT NULL, image SMALLINT NOT NULL, content_type TEXT NOT NULL,
    reason TEXT NOT NULL, mode TEXT NOT NULL, engine TEXT NOT NULL, kind TEXT NOT NULL,
    UNIQUE (role, decision, image, content_type, reason, mode, engine, kind)
);
CREATE TABLE subscriber (id {identity}, name TEXT NOT NULL UNIQUE);
CREATE TABLE domain (id {identity}, name TEXT NOT NULL UNIQUE);
CREATE TABLE response (
    id {identity}, time_ms BIGINT NOT NULL,
    facet_id BIGINT NOT NULL, subscriber_id BIGINT NOT NULL, domain_id BIGINT NOT NULL,
    width_px INTEGER NOT NULL, height_px INTEGER NOT NULL,
    origin_bytes BIGINT NOT NULL, link_bytes BIGINT NOT NULL, link_up_bytes BIGINT NOT NULL,
    delivered_bytes BIGINT NOT NULL, refetch_bytes BIGINT NOT NULL, refetches BIGINT NOT NULL,
    origin_ms DOUBLE PRECISION, encode_ms DOUBLE PRECISION, link_ms DOUBLE PRECISION, queue_ms DOUBLE PRECISION,
    reconstruct_ms DOUBLE PRECISION, total_ms DOUBLE PRECISION,
    cache_hit SMALLINT NOT NULL, quality DOUBLE PRECISION, rolled SMALLINT NOT NULL
);
CREATE INDEX response_by_time ON response (time_ms);
CREATE INDEX response_unrolled ON response (time_ms) WHERE rolled = 0;
CREATE TABLE rollup (
    span_s INTEGER NOT NULL, start_s BIGINT NOT NULL,
    facet_id BIGINT NOT NULL, subscriber_id BIGINT NOT NULL, domain_id BIGINT NOT NULL,
    responses BIGINT NOT NULL, origin_bytes BIGINT NOT NULL, link_bytes BIGINT NOT NULL, link_up_bytes BIGINT NOT NULL,
    delivered_bytes BIGINT NOT NULL, refetch_bytes BIGINT NOT NULL, refetches BIGINT NOT NULL,
    cache_hits BIGINT NOT NULL, first_ms BIGINT NOT NULL, last_ms BIGINT NOT NULL,
    PRIMARY KEY (span_s, start_s, facet_id, subscriber_id, domain_id)
){without_rowid};
CREATE TABLE sample (
    span_s INTEGER NOT NULL, start_s BIGINT NOT NULL, role TEXT NOT NULL, name TEXT NOT NULL, bin INTEGER NOT NULL,
    responses BIGINT NOT NULL, PRIMARY KEY (span_s, start_s, role, name, bin)
){without_rowid};
CREATE TABLE setting (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO setting (name, value) VALUES ('epoch', 0)
"""
_FROM_IMAGES = """
INSERT INTO facet (role, decision, image, content_type, reason, mode, engine, kind)
    SELECT DISTINCT role, decision, 1, content_type, reason, mode, engine, kind FROM image;
INSERT INTO response (
    id, time_ms, facet_id, subscriber_id, domain_id, width_px, height_px, origin_bytes, link_bytes, link_up_bytes,
    delivered_bytes, refetch_bytes, refetches, encode_ms, link_ms, queue_ms, reconstruct_ms, total_ms, cache_hit, rolled
) SELECT
    i.id, CAST(ROUND(i.time_s * 1000) AS INTEGER), f.id, 0, 0, i.width_px, i.height_px,
    MIN(i.origin_bytes, 1099511627776), MIN(i.link_bytes, 1099511627776), 0, MIN(i.delivered_bytes, 1099511627776),
    MIN(i.refetch_bytes, 1099511627776), i.refetch_bytes > 0, i.encode_ms, i.link_ms, i.queue_ms, i.reconstruct_ms,
    i.total_ms, i.cache_hit, 0
FROM image i JOIN facet f ON f.role = i.role AND f.decision = i.decision AND f.content_type = i.content_type
    AND f.reason = i.reason AND f.mode = i.mode AND f.engine = i.engine AND f.kind = i.kind;
DROP TABLE image
"""


def _second(connection: Connection) -> None:
    """A row per response instead of per image; codes kept once; sums per hour and day; subscribers and domains."""
    sqlite = connection.dialect.name == "sqlite"
    identity = "INTEGER PRIMARY KEY" if sqlite else "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
    _run(connection, _SECOND.format(identity=identity, without_rowid=" WITHOUT ROWID" if sqlite else ""))
    if sqlite:
        _run(connection, _FROM_IMAGES)


_THIRD = """
CREATE TABLE total (
    span_s INTEGER NOT NULL, start_s BIGINT NOT NULL, facet_id BIGINT NOT NULL,
    responses BIGINT NOT NULL, origin_bytes BIGINT NOT NULL, link_bytes BIGINT NOT NULL, link_up_bytes BIGINT NOT NULL,
    delivered_bytes BIGINT NOT NULL, refetch_bytes BIGINT NOT NULL, refetches BIGINT NOT NULL,
    cache_hits BIGINT NOT NULL, first_ms BIGINT NOT NULL, last_ms BIGINT NOT NULL,
    PRIMARY KEY (span_s, start_s, facet_id)
){without_rowid};
CREATE TABLE daily (
    start_s BIGINT NOT NULL, role TEXT NOT NULL, subscriber_id BIGINT NOT NULL, domain_id BIGINT NOT NULL,
    responses BIGINT NOT NULL, images BIGINT NOT NULL, origin_bytes BIGINT NOT NULL, link_bytes BIGINT NOT NULL,
    link_up_bytes BIGINT NOT NULL, delivered_bytes BIGINT NOT NULL, refetch_bytes BIGINT NOT NULL,
    refetches BIGINT NOT NULL, cache_hits BIGINT NOT NULL,
    PRIMARY KEY (start_s, role, subscriber_id, domain_id)
){without_rowid};
INSERT INTO total (
    span_s, start_s, facet_id, responses, origin_bytes, link_bytes, link_up_bytes, delivered_bytes, refetch_bytes,
    refetches, cache_hits, first_ms, last_ms
) SELECT
    span_s, start_s, facet_id, SUM(responses), SUM(origin_bytes), SUM(link_bytes), SUM(link_up_bytes),
    SUM(delivered_bytes), SUM(refetch_bytes), SUM(refetches), SUM(cache_hits), MIN(first_ms), MAX(last_ms)
FROM rollup GROUP BY span_s, start_s, facet_id;
INSERT INTO daily (
    start_s, role, subscriber_id, domain_id, responses, images, origin_bytes, link_bytes, link_up_bytes,
    delivered_bytes, refetch_bytes, refetches, cache_hits
) SELECT
    r.start_s / 86400 * 86400 AS day, f.role, r.subscriber_id, r.domain_id,
    SUM(CASE WHEN f.decision = 'overhead' THEN 0 ELSE r.responses END),
    SUM(CASE WHEN f.decision = 'overhead' OR f.image = 0 THEN 0 ELSE r.responses END),
    SUM(r.origin_bytes), SUM(r.link_bytes), SUM(r.link_up_bytes), SUM(r.delivered_bytes), SUM(r.refetch_bytes),
    SUM(r.refetches), SUM(r.cache_hits)
FROM rollup r JOIN facet f ON f.id = r.facet_id GROUP BY day, f.role, r.subscriber_id, r.domain_id
"""


def _third(connection: Connection) -> None:
    """What reports ask most, added up beforehand: by hour and codes alone, by day and person and domain."""
    sqlite = connection.dialect.name == "sqlite"
    _run(connection, _THIRD.format(without_rowid=" WITHOUT ROWID" if sqlite else ""))


MIGRATIONS: list[Callable[[Connection], None]] = [_first, _second, _third]
_LOCK = 0x53574C47  # of PostgreSQL's advisory locks, so that two proxies that start together migrate one by one


def migrate(connection: Connection) -> int:
    """Bring the database to the current version, each step in a transaction of its own; return that version.

    `connection` must not be in a transaction. Raises LaterVersion, sqlalchemy.exc.DBAPIError.
    """
    for number, step in enumerate(MIGRATIONS, start=1):
        with connection.begin():
            if version(connection) < number:
                _lock(connection)
                if version(connection) < number:  # another process may have been faster
                    step(connection)
                    _set_version(connection, number)
    with connection.begin():
        found = version(connection)
    if found > len(MIGRATIONS):
        raise LaterVersion(f"the ledger has version {found}, this program knows {len(MIGRATIONS)}")
    return found


def version(connection: Connection) -> int:
    """The database's version; 0 for one that holds nothing of ours."""
    if connection.dialect.name == "sqlite":
        return int(connection.execute(text("PRAGMA user_version")).scalar_one())
    there = (
        "SELECT 1 FROM pg_tables WHERE tablename = 'sketchwire_version' AND schemaname = ANY(current_schemas(false))"
    )
    if connection.execute(text(there)).first() is None:
        return 0
    return int(connection.execute(text("SELECT COALESCE(MAX(number), 0) FROM sketchwire_version")).scalar_one())


def _set_version(connection: Connection, number: int) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text(f"PRAGMA user_version = {number}"))
    else:
        connection.execute(text("CREATE TABLE IF NOT EXISTS sketchwire_version (number INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO sketchwire_version (number) VALUES (:number)"), {"number": number})


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _run(connection: Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        connection.execute(text(statement))
