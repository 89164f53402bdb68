"""The sites to collect from, and the order in which they are asked.

In: a CSV file as CrUX publishes them (`origin,rank`), with a `category` column, a second file of categories, or
neither. Out: `Site`s, and for each category the order in which its sites are walked. Refuses: files without a column
`origin`, addresses that are no http(s) origins, categories of sites that are not listed (`ValueError`).
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_CATEGORY = "web"
_UNSAFE = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Site:
    """One site: `origin` is scheme, host and port; `rank` its order of magnitude of popularity, 0 when not known."""

    origin: str
    rank: int
    category: str

    @property
    def host(self) -> str:
        """Its name without scheme and port."""
        return urlsplit(self.origin).hostname or ""


def read_sites(file: Path, categories: Path | None = None) -> list[Site]:
    """The sites of a list, each once. A category in `categories` (`origin,category`) overrides the column's."""
    known = {_origin(row["origin"], categories, n): row["category"] for n, row in _rows(categories, "category")}
    sites: dict[str, Site] = {}
    for number, row in _rows(file):
        origin = _origin(row["origin"], file, number)
        try:
            rank = int(row.get("rank") or 0)
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: the rank is not a number: {row['rank']!r}") from error
        category = _UNSAFE.sub("-", (known.get(origin) or row.get("category") or "").lower()).strip("-")
        sites.setdefault(origin, Site(origin, rank, category or DEFAULT_CATEGORY))
    if not sites:
        raise ValueError(f"no sites in {file}")
    unknown = sorted(set(known) - set(sites))
    if unknown:
        raise ValueError(f"{categories}: {unknown[0]} is not in {file}")
    return list(sites.values())


def walks(sites: Sequence[Site], seed: int) -> dict[str, list[Site]]:
    """For each category its sites in the order they are asked: shuffled by the seed, in turns from each rank."""
    order: dict[str, list[Site]] = {}
    for category in sorted({site.category for site in sites}):
        of_category = [site for site in sites if site.category == category]
        ranks = sorted({site.rank for site in of_category})
        shuffled = [shuffle([s for s in of_category if s.rank == rank], seed) for rank in ranks]
        order[category] = [site for site in chain.from_iterable(zip_longest(*shuffled)) if site is not None]
    return order


def shuffle(sites: Sequence[Site], seed: int) -> list[Site]:
    """An order that depends on the seed and each site alone: adding a site does not reorder the others."""
    return sorted(sites, key=lambda site: lot(seed, site.origin))


def lot(seed: int, name: str) -> str:
    """The place that a name draws under a seed."""
    return hashlib.sha256(f"{seed}|{name}".encode()).hexdigest()


def _rows(file: Path | None, *needed: str) -> list[tuple[int, dict[str, str]]]:
    if file is None:
        return []
    with file.open(newline="", encoding="utf-8-sig") as opened:
        reader = csv.DictReader(opened)
        missing = [name for name in ("origin", *needed) if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{file} has no column {missing[0]}; its first line names the columns, as in origin,rank")
        return [(number, row) for number, row in enumerate(reader, 2) if (row["origin"] or "").strip()]


def _origin(text: str, file: Path | None, line: int) -> str:
    """scheme://host[:port]; https when no scheme is given."""
    address = text.strip().lower().rstrip("/")
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        parts.port  # noqa: B018  (raises ValueError on a port out of range)
    except ValueError as error:
        raise ValueError(f"{file}, line {line}: {text!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or "@" in parts.netloc:
        raise ValueError(f"{file}, line {line}: {text!r} is not an origin such as https://example.org")
    return f"{parts.scheme}://{parts.netloc}"
