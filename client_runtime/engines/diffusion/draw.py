"""From tasks to pictures: scenes, batches, the pipelines, and back to the original's size.

In: tasks. Out: uint8 RGB pictures of their bundles' sizes. Refuses: bundles that do not decode or say nothing to draw
(`BundleError`); pictures that came out broken, did not fit into memory or were late (`EngineFailed` with the reason).

Scenes of one size, kind and set of ControlNets share a batch. On a CPU pictures are drawn one by one, where a batch
gains nothing; elsewhere a batch shrinks with the memory there is, then the text encoders are moved out, then it is
refused. Noise, prompt embeddings and colours are each picture's own, so a picture does not depend on its batch
(exactly on a CPU; within rounding where kernels differ by batch size).
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from client_runtime.engines.base import EngineFailed, Fallback, Task
from client_runtime.engines.diffusion import noise
from client_runtime.engines.diffusion.broken import check
from client_runtime.engines.diffusion.embed import Embedder
from client_runtime.engines.diffusion.frames import Frame, frame
from client_runtime.engines.diffusion.load import Components
from client_runtime.engines.diffusion.memory import Guard, free_bytes
from client_runtime.engines.diffusion.pace import Pace
from client_runtime.engines.diffusion.pipes import Pipes
from client_runtime.engines.diffusion.profile import ALIGN_PX, Profile
from client_runtime.engines.diffusion.scene import Floats, Kind, Scene, lines, scene
from client_runtime.engines.diffusion.steps import Start, StepEnd, total_steps
from client_runtime.engines.sketch import colours
from client_runtime.engines.sketch.tiles import Canvas, Window, windows
from proxy.bundle import Bundle
from proxy.bundle.preview import paste_crops
from proxy.bundle.resample import resize

RGB = npt.NDArray[np.uint8]
VERSION = 1  # part of the engine's fingerprint: raise it when the pixels change
MAX_WINDOWS = 16  # a picture that would need more is enlarged, not redrawn
_BATCH = {"cpu": 1}
_LARGEST_BATCH = 16

_log = logging.getLogger("sketchwire.runtime")


class Painter:
    """Draws tasks with one set of components. `largest_batch` 0 leaves the choice to the device.

    `fixed_batches` are the only sizes drawn, smaller ones being filled up, for code that is compiled for each size.
    """

    def __init__(
        self,
        components: Components,
        profile: Profile,
        largest_batch: int = 0,
        measure: Callable[[torch.device], int | None] = free_bytes,
        fixed_batches: tuple[int, ...] = (),
    ) -> None:
        self._parts, self._profile, self._fixed = components, profile, sorted(fixed_batches)
        most = largest_batch or _BATCH.get(components.device.type, _LARGEST_BATCH)
        self._largest = min([most, *self._fixed[-1:]])
        self._pipes = Pipes(components)
        self._embedder = Embedder(components, profile.guides, profile.negative_prompt)
        self._guard = Guard(components.device, measure)
        self._pace = Pace()
        self._overlap_px = profile.native_px * 3 // 16
        self._offloaded = False
        self.batches: list[int] = []  # sizes, the last hundred

    def draw(self, tasks: Sequence[Task]) -> list[RGB]:
        """One picture (height, width, 3) per task, true crops in place. Raises BundleError and EngineFailed."""
        scenes = [self._scene(task) for task in tasks]
        drawn = self._draw_scenes(scenes, [task.until_s for task in tasks])
        pictures = [self._finish(*each) for each in zip(tasks, scenes, drawn, strict=True)]
        return [paste_crops(each, task.bundle) for each, task in zip(pictures, tasks, strict=True)]

    def warm_up(self) -> None:
        """Draw with words and with edges, so that the first user does not wait for kernels to be chosen or compiled."""
        buckets = self._profile.buckets if self._fixed else self._profile.buckets[:1]
        sizes = [size for size in self._fixed if size <= self._largest] or [1]
        for across, down in buckets:
            whole = Frame(across, down, 0, 0, across, down)
            black = np.zeros((down, across, 3), np.float32)
            told = [{}, {"edges": black}] if "edges" in self._profile.controlnets else [{}]
            for size in sizes:
                for controls in told:
                    self._draw_scenes([Scene(whole, Kind.TEXT, 0, "warm-up", controls)] * size, [None] * size)

    def _scene(self, task: Task) -> Scene:
        place = frame(task.bundle.width_px, task.bundle.height_px, self._profile.buckets)
        return scene(task, place, self._profile, self._parts.cell_px)

    def _draw_scenes(self, scenes: Sequence[Scene], until_s: Sequence[float | None]) -> list[Floats]:
        """(height, width, 3) float pictures at the scenes' frames, unchecked."""
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for number, each in enumerate(scenes):
            groups[_batch_key(each)].append(number)
        pictures: dict[int, Floats] = {}
        for numbers in groups.values():
            waiting = list(numbers)
            while waiting:
                size = self._fitting(scenes[waiting[0]], len(waiting))
                batch, waiting = waiting[:size], waiting[size:]
                times = [until_s[n] for n in batch]
                drawn = self._halving(
                    [scenes[n] for n in batch], min((t for t in times if t is not None), default=None)
                )
                pictures.update(zip(batch, drawn, strict=True))
        return [pictures[n] for n in range(len(scenes))]

    def _fitting(self, first: Scene, wanted: int) -> int:
        """How many scenes like `first` to draw at a time. Raises EngineFailed when not even one fits."""
        pixels = first.frame.width_px * first.frame.height_px
        wanted = min(wanted, self._largest)
        size = self._guard.fits(wanted, pixels)
        if size < 1 and self._offload():
            size = self._guard.fits(wanted, pixels)
        if size < 1:
            raise EngineFailed("no memory for even one picture", Fallback.OUT_OF_MEMORY)
        return size

    def _halving(self, scenes: Sequence[Scene], until_s: float | None) -> list[Floats]:
        """Draw; when the device runs out of memory, in halves, then with the text encoders moved out."""
        try:
            return self._timed(scenes, until_s)
        except torch.OutOfMemoryError as error:
            self._guard.give_back()
            if len(scenes) == 1 and not self._offload():
                raise EngineFailed(f"the device ran out of memory: {error}", Fallback.OUT_OF_MEMORY) from error
        middle = (len(scenes) + 1) // 2
        _log.warning("out of memory with a batch of %d; trying %d", len(scenes), middle)
        halves = (scenes[:middle], scenes[middle:])
        return [picture for half in halves if half for picture in self._halving(half, until_s)]

    def _offload(self) -> bool:
        """Free the text encoders' memory; False when that has been done, or there is no other place."""
        if self._offloaded or self._parts.device.type == "cpu":
            return False
        self._embedder.offload()
        self._guard.give_back()
        self._offloaded = True
        _log.warning("memory is short: text encoders moved to the CPU")
        return True

    def _timed(self, scenes: Sequence[Scene], until_s: float | None) -> list[Floats]:
        first, began_s = scenes[0], time.monotonic()
        work = (_batch_key(first), len(scenes))
        if until_s is not None and (began_s >= until_s or self._pace.hopeless(work, until_s - began_s)):
            raise EngineFailed("the deadline is too near for this machine", Fallback.DEADLINE)
        try:
            self._guard.begin()
            with torch.inference_mode():
                drawn = self._pass(scenes, until_s)
            self._guard.end(len(scenes), first.frame.width_px * first.frame.height_px)
        finally:
            self._pace.took(work, time.monotonic() - began_s)
        self.batches = [*self.batches[-99:], len(scenes)]
        return drawn

    def _pass(self, scenes: Sequence[Scene], until_s: float | None) -> list[Floats]:
        """One call of a pipeline."""
        wanted = len(scenes)
        filled = next((size for size in self._fixed if size >= wanted), wanted)
        scenes = [*scenes, *[scenes[-1]] * (filled - wanted)]
        first, profile = scenes[0], self._profile
        start = self._start(scenes)
        pipe = self._pipes.pipe(first.kind, first.roles)
        pipe.start = start
        call: dict[str, Any] = {
            "num_inference_steps": total_steps(profile.steps, first.strength),
            "guidance_scale": profile.guidance,
            "generator": [noise.generator(each.seed) for each in scenes],
            "callback_on_step_end": StepEnd(start, self._pull(first), _cell(first, start), until_s),
            "output_type": "latent",
            "return_dict": False,
            **self._words(scenes),
            **self._pictures(scenes, start),
        }
        latents = pipe(**call)[0][:wanted]
        return self._decoded(latents)

    def _pull(self, first: Scene) -> float:
        """Colour guidance is for what starts from colours."""
        return self._profile.colour_guidance if first.small is not None else 0.0

    def _words(self, scenes: Sequence[Scene]) -> dict[str, torch.Tensor]:
        told = [self._embedder.embed(each.prompt, each.depicted) for each in scenes]
        return {name: torch.cat([each[name] for each in told]) for name in told[0]}

    def _start(self, scenes: Sequence[Scene]) -> Start:
        rows, columns = (side // self._parts.cell_px for side in (scenes[0].frame.height_px, scenes[0].frame.width_px))
        drawn = np.stack([noise.field(each.seed, self._parts.channels, rows, columns) for each in scenes])
        clean = None
        if scenes[0].colour is not None:
            clean = torch.cat([self._encoded(each.colour) for each in scenes if each.colour is not None])
        return Start(torch.from_numpy(drawn).to(self._parts.device, self._parts.dtype), clean)

    def _pictures(self, scenes: Sequence[Scene], start: Start) -> dict[str, Any]:
        """The pipelines' arguments that differ by kind."""
        first = scenes[0]
        size = {"height": first.frame.height_px, "width": first.frame.width_px}
        controls: list[torch.Tensor] = [
            self._tensor(np.stack([each.controls[role] for each in scenes])) for role in first.roles
        ]
        weights = [self._profile.controlnets[role].weight for role in first.roles]
        told: dict[str, Any] = {}
        if controls:
            told["controlnet_conditioning_scale"] = weights if len(weights) > 1 else weights[0]
        control = controls if len(controls) > 1 else controls[0] if controls else None
        if first.kind is Kind.TEXT:
            return {**size, **told, **({"image": control} if controls else {})}
        if controls:
            told["control_image"] = control
        if first.kind is Kind.IMAGE:
            return {**told, **(size if controls else {}), "image": start.clean, "strength": first.strength}
        known = np.stack([each.known for each in scenes if each.known is not None])
        mask = np.repeat(np.repeat(~known, self._parts.cell_px, axis=1), self._parts.cell_px, axis=2)
        colour = np.stack([each.colour for each in scenes if each.colour is not None])
        return {
            **size,
            **told,
            "image": self._tensor(colour),
            "mask_image": torch.from_numpy(mask[:, None].astype(np.float32)),
            "strength": first.strength,
        }

    def _tensor(self, pictures: Floats) -> torch.Tensor:
        """(n, height, width, 3) to (n, 3, height, width) on the device."""
        return torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self._parts.device, self._parts.dtype)

    def _encoded(self, colour: Floats) -> torch.Tensor:
        """The latents of one picture; the middle of the autoencoder's distribution, so that it is always the same."""
        vae = self._parts.vae
        told = vae.encode((self._tensor(colour[None]) * 2 - 1).to(vae.dtype))
        latents: torch.Tensor = told.latents if hasattr(told, "latents") else told.latent_dist.mode()
        return latents.mul(float(vae.config.scaling_factor)).to(self._parts.dtype)

    def _decoded(self, latents: torch.Tensor) -> list[Floats]:
        vae = self._parts.vae
        pictures = vae.decode((latents / vae.config.scaling_factor).to(vae.dtype), return_dict=False)[0]
        return list(((pictures.float() + 1) / 2).permute(0, 2, 3, 1).cpu().numpy())

    def _finish(self, task: Task, drawn_as: Scene, drawn: Floats) -> RGB:
        """The picture at its original's size, its colours those that were sent; crops not yet pasted."""
        inner = drawn_as.frame.cut(drawn)
        check(inner, drawn_as.small)
        picture = self._matched(inner, drawn_as)
        bundle = task.bundle
        whole = resize(_eight_bit(picture), bundle.width_px, bundle.height_px)
        enlarged = bundle.width_px / drawn_as.frame.inner_width_px
        if 0 < self._profile.tile_over < enlarged:
            whole = self._redrawn(whole, task, drawn_as)
        return whole

    @staticmethod
    def _matched(inner: Floats, drawn_as: Scene) -> Floats:
        if drawn_as.small is None:
            return inner
        return colours.match(np.ascontiguousarray(inner), drawn_as.small, drawn_as.is_palette)

    def _redrawn(self, whole: RGB, task: Task, drawn_as: Scene) -> RGB:
        """`whole` with its fine detail drawn again, in overlapping windows of the model's native size."""
        height, width = whole.shape[:2]
        places = self._windows(height, width)
        if len(places) > MAX_WINDOWS:
            return whole
        told = list(self._window_scenes(whole, task.bundle, drawn_as))
        canvas = Canvas(height, width, self._overlap_px)
        drawn = self._draw_scenes(told, [task.until_s] * len(told))
        for place, each, picture in zip(places, told, drawn, strict=True):
            assert each.colour is not None
            check(picture, _eight_bit(each.colour))
            canvas.put(place, picture)
        return _eight_bit(self._matched(canvas.picture(), drawn_as))

    def _windows(self, height_px: int, width_px: int) -> list[Window]:
        return windows(height_px, width_px, self._profile.native_px, self._overlap_px, ALIGN_PX)

    def _window_scenes(self, whole: RGB, bundle: Bundle, drawn_as: Scene) -> Iterator[Scene]:
        height, width = whole.shape[:2]
        places = self._windows(height, width)
        rows, columns = max(p.top + p.rows for p in places), max(p.left + p.columns for p in places)
        beyond = ((0, rows - height), (0, columns - width), (0, 0))
        picture = np.pad(whole.astype(np.float32) / 255, beyond, mode="edge")
        edges = None
        if bundle.edges is not None and "edges" in drawn_as.controls:
            edges = np.pad(lines(bundle.edges, width, height), beyond)
        for number, place in enumerate(places):
            part = np.s_[place.top : place.top + place.rows, place.left : place.left + place.columns]
            seed = (drawn_as.seed + 0x9E3779B9 * (number + 1)) & 0xFFFFFFFF
            yield Scene(
                Frame(place.columns, place.rows, 0, 0, place.columns, place.rows),
                Kind.IMAGE,
                seed,
                drawn_as.prompt,
                {} if edges is None else {"edges": np.ascontiguousarray(edges[part])},
                np.ascontiguousarray(picture[part]),
                strength=self._profile.strength_tiles,
            )


def _batch_key(each: Scene) -> Hashable:
    return each.frame.width_px, each.frame.height_px, each.kind, each.roles, each.strength, _cells(each)


def _cells(each: Scene) -> int:
    """Pixels of the frame under one pixel of the small picture, rounded up to a power of two; 0 without one."""
    if each.small is None:
        return 0
    wide = max(1, each.frame.inner_width_px // each.small.shape[1])
    return 1 << int(wide - 1).bit_length()


def _cell(first: Scene, start: Start) -> int:
    """Latent cells that colour guidance averages over: about two of the small picture's pixels, 4 to 16."""
    cell_px = first.frame.width_px // int(start.noise.shape[-1])
    return min(16, max(4, 2 * _cells(first) // max(1, cell_px)))


def _eight_bit(picture: Floats) -> RGB:
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
