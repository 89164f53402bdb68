"""What the encoder is asked and what it answers.

In: an image's bytes and the terms. Out: `Encoded` or `Declined`, both plain values that cross process boundaries.
Refuses: modes that don't exist (`ValueError`), at construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.config import MODES
from proxy.policy import Reason

AUTO, PROMPT, EDGES, EDGES_PALETTE, THUMBNAIL, SALIENT = MODES
BUNDLE_MODES = MODES[1:]
BALANCED_FLOOR = 0.75


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """One image to encode.

    `mode` is auto or a bundle mode; `modes` are those that the receiver can draw; `words` describe the image, and are
    not sent when `words_known_downstream`; `floor` is the least similarity (`proxy.encode.quality.score`) that auto
    accepts. With `detect`, auto looks for faces, text and codes and sends them as real pixels; `face_weights` is the
    file of a YuNet model to find faces with, instead of the detector that the extra `detect` installs.
    """

    data: bytes
    mode: str = AUTO
    words: str | None = None
    words_known_downstream: bool = False
    modes: tuple[str, ...] = BUNDLE_MODES
    engine: str = "preview"
    floor: float = BALANCED_FLOOR
    max_pixels: int = 50_000_000
    min_bytes: int = 1024
    seed: int | None = None
    detect: bool = True
    face_weights: str | None = None

    def __post_init__(self) -> None:
        if self.mode != AUTO and self.mode not in BUNDLE_MODES:
            raise ValueError(f"unknown mode {self.mode!r}; known: {', '.join((AUTO, *BUNDLE_MODES))}")


@dataclass(frozen=True, slots=True)
class Encoded:
    """The image's replacement: `body` of type `media_type`, for an image of `width_px` × `height_px`.

    `score` is the similarity of the model-free preview at working size, a lower bound for the engines; None if not
    measured.
    """

    body: bytes
    media_type: str
    mode: str
    width_px: int
    height_px: int
    kind: str
    score: float | None = None
    stage_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declined:
    """Why the original is to be sent."""

    reason: Reason
    detail: str = ""
    kind: str = ""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
