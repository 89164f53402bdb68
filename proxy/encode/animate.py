"""Animations that go on moving in fewer bytes: GIF, APNG and WebP as animated WebP.

In: a file's bytes, a tier, a limit of bytes. Out: an animated WebP of the same size, with as many frames, each shown as
long, as many rounds, exactly the same alpha and every place of every frame as the tier asks; or why there is none.
Refuses (as a `Skip`): what is too much work, what comes out otherwise or no smaller, and what may not be rewritten
without a change that is seen (orientation, APNG with a picture of its own for those who cannot show it moving).

Frames are decoded one after the other, never all held. How long and how often is what browsers make of it: they show
frames of up to 10 ms for 100 ms, and a GIF's loop count is the number of rounds after the first.
"""

from __future__ import annotations

import io
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.encode.classical import LOSSLESS, File, on_white
from proxy.encode.quality import worst_places
from proxy.encode.request import BALANCED, ECONOMY, FAITHFUL
from proxy.encode.truefile import TRUE_PLACES
from proxy.policy import Reason, Skip

RGBA = npt.NDArray[np.uint8]

FORMATS = ("GIF", "PNG", "WEBP")
MAX_FRAMES = 600
MAX_FRAME_PIXELS = 2_100_000  # 1080p; an encoder holds a handful of frames
MAX_PIXELS = 60_000_000  # of all frames: some seconds of work
BUDGET_S = 7.0  # less than a search may take altogether
LONGEST_SIDE_PX = 16_383
QUALITIES = {ECONOMY: (50, 68), BALANCED: (60, 76), FAITHFUL: (76, 88)}
LOSSLESS_PIXELS = 12_000_000  # lossless coding of more takes too long
_SOON_MS, _SHOWN_SOON_MS = 10, 100
_MAX_DURATION_MS = 2**24 - 1
_FOREVER = 0


class _Over(Exception):
    """The work is given up; `args[0]` says why."""


@dataclass(frozen=True, slots=True)
class Animation:
    """An animated file of `size` (width and height in pixels)."""

    file: File
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Timing:
    """How an animation runs: milliseconds of each frame, and rounds altogether (0: for ever)."""

    durations_ms: tuple[int, ...]
    rounds: int


@dataclass(frozen=True, slots=True)
class _Work:
    """One file on its way; `until_s` is when to give up."""

    data: bytes
    until_s: float
    clock_s: Callable[[], float]

    def frames(self, data: bytes) -> Iterator[tuple[RGBA, int]]:
        """Every frame of a file as it is shown, and for how many milliseconds. Raises _Over."""
        for number, (frame, duration_ms) in enumerate(_frames(data)):
            self.in_time()
            if number >= MAX_FRAMES:
                raise _Over(f"more than {MAX_FRAMES} frames")
            if (number + 1) * frame.shape[0] * frame.shape[1] > MAX_PIXELS:
                raise _Over(f"more than {MAX_PIXELS} pixels × frames")
            yield frame, duration_ms

    def in_time(self) -> None:
        """Go on, or raise _Over."""
        if self.clock_s() > self.until_s:
            raise _Over("it takes too long")


def animate(
    data: bytes, tier: str, limit_bytes: int, max_pixels: int, clock_s: Callable[[], float] = time.monotonic
) -> Animation | Skip:
    """The animation in `data` in at most `limit_bytes`, or why it stays as it is. Never raises on bad data."""
    work = _Work(data, clock_s() + BUDGET_S, clock_s)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _animate(work, tier, limit_bytes, max_pixels)
    except _Over as over:
        return Skip(Reason.ANIMATED, str(over))
    except MemoryError:
        return Skip(Reason.TOO_MANY_PIXELS, "an animation needs more memory than is allowed")
    except Exception as error:  # decoders raise many types on damaged files
        return Skip(Reason.ANIMATED, f"it cannot be read whole: {type(error).__name__}")


def timing(data: bytes) -> Timing:
    """How the animation in `data` runs, as browsers show it. Raises what decoders raise."""
    return Timing(tuple(duration_ms for _, duration_ms in _frames(data)), _rounds(data))


def _animate(work: _Work, tier: str, limit_bytes: int, max_pixels: int) -> Animation | Skip:
    with Image.open(io.BytesIO(work.data), formats=FORMATS) as image:
        size, profile = image.size, image.info.get("icc_profile")
        if image.width * image.height > min(MAX_FRAME_PIXELS, max_pixels) or max(size) > LONGEST_SIDE_PX:
            raise _Over(f"{image.width}×{image.height} px are too many for an animation")
        if image.getexif().get(0x0112, 1) != 1:
            raise _Over("it is to be turned")
        if image.info.get("default_image"):
            raise _Over("its first picture is not part of it")
    wanted = Timing(tuple(duration_ms for _, duration_ms in work.frames(work.data)), _rounds(work.data))
    pixels, why = len(wanted.durations_ms) * size[0] * size[1], "no file of it is smaller"
    for quality in (*QUALITIES[tier], LOSSLESS):
        if quality == LOSSLESS and pixels > LOSSLESS_PIXELS:
            break
        body = _written(work, quality, wanted, profile)
        if len(body) > limit_bytes:
            continue
        unlike = _unlike(work, body, wanted, TRUE_PLACES[tier])
        if not unlike:
            return Animation(File("webp", body, quality), size)
        why = unlike
    return Skip(Reason.ANIMATED, why)


def _frames(data: bytes) -> Iterator[tuple[RGBA, int]]:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        number = 0
        while True:
            try:
                image.seek(number)
            except EOFError:
                return
            image.load()
            shown_ms = round(image.info.get("duration") or 0)
            shown_ms = _SHOWN_SOON_MS if shown_ms <= _SOON_MS else min(shown_ms, _MAX_DURATION_MS)
            yield np.asarray(image.convert("RGBA")), shown_ms
            number += 1


def _rounds(data: bytes) -> int:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.load()
        loop = image.info.get("loop")
        if image.format != "GIF":
            return int(loop or _FOREVER)
        if loop is None:
            return 1
        return _FOREVER if int(loop) == 0 else min(int(loop) + 1, 65_535)


def _written(work: _Work, quality: int, wanted: Timing, profile: bytes | None) -> bytes:
    """The frames as an animated WebP. Raises _Over."""
    lossless, out = quality == LOSSLESS, io.BytesIO()
    with Image.open(io.BytesIO(work.data), formats=FORMATS) as image:
        seek = image.seek

        def in_time(number: int) -> None:  # Pillow asks for one frame after the other while it writes
            work.in_time()
            seek(number)

        setattr(image, "seek", in_time)  # noqa: B010  (a method, for mypy)
        image.save(
            out,
            "WEBP",
            save_all=True,
            duration=list(wanted.durations_ms),
            loop=wanted.rounds,
            lossless=lossless,
            quality=20 if lossless else quality,
            method=1 if lossless else 2,
            alpha_quality=100,
            allow_mixed=not lossless,
            background=(0, 0, 0, 0),
            icc_profile=profile or b"",
        )
    return out.getvalue()


def _unlike(work: _Work, body: bytes, wanted: Timing, places: float) -> str:
    """What is not as in the original; nothing if all is. Raises _Over."""
    durations: list[int] = []
    pairs = itertools.zip_longest(work.frames(work.data), work.frames(body))
    for before, after in pairs:
        if before is None or after is None:
            return "another number of frames"
        original, other = before[0], after[0]
        durations.append(after[1])
        if original.shape != other.shape:
            return "another size"
        if not np.array_equal(original[..., 3], other[..., 3]):
            return "another transparency"
        if worst_places(on_white(original), on_white(other)) < places:
            return "some places of a frame are worse than the tier allows"
    return "" if Timing(tuple(durations), _rounds(body)) == wanted else "it would run otherwise"
