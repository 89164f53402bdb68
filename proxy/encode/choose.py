"""Which of an image's candidates is sent.

In: the origin's bytes, the smallest bundle above the floor (or why there is none), and the smallest classical file
above it that the receiver can show. Out: `Bundled`, `Filed` or `Kept`, with a sentence for people. Refuses: nothing.

Pure: no pixels, no clocks. Ranked by bytes; a bundle must be worth its reconstruction, and anything at all must be
worth not being the origin's own.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_SHARE = 0.95  # of the origin's bytes, and of the best classical file's for a bundle


@dataclass(frozen=True, slots=True)
class Bundled:
    """The bundle is sent."""


@dataclass(frozen=True, slots=True)
class Filed:
    """The classical file is sent."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The original is sent."""

    detail: str


Choice = Bundled | Filed | Kept


def choose(origin_bytes: int, bundle_bytes: int | None, file_bytes: int | None, rival_bytes: int | None) -> Choice:
    """What to send. None means that there is no such candidate; `rival_bytes` is the best classical file's, whether or
    not this receiver can show it.
    """
    limit = MAX_SHARE * origin_bytes
    beaten = rival_bytes is not None and bundle_bytes is not None and bundle_bytes > MAX_SHARE * rival_bytes
    if bundle_bytes is not None and bundle_bytes <= limit and not beaten:
        return Bundled()
    if file_bytes is not None and file_bytes <= limit:
        return Filed()
    if beaten and bundle_bytes is not None and bundle_bytes <= limit:
        return Kept(f"a classical file of {rival_bytes} bytes is as good as a bundle of {bundle_bytes}")
    smallest = min((size for size in (bundle_bytes, file_bytes) if size is not None), default=None)
    if smallest is None:
        return Kept("nothing smaller is good enough")
    return Kept(f"{smallest} bytes, for an original of {origin_bytes}")
