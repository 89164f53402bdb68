"""The values a bundle is made of.

In: compressed payloads from the encoder or from `container.unpack`. Out: frozen values, equal when their bytes are
equal. Refuses: dimensions, scales and rectangles that no picture can have (`BundleError`), so that later code need
not check again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from proxy.bundle.errors import BundleError, BundleTooLarge

MAX_SIDE_PX = 65_535
MAX_IMAGE_PIXELS = 100_000_000
MAX_PROMPT_CHARS = 1_000
MAX_RECTANGLES = 255


class Coding(IntEnum):
    """How the pixels of a palette, a thumbnail or an atlas are coded (the number is what crosses the wire)."""

    WEBP_LOSSY = 0  # a bare VP8 key frame, RIFF header stripped
    WEBP_LOSSLESS = 1  # a bare VP8L stream
    AVIF = 2  # bare AV1 OBUs, the ISOBMFF boxes stripped; see proxy.bundle.avif


class SalientKind(IntEnum):
    """Why a rectangle must be shown as real pixels."""

    OTHER = 0
    FACE = 1
    TEXT = 2
    LOGO = 3
    CODE = 4  # QR and barcodes


class Depicted(IntEnum):
    """What sort of picture it is, for the words of style in an engine's prompt."""

    PHOTOGRAPH = 0
    ILLUSTRATION = 1
    GRAPHIC = 2  # flat shapes: a title card, a diagram


@dataclass(frozen=True, slots=True)
class Prompt:
    """The words that describe the image; `text` is None when downstream holds the page's own words."""

    text: str | None

    def __post_init__(self) -> None:
        if self.text is not None and not 0 < len(self.text) <= MAX_PROMPT_CHARS:
            raise BundleError(f"a prompt has 1 to {MAX_PROMPT_CHARS} characters, this one has {len(self.text)}")
        if self.text is not None and any("\ud800" <= char <= "\udfff" for char in self.text):
            raise BundleError("a prompt cannot hold lone surrogates")


@dataclass(frozen=True, slots=True)
class Edges:
    """A bilevel edge map of `width_px` × `height_px`, stretched over the whole image; MQ-coded, see
    proxy.bundle.jbig2.
    """

    width_px: int
    height_px: int
    template: int
    typical_prediction: bool
    payload: bytes

    def __post_init__(self) -> None:
        _check_size("edge map", self.width_px, self.height_px)
        if not 0 <= self.template <= 3:
            raise BundleError(f"JBIG2 has the templates 0 to 3, not {self.template}")


@dataclass(frozen=True, slots=True)
class Picture:
    """A small coded picture: the palette, the thumbnail or an atlas of crops."""

    coding: Coding
    width_px: int
    height_px: int
    payload: bytes

    def __post_init__(self) -> None:
        _check_size("picture", self.width_px, self.height_px)


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A region of the original, in its pixels, shown as real pixels."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    kind: SalientKind = SalientKind.OTHER


@dataclass(frozen=True, slots=True)
class Salient:
    """The rectangles and one atlas of their pixels, at 1/`scale` of the original's size; see proxy.bundle.atlas."""

    rectangles: tuple[Rectangle, ...]
    scale: int
    atlas: Picture

    def __post_init__(self) -> None:
        if not 0 < len(self.rectangles) <= MAX_RECTANGLES:
            raise BundleError(f"a bundle has 1 to {MAX_RECTANGLES} rectangles, this one has {len(self.rectangles)}")
        if not 1 <= self.scale <= 8:
            raise BundleError(f"crops are scaled by 1 to 8, not {self.scale}")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything downstream needs to draw one image of `width_px` × `height_px` again.

    `seed` starts the reconstruction's noise; `original_sha256` is a prefix (8 to 32 bytes) of the original file's
    digest. `segmentation`, `style` and `normal` are for engines with a network for them, `kind` is for those that read
    words; others do without.
    """

    width_px: int
    height_px: int
    seed: int = 0
    prompt: Prompt | None = None
    edges: Edges | None = None
    palette: Picture | None = None
    thumbnail: Picture | None = None
    salient: Salient | None = None
    original_sha256: bytes | None = None
    segmentation: Picture | None = None
    style: Picture | None = None
    normal: Picture | None = None
    kind: Depicted | None = None

    def __post_init__(self) -> None:
        _check_size("bundle", self.width_px, self.height_px)
        if self.width_px * self.height_px > MAX_IMAGE_PIXELS:
            raise BundleTooLarge(f"an image of {self.width_px}×{self.height_px} px; the limit is {MAX_IMAGE_PIXELS} px")
        if not 0 <= self.seed < 2**32:
            raise BundleError(f"a seed is a 32-bit number, not {self.seed}")
        if self.original_sha256 is not None and not 8 <= len(self.original_sha256) <= 32:
            raise BundleError("the original's digest has 8 to 32 bytes")
        for r in self.salient.rectangles if self.salient else ():
            if r.width_px < 1 or r.height_px < 1 or min(r.x_px, r.y_px) < 0:
                raise BundleError(f"an empty or negative rectangle: {r}")
            if r.x_px + r.width_px > self.width_px or r.y_px + r.height_px > self.height_px:
                raise BundleError(f"a rectangle outside the {self.width_px}×{self.height_px} image: {r}")


def _check_size(what: str, width_px: int, height_px: int) -> None:
    if not (0 < width_px <= MAX_SIDE_PX and 0 < height_px <= MAX_SIDE_PX):
        raise BundleError(f"a {what} has sides of 1 to {MAX_SIDE_PX} px, this one is {width_px}×{height_px}")
