"""Boxes around what must be true: merged, padded, kept inside the image. Pure geometry.

In: `Box`es as detectors find them, and the image's size. Out: `Rectangle`s of a bundle, in the original's pixels.
Refuses: nothing; boxes outside the image vanish, and those over the limits are dropped, least important first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from proxy.bundle import Rectangle, SalientKind
from proxy.bundle.preview import SEAM_PX

MAX_BOXES = 40
MERGE_WASTE = 1.35  # a merged box may have this many times the area of what it holds
LINE_GAP = 0.6  # lines of text nearer than this share of their height are one block
_MIN_SIDE_PX = 4
# Shares of the box's shorter side, or of its own sides for faces: hair and chin lie outside of what detectors mark.
_FACE_PAD = (0.12, 0.22, 0.12, 0.12)  # left, top, right, bottom
_OTHER_PAD = 0.18
_QUIET_ZONE = 0.14  # of a code: four modules of about 29
_IMPORTANCE = (SalientKind.CODE, SalientKind.TEXT, SalientKind.LOGO, SalientKind.FACE, SalientKind.OTHER)


@dataclass(frozen=True, slots=True)
class Box:
    """A region in pixels, `left` ≤ x < `right`, `top` ≤ y < `bottom`; `sureness` is the detector's own, 0…1."""

    left: float
    top: float
    right: float
    bottom: float
    kind: SalientKind
    sureness: float = 1.0

    @property
    def width(self) -> float:
        return max(0.0, self.right - self.left)

    @property
    def height(self) -> float:
        return max(0.0, self.bottom - self.top)

    @property
    def area(self) -> float:
        return self.width * self.height


def scaled(boxes: Iterable[Box], horizontally: float, vertically: float) -> list[Box]:
    """`boxes` in an image of other dimensions."""
    return [
        Box(
            b.left * horizontally, b.top * vertically, b.right * horizontally, b.bottom * vertically, b.kind, b.sureness
        )
        for b in boxes
    ]


def padded(box: Box) -> Box:
    """`box` with room around it for what detectors cut off, and for the seam, inside which pixels are blended."""
    if box.kind is SalientKind.FACE:
        left, top, right, bottom = (
            share * side for share, side in zip(_FACE_PAD, (box.width, box.height) * 2, strict=True)
        )
    else:
        share = _QUIET_ZONE if box.kind is SalientKind.CODE else _OTHER_PAD
        left = top = right = bottom = share * min(box.width, box.height)
    least = min(SEAM_PX, 0.5 * min(box.width, box.height))  # the seam is a quarter of a small crop's height at most
    left, top, right, bottom = (max(pad, least) for pad in (left, top, right, bottom))
    return Box(box.left - left, box.top - top, box.right + right, box.bottom + bottom, box.kind, box.sureness)


def clipped(box: Box, width_px: int, height_px: int) -> Box:
    """`box` without what lies outside an image of `width_px` × `height_px`."""
    return Box(
        min(max(box.left, 0.0), width_px),
        min(max(box.top, 0.0), height_px),
        min(max(box.right, 0.0), width_px),
        min(max(box.bottom, 0.0), height_px),
        box.kind,
        box.sureness,
    )


def union(first: Box, second: Box) -> Box:
    """The smallest box around both; of the more important kind."""
    kind = min(first.kind, second.kind, key=_IMPORTANCE.index)
    return Box(
        min(first.left, second.left),
        min(first.top, second.top),
        max(first.right, second.right),
        max(first.bottom, second.bottom),
        kind,
        max(first.sureness, second.sureness),
    )


def overlap(first: Box, second: Box) -> float:
    """The area that both share."""
    width = min(first.right, second.right) - max(first.left, second.left)
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    return max(0.0, width) * max(0.0, height)


def covered(box: Box, by: Sequence[Box]) -> float:
    """The share of `box` that lies in the union of `by`, exactly, by the grid of all their borders."""
    if box.area <= 0:
        return 1.0
    inside = [
        Box(
            *(max(o.left, box.left), max(o.top, box.top)), *(min(o.right, box.right), min(o.bottom, box.bottom)), o.kind
        )
        for o in by
        if overlap(box, o) > 0
    ]
    columns = sorted({edge for b in inside for edge in (b.left, b.right)})
    rows = sorted({edge for b in inside for edge in (b.top, b.bottom)})
    area = 0.0
    for left, right in pairwise(columns):
        spanning = [b for b in inside if b.left <= left and b.right >= right]
        for top, bottom in pairwise(rows):
            if any(b.top <= top and b.bottom >= bottom for b in spanning):
                area += (right - left) * (bottom - top)
    return min(area / box.area, 1.0)


def merged(boxes: Iterable[Box]) -> list[Box]:
    """`boxes` with those joined that overlap or, as lines of text, lie close, where one crop costs less than two.

    Repeated until nothing can be joined; what goes in lies in what comes out.
    """
    left = list(boxes)
    done: list[Box] = []
    while left:
        current = left.pop()
        for other in [*left, *done]:
            if _belong_together(current, other):
                (left if other in left else done).remove(other)
                left.append(union(current, other))
                break
        else:
            done.append(current)
    return sorted(done, key=lambda b: (b.top, b.left, b.right, b.bottom, b.kind))


def _belong_together(first: Box, second: Box) -> bool:
    both = union(first, second)
    held = first.area + second.area - overlap(first, second)
    if both.area > MERGE_WASTE * held:
        return False
    if overlap(first, second) > 0:
        return True
    if first.kind is not SalientKind.TEXT or second.kind is not SalientKind.TEXT:
        return False
    gap = LINE_GAP * min(first.height, second.height)
    across = max(first.left, second.left) - min(first.right, second.right)
    down = max(first.top, second.top) - min(first.bottom, second.bottom)
    return across <= gap and down <= gap


def rectangles(boxes: Iterable[Box], width_px: int, height_px: int, limit: int = MAX_BOXES) -> tuple[Rectangle, ...]:
    """`boxes`, in the original's pixels, as whole pixels inside its `width_px` × `height_px`: padded, merged, at most
    `limit`.
    """
    kept = [clipped(padded(box), width_px, height_px) for box in boxes]
    kept = [box for box in merged(kept) if min(box.width, box.height) >= _MIN_SIDE_PX]
    if len(kept) > limit:
        kept = sorted(kept, key=lambda b: (_IMPORTANCE.index(b.kind), -b.area))[:limit]
        kept.sort(key=lambda b: (b.top, b.left))
    return tuple(_whole(box, width_px, height_px) for box in kept)


def _whole(box: Box, width_px: int, height_px: int) -> Rectangle:
    left, top = math.floor(box.left), math.floor(box.top)
    right, bottom = min(math.ceil(box.right), width_px), min(math.ceil(box.bottom), height_px)
    return Rectangle(left, top, right - left, bottom - top, box.kind)


def box_of(rectangle: Rectangle) -> Box:
    """The box of a bundle's rectangle."""
    r = rectangle
    return Box(r.x_px, r.y_px, r.x_px + r.width_px, r.y_px + r.height_px, r.kind)
