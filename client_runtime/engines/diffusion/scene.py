"""What the model is told about one picture: a bundle's sections at the size it is drawn at.

In: a `Bundle`, its prompt and a `Frame`. Out: a `Scene`. Refuses: what `proxy.bundle.pixels` refuses (`BundleError`),
and bundles with nothing that this profile can draw from (`UnsupportedBundle`).

The four ways of the paper follow from what is there: words alone (`text`), words and ControlNets (`text` with
controls), colours to start from (`image`), known regions (`inpaint`). A thumbnail serves as a better palette.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt

from client_runtime.engines.base import Task
from client_runtime.engines.diffusion.frames import Frame
from client_runtime.engines.diffusion.profile import Profile
from client_runtime.engines.sketch.resample import upsample
from proxy.bundle import Bundle, UnsupportedBundle
from proxy.bundle.model import Edges, Rectangle
from proxy.bundle.pixels import crops, edge_map, picture_rgb
from proxy.bundle.resample import resize

Floats = npt.NDArray[np.float32]
_GREY = 0.5


class Kind(StrEnum):
    """Which pipeline draws it."""

    TEXT = "text"
    IMAGE = "image"
    INPAINT = "inpaint"


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture's conditioning at its frame's size; pictures are float32 (height, width, 3), 0 to 1.

    `colour` is what it starts from (crops in place), `known` marks latent cells (rows, columns) that are wholly true,
    `small` is the thumbnail or palette as sent. `strength` is how far `colour` is noised; 1 starts from noise alone.
    """

    frame: Frame
    kind: Kind
    seed: int
    prompt: str | None
    controls: Mapping[str, Floats] = field(default_factory=dict)
    colour: Floats | None = None
    known: npt.NDArray[np.bool_] | None = None
    small: npt.NDArray[np.uint8] | None = None
    is_palette: bool = False
    strength: float = 1.0
    depicted: str | None = None  # the kind of image, in the words of `prompt.build_prompt`

    @property
    def roles(self) -> tuple[str, ...]:
        """The ControlNets it needs, in a fixed order."""
        return tuple(sorted(self.controls))


def scene(task: Task, frame: Frame, profile: Profile, cell_px: int) -> Scene:
    """The scene of `task`; a latent cell is `cell_px` wide. Raises BundleError."""
    bundle = task.bundle
    picture = bundle.thumbnail or bundle.palette
    small = None if picture is None else picture_rgb(picture)
    controls = _controls(bundle, frame, profile.controlnets)
    lost = bundle.edges is not None and "edges" not in controls  # a picture by words alone would ignore them
    if small is None and not controls and (lost or not task.prompt):
        raise UnsupportedBundle(_nothing(bundle, profile))
    colour = None if small is None else _stretched(small, frame)
    if colour is not None and "colour" in profile.controlnets:
        controls["colour"] = colour
    colour, known = _with_crops(bundle, frame, colour, cell_px)
    strength = 1.0
    if small is not None:
        strength = profile.strength_palette if bundle.thumbnail is None else profile.strength_thumbnail
    kind = Kind.TEXT if small is None else Kind.IMAGE
    if known is not None:
        kind = Kind.INPAINT
    elif small is None:
        colour = None  # crops too small to draw around: they are pasted afterwards
    is_palette = bundle.thumbnail is None
    depicted = None if bundle.kind is None else bundle.kind.name.lower()
    return Scene(frame, kind, bundle.seed, task.prompt, controls, colour, known, small, is_palette, strength, depicted)


def lines(edges: Edges, width_px: int, height_px: int) -> Floats:
    """(height, width, 3): white lines on black, as ControlNets for Canny edges were trained on; none gets lost."""
    drawn = edge_map(edges).astype(np.float32)
    smaller = width_px < drawn.shape[1] or height_px < drawn.shape[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_NEAREST
    sized = np.asarray(cv2.resize(drawn, (width_px, height_px), interpolation=method), np.float32)
    return np.repeat((sized > 0.25).astype(np.float32)[..., None], 3, axis=2)


def _nothing(bundle: Bundle, profile: Profile) -> str:
    if bundle.edges is not None:
        return f"profile {profile.id} has no ControlNet for edges, and the bundle has nothing else to draw from"
    return "a bundle without words, edges, palette or thumbnail says nothing to draw"


def _controls(bundle: Bundle, frame: Frame, known: Collection[str]) -> dict[str, Floats]:
    controls: dict[str, Floats] = {}
    if bundle.edges is not None and "edges" in known:
        controls["edges"] = _black(frame, lines(bundle.edges, frame.inner_width_px, frame.inner_height_px))
    guides = {"segmentation": bundle.segmentation, "style": bundle.style, "normal": bundle.normal}
    for role, guide in guides.items():
        if guide is not None and role in known:
            controls[role] = _stretched(picture_rgb(guide), frame)
    return controls


def _black(frame: Frame, inner: Floats) -> Floats:
    """`inner` in its frame, nothing around it."""
    whole = np.zeros((frame.height_px, frame.width_px, 3), np.float32)
    frame.cut(whole)[:] = inner
    return whole


def _stretched(small: npt.NDArray[np.uint8], frame: Frame) -> Floats:
    rows, columns = frame.inner_height_px, frame.inner_width_px
    if small.shape[0] > rows or small.shape[1] > columns:
        small = resize(small, min(columns, small.shape[1]), min(rows, small.shape[0]))
    inner = upsample(small.astype(np.float32) * np.float32(1 / 255), rows, columns, 0, 0, rows, columns)
    return frame.pad(np.clip(inner, 0, 1))


def _with_crops(
    bundle: Bundle, frame: Frame, colour: Floats | None, cell_px: int
) -> tuple[Floats | None, npt.NDArray[np.bool_] | None]:
    """`colour` (grey if None) with the true crops in it, and the cells they fill; None when they fill none."""
    if bundle.salient is None:
        return colour, None
    picture = np.full((frame.height_px, frame.width_px, 3), _GREY, np.float32) if colour is None else colour.copy()
    known = np.zeros((frame.height_px, frame.width_px), np.bool_)
    for rectangle, crop in zip(bundle.salient.rectangles, crops(bundle.salient), strict=True):
        x, y, width, height = _placed(rectangle, bundle, frame)
        picture[y : y + height, x : x + width] = resize(crop, width, height).astype(np.float32) / 255
        known[y : y + height, x : x + width] = True
    rows, columns = frame.height_px // cell_px, frame.width_px // cell_px
    by_cell = known[: rows * cell_px, : columns * cell_px].reshape(rows, cell_px, columns, cell_px)
    cells = np.asarray(by_cell.all(axis=(1, 3)), np.bool_)
    return picture, cells if cells.any() else None


def _placed(r: Rectangle, bundle: Bundle, frame: Frame) -> tuple[int, int, int, int]:
    """(x, y, width, height) of a rectangle of the original in the frame."""
    across, down = frame.inner_width_px / bundle.width_px, frame.inner_height_px / bundle.height_px
    x, y = int(r.x_px * across), int(r.y_px * down)
    width = min(frame.inner_width_px, max(x + 1, round((r.x_px + r.width_px) * across))) - x
    height = min(frame.inner_height_px, max(y + 1, round((r.y_px + r.height_px) * down))) - y
    return frame.left_px + x, frame.top_px + y, max(1, width), max(1, height)
