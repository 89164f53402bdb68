"""What a ledger answers: sums, groups, series, percentiles.

In: sums as the database gives them, and the codes they belong to. Out: frozen values. Refuses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from proxy.ledger.row import Facet
from proxy.ledger.tables import SUMS


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over responses; `images` of them are images.

    `saved_bytes` is what the thin link was spared: heads, framing, TLS and refetches are charged against it.
    """

    responses: int = 0
    images: int = 0
    origin_bytes: int = 0
    link_bytes: int = 0
    link_up_bytes: int = 0
    delivered_bytes: int = 0
    refetch_bytes: int = 0
    refetches: int = 0
    cache_hits: int = 0

    @property
    def saved_bytes(self) -> int:
        return self.origin_bytes - self.link_bytes - self.refetch_bytes

    @property
    def saved_percent(self) -> float | None:
        """Net saving in percent of the origin's bytes, negative when more was sent; None without origin bytes."""
        return 100.0 * self.saved_bytes / self.origin_bytes if self.origin_bytes else None


@dataclass(frozen=True, slots=True)
class Group:
    """The totals of the responses that share `key`, e.g. a decision and a reason."""

    key: tuple[str, ...]
    totals: Totals


@dataclass(frozen=True, slots=True)
class Point:
    """The totals of the responses from `start_s` (Unix time) on, for one step."""

    start_s: int
    totals: Totals


@dataclass(frozen=True, slots=True)
class Stage:
    """How long a stage took: percentiles by nearest rank over the responses that went through it.

    Not `exact`: read from a histogram whose bins are a quarter octave wide (at most 9 % off).
    """

    name: str
    responses: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Quality:
    """The measured similarities, 0 to 1: percentiles, and how many images lie in each hundredth."""

    images: int
    p5: float
    p50: float
    p95: float
    counts: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a ledger says within a scope; groups come largest first, by responses."""

    first_s: float | None
    last_s: float | None
    totals: Totals
    images: Totals  # of the images alone
    by_decision: tuple[Group, ...] = ()
    by_mode: tuple[Group, ...] = ()
    by_content_type: tuple[Group, ...] = ()
    by_engine: tuple[Group, ...] = ()
    by_kind: tuple[Group, ...] = ()
    by_domain: tuple[Group, ...] = ()
    subscribers: int = 0
    stages: tuple[Stage, ...] = ()
    quality: Quality | None = None


def totals_of(codes: Facet, sums: Iterable[Any]) -> Totals:
    """Sums in the order of `SUMS`, of rows that all have these codes."""
    known = dict(zip(SUMS, (int(number) for number in sums), strict=True))
    if codes.decision == "overhead":  # bytes without a response
        known["responses"] = 0
    return Totals(images=known["responses"] if codes.image else 0, **known)


def added(parts: Iterable[Totals]) -> Totals:
    """All of them together."""
    sums: Counter[str] = Counter()
    for part in parts:
        for name in Totals.__dataclass_fields__:
            sums[name] += getattr(part, name)
    return Totals(**sums)


def grouped(parts: Iterable[tuple[tuple[str, ...], Totals]]) -> tuple[Group, ...]:
    """The parts added up by key, the group with most responses first."""
    groups: dict[tuple[str, ...], list[Totals]] = {}
    for key, totals in parts:
        groups.setdefault(key, []).append(totals)
    made = [Group(key, added(totals)) for key, totals in groups.items()]
    return tuple(sorted(made, key=lambda group: (-group.totals.responses, group.key)))
