"""The network: one pass from a stretched thumbnail (edges, true crops, noise) to the picture.

In: planes as tensors, sizes a multiple of 8. Out: the picture, 0 to 1 before clipping. Refuses: other sizes
(`ValueError`).

Residual blocks at 1/4 and 1/8 of the size do the work; two thin stages bring it to full size by bilinear upsampling
followed by convolutions, never by pixel shuffle, whose grid shows on skin and sky (Odena et al. 2016). The output is
the stretched thumbnail plus a residual, so an untrained network nearly shows the preview. About 112 kFLOP per pixel.
It sees and adds detail in units of the local contrast, which makes flat sky and busy grass the same task and training
many times quicker. Blocks follow EDSR (Lim et al. 2017) with each place's channels brought to unit size; global facts
enter by FiLM (Perez et al. 2018), noise as in StyleGAN (Karras et al. 2019), but only where the thumbnail has fine
detail: beside smooth edges it would grow into rows of bristles. There is one step and no autoencoder, as in CoD-Lite.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from client_runtime.engines.sketch.conditions import FACTS

ALIGN_PX = 8
STRIP_PX = 64
_REACH_PX = 2  # of the last two convolutions
_SLOPE = 0.1
_FLOOR = 0.01  # contrast below which a place counts as flat
_GRAIN = 1.4  # noise fades where the local contrast is more than so many times what is finer than 4 px
_EDGE_POWER = 0.03  # what an edge map adds to the contrast that may be drawn, where there is no thumbnail


@dataclass(frozen=True, slots=True)
class Shape:
    """The network's size, stored next to the weights: channels at 1/4, 1/8, 1/2 and full size, numbers of blocks."""

    width: int = 64
    deep: int = 96
    half: int = 32
    thin: int = 16
    blocks_before: int = 3
    blocks_deep: int = 6
    blocks_after: int = 3
    blocks_half: int = 1

    def as_dict(self) -> dict[str, Any]:
        """For config.json."""
        return asdict(self)


class SketchNetwork(nn.Module):
    """See the module's text. All convolutions are 3×3 with zero padding unless said otherwise."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.build(shape)

    def build(self, shape: Shape) -> None:
        """Make the layers; apart from __init__ so that the diffusers model can share it."""
        s = shape
        self.facts = nn.Sequential(nn.Linear(FACTS, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.enter = _conv(3 * 16 + 3 + 1 + 4 + 4, s.width)
        self.before = nn.ModuleList([Block(s.width, 64) for _ in range(s.blocks_before)])
        self.down = nn.Conv2d(s.width, s.deep, 3, stride=2, padding=1)
        self.at_deep = nn.ModuleList([Block(s.deep, 64) for _ in range(s.blocks_deep)])
        self.up = nn.Conv2d(s.deep, s.width, 1)
        self.after = nn.ModuleList([Block(s.width, 64) for _ in range(s.blocks_after)])
        self.to_half = _conv(s.width, s.half)
        self.half_noise = nn.Parameter(torch.zeros(1, s.half, 1, 1))
        self.at_half = nn.ModuleList([Block(s.half, 64) for _ in range(s.blocks_half)])
        self.to_full = _conv(s.half, s.thin)
        self.full_noise = nn.Parameter(torch.zeros(1, s.thin, 1, 1))
        self.at_full = _conv(s.thin + 3, s.thin)
        self.leave = _conv(s.thin + 3, 3)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for part in (*self.before, *self.at_deep, *self.after, *self.at_half):
            assert isinstance(part, Block)
            nn.init.normal_(part.second.weight, std=0.3 * (2 / (9 * part.second.in_channels)) ** 0.5)
            nn.init.zeros_(part.film.weight)
            nn.init.zeros_(part.film.bias)
        nn.init.normal_(self.leave.weight, std=0.02)

    def forward(self, colour: Tensor, edges: Tensor, mask: Tensor, noise: Tensor, facts: Tensor) -> Tensor:
        """(N, 3, h, w), (N, 1, h/2, w/2), (N, 1, h/2, w/2), (N, 1, h, w), (N, FACTS) → (N, 3, h, w).

        Raises ValueError when h or w is no multiple of ALIGN_PX.
        """
        if colour.shape[-1] % ALIGN_PX or colour.shape[-2] % ALIGN_PX:
            raise ValueError(f"sizes must be multiples of {ALIGN_PX} px, not {tuple(colour.shape[-2:])}")
        told = self.facts(facts)
        centred = colour - 0.5
        low = functional.avg_pool2d(centred, 8)
        high = centred - _eightfold(low)
        power = _smooth(functional.avg_pool2d((high * high).mean(1, keepdim=True), 8))
        contrast = torch.sqrt(power + _FLOOR**2)
        reach = torch.sqrt(power + _FLOOR**2 + _EDGE_POWER * _smooth(functional.avg_pool2d(edges, 4)))
        fine = centred - _fourfold(functional.avg_pool2d(centred, 4))
        grain = torch.sqrt(_smooth(functional.avg_pool2d((fine * fine).mean(1, keepdim=True), 4)))
        noise = noise * _noisiness(_GRAIN * grain / _double(contrast))
        high = high / _eightfold(contrast)
        planes = (
            functional.pixel_unshuffle(high, 4),
            _double(low),
            _double(torch.log(contrast) + 3),
            functional.pixel_unshuffle(edges, 2),
            functional.pixel_unshuffle(mask, 2),
        )
        x = self.enter(torch.cat(planes, 1))
        for block in self.before:
            x = block(x, told)
        y = _active(self.down(_level(x)))
        for block in self.at_deep:
            y = block(y, told)
        x = _add(_double(self.up(_level(y))), x)
        for block in self.after:
            x = block(x, told)
        x = _double(self.to_half(_level(x)))
        x = _active(_add(x, self.half_noise * (2 * functional.avg_pool2d(noise, 2))))
        for block in self.at_half:
            x = block(x, told)
        x = _double(self.to_full(_level(x)))
        if x.device.type != "cpu" or not torch.is_inference_mode_enabled():
            return colour + _eightfold(reach) * self.full_size(x, high, noise)
        strips = []  # as a whole these stages would take most of the memory, and none of it would stay in a CPU's cache
        for top in range(0, x.shape[2], STRIP_PX):
            first = max(0, top - _REACH_PX)
            rows = slice(first, top + STRIP_PX + _REACH_PX)
            drawn = self.full_size(x[:, :, rows], high[:, :, rows], noise[:, :, rows])
            strips.append(drawn[:, :, top - first : top - first + STRIP_PX])
        return torch.cat(strips, 2).mul_(_eightfold(reach)).add_(colour)

    def full_size(self, x: Tensor, high: Tensor, noise: Tensor) -> Tensor:
        """The last stages: (N, thin, h, w), (N, 3, h, w), (N, 1, h, w) → (N, 3, h, w)."""
        x = _active(x + self.full_noise * noise)
        x = _active(self.at_full(torch.cat((x, high), 1)))
        return self.leave(torch.cat((x, high), 1))  # type: ignore[no-any-return]


class Block(nn.Module):
    """x + conv(act(film(conv(level(x))))): a residual block whose middle is scaled and shifted by the facts."""

    def __init__(self, channels: int, told: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels)
        self.film = nn.Linear(told, 2 * channels)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """(N, c, h, w), (N, told) → (N, c, h, w)."""
        scale, shift = self.film(told)[:, :, None, None].chunk(2, 1)
        return _add(self.second(_active(_film(self.first(_level(x)), 1 + scale, shift))), x)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _active(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE, inplace=torch.is_inference_mode_enabled())


# where nothing is learnt, sums and products go where their first term was: half the memory, and the same numbers


def _add(x: Tensor, y: Tensor) -> Tensor:
    return x.add_(y) if torch.is_inference_mode_enabled() else x + y


def _film(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return x.mul_(scale).add_(shift) if torch.is_inference_mode_enabled() else x * scale + shift


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _level(x: Tensor) -> Tensor:
    """Unit mean square along channels at each place: training is far quicker, and no place depends on another."""
    return x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-4)


def _noisiness(share: Tensor) -> Tensor:
    """0 to 1, four times the size: noise makes texture livelier, but beside smooth edges it would grow bristles."""
    power = share * share
    return _fourfold(power * torch.rsqrt(1 + power * power))


def _fourfold(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)


def _eightfold(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=8, mode="bilinear", align_corners=False)


def _smooth(x: Tensor) -> Tensor:
    """3×3 box blur, border repeated."""
    return functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
