"""What the encoder is asked and what it answers.

In: an image's bytes and the terms. Out: `Encoded` or `Declined`, both plain values that cross process boundaries.
Refuses: modes and tiers that don't exist (`ValueError`), at construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.config import DETECTORS, FORMATS, MODES, TIERS
from proxy.policy import Reason

AUTO, PROMPT, EDGES, EDGES_PALETTE, THUMBNAIL, SALIENT = MODES
BUNDLE_MODES = MODES[1:]
ECONOMY, BALANCED, FAITHFUL, OFF = TIERS
CLASSICAL = FORMATS  # the modes of an answer that is a plain file: image/<mode>


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """One image to encode.

    `mode` is auto or a bundle mode; `modes` are those that the receiver can draw; `words` describe the image, and are
    not sent when `words_known_downstream`; `tier` says how good auto's answer must be (`proxy.encode.floor`), and
    `formats` as which plain files it may come, besides as a bundle; with `moving`, an animation may come as an animated
    WebP. With `detect`, auto looks for what `detectors` names, faces, text and codes, and sends it as real pixels;
    `logo` says that the page calls the image one, so that it is sent whole if logos are among them; `named_logo`, that
    words about it do, which counts for flat pictures. `face_weights` is the file of a YuNet model to find faces with,
    instead of the detector that the extra `detect` installs. With `shortlist`, auto's bundle comes with the next
    cheaper and the next dearer one and the best file, for a caller who can measure what the engine draws. `thorough`
    takes several times as long to make files smaller.
    """

    data: bytes
    mode: str = AUTO
    words: str | None = None
    words_known_downstream: bool = False
    modes: tuple[str, ...] = BUNDLE_MODES
    engine: str = "sketch"
    tier: str = BALANCED
    formats: tuple[str, ...] = ()
    moving: bool = False
    max_pixels: int = 50_000_000
    min_bytes: int = 1024
    seed: int | None = None
    detect: bool = True
    detectors: tuple[str, ...] = DETECTORS
    logo: bool = False
    named_logo: bool = False
    face_weights: str | None = None
    shortlist: bool = False
    thorough: bool = False

    def __post_init__(self) -> None:
        if self.mode != AUTO and self.mode not in BUNDLE_MODES:
            raise ValueError(f"unknown mode {self.mode!r}; known: {', '.join((AUTO, *BUNDLE_MODES))}")
        if self.tier not in TIERS:
            raise ValueError(f"unknown tier {self.tier!r}; known: {', '.join(TIERS)}")


@dataclass(frozen=True, slots=True)
class Encoded:
    """The image's replacement: `body` of type `media_type`, a bundle or an image file, for an image of `width_px` ×
    `height_px`.

    `score` is the VGG16 similarity that is expected of what the browser will show (`proxy.encode.floor`); None if it
    was not estimated. What is `polished` was searched for thoroughly.
    """

    body: bytes
    media_type: str
    mode: str
    width_px: int
    height_px: int
    kind: str
    score: float | None = None
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    shortlist: Shortlist | None = None
    polished: bool = False


@dataclass(frozen=True, slots=True)
class Shortlist:
    """What else could be sent instead of a bundle: one of fewer bytes that is probably below the floor, one of more
    bytes that is surely above it, and a classical file above it. None where there is no such thing, or no gain in it.
    """

    cheaper: Encoded | None = None
    dearer: Encoded | None = None
    file: Encoded | None = None


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """A picture to be measured: the file `picture` against the original image `data`, on the terms of `tier`."""

    data: bytes
    picture: bytes
    tier: str
    max_pixels: int = 50_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What a picture is worth: `headroom` is how far it is above the tier's floor, negative below it."""

    score: float
    headroom: float


@dataclass(frozen=True, slots=True)
class Declined:
    """Why the original is to be sent."""

    reason: Reason
    detail: str = ""
    kind: str = ""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
