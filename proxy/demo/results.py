"""What became of each image, and the sums.

In: what the browser got, and downstream's ledger rows. Out: `ImageResult`s and `Totals`. Refuses: to guess; an image
without a row counts as broken, since nobody can say what it cost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from proxy.demo.site import DemoImage
from proxy.demo.visit import Delivered
from proxy.ledger.row import Row

DRAWN = ("reconstructed", "preview")


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One image's way through the pair. `link_bytes` has everything that crossed the link for it."""

    image: DemoImage
    body: bytes
    media_type: str
    decision: str
    reason: str
    mode: str
    engine: str
    link_bytes: int
    elapsed_ms: float
    encode_ms: float | None
    reconstruct_ms: float | None
    unchanged: bool
    problem: str

    @property
    def drawn(self) -> bool:
        """Whether the browser got a picture that was drawn again."""
        return self.decision in DRAWN

    @property
    def previewed(self) -> bool:
        """Whether no model drew it: the runtime was late or away, or `preview` is its engine."""
        return self.drawn and (self.decision == "preview" or self.engine.partition("@")[0] == "preview")

    @property
    def saved_percent(self) -> float:
        """Of the origin's bytes, negative when more crossed the link."""
        return 100.0 * (1 - self.link_bytes / self.image.size_bytes)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the images of a visit; `eligible` are those that may be drawn again. This is the last line's JSON."""

    images: int
    eligible: int
    reconstructed: int
    previewed: int
    skipped: int
    broken: int
    wrongly_drawn: int
    origin_bytes: int
    link_bytes: int
    delivered_bytes: int
    eligible_origin_bytes: int
    eligible_link_bytes: int
    saved_percent: float
    eligible_saved_percent: float
    ms: float
    engine: str

    def as_json(self) -> dict[str, object]:
        """Plain values for `json.dumps`."""
        return asdict(self)


def match_rows(delivered: Sequence[Delivered], rows: Iterable[Row]) -> list[Row | None]:
    """The ledger row of each image, both in the order of the visit; rows of other requests are passed over."""
    waiting = list(rows)
    matched: list[Row | None] = []
    for item in delivered:
        index = next((i for i, row in enumerate(waiting) if row.origin_bytes == item.image.size_bytes), None)
        matched.append(None if index is None else waiting[index])
        del waiting[: 0 if index is None else index + 1]
    return matched


def image_result(delivered: Delivered, row: Row | None, original: Path) -> ImageResult:
    """Put together what the browser and the ledger say about one image; `original` is the origin's file."""
    image, problem = delivered.image, delivered.problem
    if row is None and not problem:
        problem = "there is no ledger row"
    same = hashlib.sha256(delivered.body).digest() == hashlib.sha256(original.read_bytes()).digest()
    if not problem and image.must_stay_real and row is not None and row.decision in DRAWN:
        problem = f"was drawn again ({row.decision}), but must stay real"
    return ImageResult(
        image=image,
        body=delivered.body,
        media_type=delivered.media_type,
        decision=row.decision if row else "unknown",
        reason=row.reason if row else "",
        mode=row.mode if row else "",
        engine=row.engine if row else "",
        link_bytes=row.link_bytes + row.refetch_bytes if row else len(delivered.body),
        elapsed_ms=delivered.elapsed_ms,
        encode_ms=row.encode_ms if row else None,
        reconstruct_ms=row.reconstruct_ms if row else None,
        unchanged=same,
        problem=problem,
    )


def totals(results: Sequence[ImageResult], ms: float) -> Totals:
    """Sum up a visit that took `ms` milliseconds."""
    eligible = [r for r in results if not r.image.must_stay_real]
    origin, link = sum(r.image.size_bytes for r in results), sum(r.link_bytes for r in results)
    eligible_origin, eligible_link = sum(r.image.size_bytes for r in eligible), sum(r.link_bytes for r in eligible)
    engines = [r.engine for r in results if r.drawn and r.engine]
    return Totals(
        images=len(results),
        eligible=len(eligible),
        reconstructed=sum(r.drawn for r in results),
        previewed=sum(r.previewed for r in results),
        skipped=sum(r.decision in ("skipped", "original") for r in results),
        broken=sum(bool(r.problem) for r in results),
        wrongly_drawn=sum(r.drawn and r.image.must_stay_real for r in results),
        origin_bytes=origin,
        link_bytes=link,
        delivered_bytes=sum(len(r.body) for r in results),
        eligible_origin_bytes=eligible_origin,
        eligible_link_bytes=eligible_link,
        saved_percent=_saved(origin, link),
        eligible_saved_percent=_saved(eligible_origin, eligible_link),
        ms=round(ms, 1),
        engine=max(sorted(set(engines)), key=engines.count, default=""),
    )


def _saved(origin_bytes: int, link_bytes: int) -> float:
    return round(100.0 * (1 - link_bytes / origin_bytes), 2) if origin_bytes else 0.0
