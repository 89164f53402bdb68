"""The stream of training samples: sample k is a function of the seed and k alone, so that a run can be resumed.

In: manifest entries and options. Out: tensors of crops and their conditioning. Refuses nothing: an image that cannot be
read or is too small is replaced by the next one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from client_runtime.training.degrade import degraded
from client_runtime.training.manifest import Entry
from client_runtime.training.options import Mix

Sample = dict[str, Tensor]
_PLACES = 3  # places a crop is chosen from
_DULL = 2.0  # images whose crops are all below this liveliness are passed over, at most _DULL_ATTEMPTS in a row
_DULL_ATTEMPTS = 3


class Samples(Dataset[Sample]):
    """Item k holds `crops` crops of one image: target, colour, edges, mask, noise, facts; all float32, batch first."""

    def __init__(self, entries: Sequence[Entry], mix: Mix, crop_px: int, crops: int, seed: int, start: int = 0) -> None:
        self._entries, self._mix, self._crop_px, self._crops = list(entries), mix, crop_px, crops
        self._seed, self._start = seed, start

    def __len__(self) -> int:
        return 2**31 - 1 - self._start

    def __getitem__(self, index: int) -> Sample:
        number = self._start + index
        random = np.random.Generator(np.random.Philox(key=[self._seed, number]))
        epoch, place = divmod(number, len(self._entries))
        order = np.random.Generator(np.random.Philox(key=[self._seed, 2**40 + epoch])).permutation(len(self._entries))
        for attempt in range(len(self._entries)):
            image = self._image(self._entries[int(order[(place + attempt) % len(order)])], random)
            if image is not None:
                places = [self._place(image, random) for _ in range(self._crops)]
                if attempt >= _DULL_ATTEMPTS or max(liveliness for liveliness, *_ in places) >= _DULL:
                    return self._cut(image, [(top, left) for _, top, left in places], random)
        raise ValueError(f"none of the {len(self._entries)} images is readable and at least {self._crop_px} px a side")

    def _image(self, entry: Entry, random: np.random.Generator) -> npt.NDArray[np.uint8] | None:
        try:
            with Image.open(io.BytesIO(entry.read())) as file:
                image = file.convert("RGB")
        except OSError:
            return None
        least = self._crop_px / min(image.size)
        if least > 1:
            return None
        if random.random() < self._mix.shrink:
            factor = random.uniform(max(0.55, least), 1.0)
            size = (max(self._crop_px, int(image.width * factor)), max(self._crop_px, int(image.height * factor)))
            image = image.resize(size, Image.Resampling.LANCZOS)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(image)

    def _cut(self, image: npt.NDArray[np.uint8], places: list[tuple[int, int]], random: np.random.Generator) -> Sample:
        side = self._crop_px
        conditions = degraded(image, random, self._mix)
        facts = torch.from_numpy(conditions.facts())
        cuts = []
        for top, left in places:
            planes = conditions.window(top, left, side, side)
            target = image[top : top + side, left : left + side].transpose(2, 0, 1).astype(np.float32) / 255
            named = {
                "target": target,
                "colour": planes.colour,
                "edges": planes.edges,
                "mask": planes.mask,
                "noise": planes.noise,
            }
            cuts.append({name: torch.from_numpy(value) for name, value in named.items()} | {"facts": facts})
        return {name: torch.stack([cut[name] for cut in cuts]) for name in cuts[0]}

    def _place(self, image: npt.NDArray[np.uint8], random: np.random.Generator) -> tuple[float, int, int]:
        """(liveliness, top, left) of the liveliest of some places, or now and then of any: little is learned from empty
        sky and paper, but that they stay empty.
        """
        side = self._crop_px
        rows, columns = (image.shape[0] - side) // 2 + 1, (image.shape[1] - side) // 2 + 1
        anywhere = self._mix.anywhere > 0 and random.random() < self._mix.anywhere
        count = 1 if anywhere else _PLACES
        places = [(2 * int(random.integers(0, rows)), 2 * int(random.integers(0, columns))) for _ in range(count)]
        return max((_liveliness(image[top : top + side, left : left + side]), top, left) for top, left in places)


def _liveliness(part: npt.NDArray[np.uint8]) -> float:
    green = part[::2, ::2, 1].astype(np.int16)
    return float(np.sqrt(np.abs(np.diff(green, axis=0))).mean() + np.sqrt(np.abs(np.diff(green, axis=1))).mean())


def collate(samples: list[Sample]) -> Sample:
    """Samples one after the other along the batch axis."""
    return {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}
