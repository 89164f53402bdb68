"""The MQ coder and generic regions of JBIG2 (ITU-T T.88, 08/2018, Annex E and clause 6.2) without a compiler.

In: a bitmap of one byte a pixel (0 is white), or coded bytes. Out: coded bytes, or a bitmap of 0 and 1.
Refuses: sides over 65,535, templates other than 0 to 3, bitmaps of another size (`ValueError`). No payload is refused:
past its end, as after a marker, the decoder reads 1-bits (E.3.4), so that every payload is some bitmap.

`_mq.c` beside it does the same work and makes the same bytes: change both or neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_SIDE_PX = 65_535

# Table E.1: the share Qe of the less probable symbol (0x8000 is 0.75), the next state after a more and a less probable
# symbol, and whether the latter changes which symbol is the more probable one.
TABLE_E1 = (
    (0x5601, 1, 1, 1), (0x3401, 2, 6, 0), (0x1801, 3, 9, 0), (0x0AC1, 4, 12, 0), (0x0521, 5, 29, 0),
    (0x0221, 38, 33, 0), (0x5601, 7, 6, 1), (0x5401, 8, 14, 0), (0x4801, 9, 14, 0), (0x3801, 10, 14, 0),
    (0x3001, 11, 17, 0), (0x2401, 12, 18, 0), (0x1C01, 13, 20, 0), (0x1601, 29, 21, 0), (0x5601, 15, 14, 1),
    (0x5401, 16, 14, 0), (0x5101, 17, 15, 0), (0x4801, 18, 16, 0), (0x3801, 19, 17, 0), (0x3401, 20, 18, 0),
    (0x3001, 21, 19, 0), (0x2801, 22, 19, 0), (0x2401, 23, 20, 0), (0x2201, 24, 21, 0), (0x1C01, 25, 22, 0),
    (0x1801, 26, 23, 0), (0x1601, 27, 24, 0), (0x1401, 28, 25, 0), (0x1201, 29, 26, 0), (0x1101, 30, 27, 0),
    (0x0AC1, 31, 28, 0), (0x09C1, 32, 29, 0), (0x08A1, 33, 30, 0), (0x0521, 34, 31, 0), (0x0441, 35, 32, 0),
    (0x02A1, 36, 33, 0), (0x0221, 37, 34, 0), (0x0141, 38, 35, 0), (0x0111, 39, 36, 0), (0x0085, 40, 37, 0),
    (0x0049, 41, 38, 0), (0x0025, 42, 39, 0), (0x0015, 43, 40, 0), (0x0009, 44, 41, 0), (0x0005, 45, 42, 0),
    (0x0001, 45, 43, 0), (0x5601, 46, 46, 0),
)  # fmt: skip

# The same by context byte, 2 × state + more probable symbol.
QE = [row[0] for row in TABLE_E1 for _ in (0, 1)]
AFTER_MPS = [2 * row[1] + mps for row in TABLE_E1 for mps in (0, 1)]
AFTER_LPS = [2 * row[2] + (mps ^ row[3]) for row in TABLE_E1 for mps in (0, 1)]


@dataclass(frozen=True, slots=True)
class Template:
    """A context in raster order (Figures 3 to 6): its pixels by row, and how many are right of the current one.

    `typical` is the context of the typical-prediction decision (Figures 8 to 11).
    """

    here: int
    above: int
    above_ahead: int
    above2: int
    above2_ahead: int
    typical: int

    def around(self, above2: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        """For each pixel of a row, the part of its context that the two rows above it make; shape (width,)."""
        bits: npt.NDArray[np.uint16] = np.zeros(above.size, np.uint16)
        fields = ((above2, self.above2, self.above2_ahead), (above, self.above, self.above_ahead))
        for row, count, ahead in fields:
            padded = np.pad(row, (count, count)).astype(np.uint16)
            for dx in range(ahead - count + 1, ahead + 1):
                np.left_shift(bits, 1, out=bits)
                bits |= padded[count + dx : count + dx + row.size]
        np.left_shift(bits, self.here, out=bits)
        return bits


TEMPLATES = (
    Template(here=4, above=7, above_ahead=3, above2=5, above2_ahead=2, typical=0x9B25),
    Template(here=3, above=6, above_ahead=3, above2=4, above2_ahead=2, typical=0x0795),
    Template(here=2, above=5, above_ahead=2, above2=3, above2_ahead=1, typical=0x00E5),
    Template(here=4, above=6, above_ahead=2, above2=0, above2_ahead=0, typical=0x0195),
)


class Encoder:
    """E.2. The first byte of `bytes` stands for the one before the output: never 0xFF, and no carry reaches it."""

    __slots__ = ("a", "bytes", "c", "contexts", "ct")

    def __init__(self, contexts: int) -> None:
        self.a, self.c, self.ct = 0x8000, 0, 12
        self.bytes = bytearray(1)
        self.contexts = bytearray(contexts)

    def encode(self, contexts: Iterable[int], bits: Iterable[int]) -> None:
        """Code each bit in its context; the frequent case (Figures E.5 and E.6 without renormalisation) is inline."""
        a, c, states, qe_of = self.a, self.c, self.contexts, QE
        for context, bit in zip(contexts, bits, strict=True):
            state = states[context]
            qe = qe_of[state]
            a -= qe
            if bit == state & 1:
                if a & 0x8000:
                    c += qe
                    continue
                is_mps = True
                states[context] = AFTER_MPS[state]
            else:
                is_mps = False
                states[context] = AFTER_LPS[state]
            if (a < qe) == is_mps:
                a = qe  # the larger part goes to the more probable symbol
            else:
                c += qe
            while not a & 0x8000:  # Figure E.7
                a <<= 1
                c <<= 1
                self.ct -= 1
                if self.ct == 0:
                    c = self._byte_out(c)
        self.a, self.c = a, c

    def _byte_out(self, c: int) -> int:  # Figure E.8
        out = self.bytes
        if out[-1] != 0xFF and c >= 0x8000000:
            out[-1] += 1
            c &= 0x7FFFFFF
        if out[-1] == 0xFF:
            out.append(c >> 20)
            self.ct = 7
            return c & 0xFFFFF
        out.append(c >> 19)
        self.ct = 8
        return c & 0x7FFFF

    def flush_marked(self) -> bytes:
        """The end as in Figures E.11 and E.12, with the marker."""
        c = self.c | 0xFFFF
        if c >= self.c + self.a:
            c -= 0x8000
        c = self._byte_out(c << self.ct)
        self._byte_out(c << self.ct)
        return bytes(self.bytes[1:]).removesuffix(b"\xff") + b"\xff\xac"

    def flush_shortest(self) -> bytes:
        """The end that is all 1-bits from as early on as can be: the decoder infers those, and there is no marker."""
        low, top = self.c, self.c + self.a
        values = ((top >> ones << ones) - 1 for ones in range(28, -1, -1))
        c = next(value for value in values if value >= low)
        for _ in range(2):  # at least 15 trailing ones: two bytes hold all the rest
            c = self._byte_out((c + 1 << self.ct) - 1)
        out = bytes(self.bytes[1:])
        while out.endswith((b"\xff", b"\xff\x7f")):  # after 0xFF a byte carries seven bits
            out = out.removesuffix(b"\x7f").removesuffix(b"\xff")
        return out


class Decoder:
    """E.3. Past the end of `payload` there are only bytes of 0xFF."""

    __slots__ = ("a", "at", "c", "contexts", "ct", "payload")

    def __init__(self, payload: bytes, contexts: int) -> None:  # Figure E.20
        self.payload = payload + b"\xff\xff"
        self.at = 0
        self.contexts = bytearray(contexts)
        self.c = self._byte_in(self.payload[0] << 16) << 7
        self.ct -= 7
        self.a = 0x8000

    def _byte_in(self, c: int) -> int:  # Figure E.19
        here, after = self.payload[self.at : self.at + 2]
        if here == 0xFF and after > 0x8F:
            self.ct = 8
            return c + 0xFF00
        self.at += 1
        self.ct = 7 if here == 0xFF else 8
        return c + (after << 16 - self.ct)

    def decode(self, around: Iterable[int], history: int) -> bytearray:
        """Decode one bit for each number of `around`: its context is that and the last bits, under mask `history`."""
        a, c, states, qe_of = self.a, self.c, self.contexts, QE
        bits = bytearray()
        last = 0
        for context in around:
            context |= last & history
            state = states[context]
            qe = qe_of[state]
            bit = state & 1
            a -= qe
            if c >> 16 >= qe:
                c -= qe << 16
                if a & 0x8000:
                    bits.append(bit)
                    last = last << 1 & 0xF | bit
                    continue
                is_mps = a >= qe
            else:
                is_mps = a < qe
                a = qe
            if is_mps:
                states[context] = AFTER_MPS[state]
            else:
                states[context] = AFTER_LPS[state]
                bit ^= 1
            while not a & 0x8000:  # Figure E.18
                if self.ct == 0:
                    c = self._byte_in(c)
                a <<= 1
                c = c << 1 & 0xFFFFFFFF
                self.ct -= 1
            bits.append(bit)
            last = last << 1 & 0xF | bit
        self.a, self.c = a, c
        return bits


def encode_region(pixels: bytes, width_px: int, height_px: int, template: int, typical_prediction: bool, /) -> bytes:
    """Code a bitmap as the data of a generic region, as short as can be: without the marker and what it implies."""
    form = _check_region(width_px, height_px, template)
    if len(pixels) != width_px * height_px:
        raise ValueError(f"{len(pixels)} bytes are no bitmap of {width_px}x{height_px}")
    encoder = Encoder(1 << 16)
    rows = np.zeros((height_px + 2, width_px), np.uint8)  # two white ones above the first
    rows[2:] = np.frombuffer(pixels, np.uint8).reshape(height_px, width_px) != 0
    was_typical = False
    for above2, above, row in zip(rows, rows[1:], rows[2:], strict=False):
        if typical_prediction:
            is_typical = np.array_equal(row, above)
            encoder.encode([form.typical], [is_typical ^ was_typical])
            was_typical = is_typical
            if is_typical:
                continue
        contexts = form.around(above2, above)
        for back in range(1, min(form.here, width_px - 1) + 1):
            contexts[back:] |= row[:-back].astype(np.uint16) << back - 1
        encoder.encode(contexts.tolist(), row.tolist())
    return encoder.flush_shortest()


def decode_region(
    payload: bytes, width_px: int, height_px: int, template: int, typical_prediction: bool, /
) -> bytearray:
    """Decode the data of a generic region, with or without a marker, to 0 or 1 a pixel, row by row."""
    form = _check_region(width_px, height_px, template)
    decoder = Decoder(bytes(payload), 1 << 16)
    above2 = above = np.zeros(width_px, np.uint8)
    is_typical = 0
    pixels = bytearray()
    for _ in range(height_px):
        if typical_prediction:
            is_typical ^= decoder.decode([form.typical], 0)[0]
        row = above
        if not is_typical:
            row = np.frombuffer(decoder.decode(form.around(above2, above).tolist(), (1 << form.here) - 1), np.uint8)
        pixels += row.tobytes()
        above2, above = above, row
    return pixels


def encode_decisions(decisions: bytes, /) -> bytes:
    """Code decisions, one a byte, in a single context, with the standard's end and marker (as in Annex H.2)."""
    encoder = Encoder(1)
    encoder.encode([0] * len(decisions), (int(decision != 0) for decision in decisions))
    return encoder.flush_marked()


def decode_decisions(payload: bytes, count: int, /) -> bytearray:
    """Decode `count` decisions of a single context to 0 or 1 a byte."""
    if count < 0:
        raise ValueError("a count is not negative")
    return Decoder(bytes(payload), 1).decode([0] * count, 0)


def _check_region(width_px: int, height_px: int, template: int) -> Template:
    if not (1 <= width_px <= MAX_SIDE_PX and 1 <= height_px <= MAX_SIDE_PX):
        raise ValueError(f"a region has sides of 1 to {MAX_SIDE_PX} pixels, not {width_px}x{height_px}")
    if not 0 <= template <= 3:
        raise ValueError(f"there are the templates 0 to 3, not {template}")
    return TEMPLATES[template]
