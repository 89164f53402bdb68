"""Rows that are still kept one by one, as they were recorded.

In: a connection and a condition on `response`. Out: rows with their ids. Refuses nothing; rows that have become sums
are gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from proxy.ledger.row import Row
from proxy.ledger.tables import domain, facet, response, subscriber


@dataclass(frozen=True, slots=True)
class Order:
    """Which rows, and which first: oldest, or the worst by measured quality (rows without one are left out).
    `descending` turns the order round."""

    after_id: int = 0
    limit: int = 1_000
    only_images: bool = False
    by_quality: bool = False
    descending: bool = False


def rows(connection: Connection, condition: Any, order: Order) -> list[tuple[int, Row]]:
    """Rows, each with its id. Raises sqlalchemy.exc.SQLAlchemyError."""
    chosen = select(response.c.id).where(condition, response.c.id > order.after_id)
    if order.only_images:
        images = select(facet.c.id).where(facet.c.image == 1)
        chosen = chosen.where(response.c.facet_id.in_(images))
    by: list[Any] = [response.c.quality, response.c.id] if order.by_quality else [response.c.id]
    if order.by_quality:
        chosen = chosen.where(response.c.quality.is_not(None))
    by = [column.desc() if order.descending else column for column in by]
    few = chosen.order_by(*by).limit(order.limit).subquery()
    query = _query().join(few, few.c.id == response.c.id).order_by(*by)
    return [_row(values) for values in connection.execute(query).mappings()]


def _query() -> Select[Any]:
    numbers = [column for column in response.columns if not column.name.endswith("_id") and column.name != "rolled"]
    codes = [column for column in facet.columns if column.name != "id"]
    names = [func.coalesce(subscriber.c.name, "").label("subscriber"), func.coalesce(domain.c.name, "").label("domain")]
    joined = select(*numbers, *codes, *names).join_from(response, facet, facet.c.id == response.c.facet_id)
    joined = joined.outerjoin(subscriber, subscriber.c.id == response.c.subscriber_id)
    return joined.outerjoin(domain, domain.c.id == response.c.domain_id)


def _row(values: Any) -> tuple[int, Row]:
    known = dict(values)
    number, time_ms = known.pop("id"), known.pop("time_ms")
    known["image"], known["cache_hit"] = bool(known["image"]), bool(known["cache_hit"])
    return number, Row(time_s=time_ms / 1000, **known)
