"""Finds grids: a network that doubles sizes badly leaves lines of energy at periods of 2, 4 and 8 px.

In: uint8 RGB arrays of shape (h, w, 3), at least 64 px a side. Out: how far each period stands out of its neighbours.
Refuses: smaller pictures (`ValueError`).

One picture's spectrum is uneven by chance. Periods that nothing in the network has (3, 5, 6 px) are measured likewise:
what they show is that chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
PERIODS_PX = (2, 4, 8)
CONTROLS_PX = (3, 5, 6)
MIN_SIDE_PX = 64
_NEAR, _FAR = 3, 12  # neighbouring bins that are compared with


def prominence(picture: RGB, periods: Iterable[int] = PERIODS_PX) -> dict[int, float]:
    """period in px → energy at its frequency over that of its neighbours, rows and columns together; 1 is no grid."""
    if min(picture.shape[:2]) < MIN_SIDE_PX:
        raise ValueError(
            f"a spectrum needs {MIN_SIDE_PX} px a side, the picture is {picture.shape[1]}×{picture.shape[0]}"
        )
    grey = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    spectra = [_spectrum(grey), _spectrum(grey.T)]
    return {period: float(np.exp(np.mean([np.log(_stands_out(s, period)) for s in spectra]))) for period in periods}


def grid_ratio(true: RGB, drawn: RGB, periods: Sequence[int] = PERIODS_PX) -> dict[int, float]:
    """period → prominence in `drawn` over that in `true`; above 1.1 there is a grid that was not in the original."""
    ours, theirs = prominence(drawn, periods), prominence(true, periods)
    return {period: ours[period] / theirs[period] for period in periods}


def _spectrum(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean power of the rows at each frequency; the length is a multiple of 8, so that the periods fall on bins."""
    length = grey.shape[1] // 8 * 8
    part = grey[:, :length]
    window = np.hanning(length + 1)[:length]
    power = np.abs(np.fft.rfft((part - part.mean(1, keepdims=True)) * window, axis=1)) ** 2
    return np.asarray(power.mean(0) + 1e-6)


def _stands_out(spectrum: npt.NDArray[np.float64], period_px: int) -> float:
    """The peak within a bin of the frequency over the geometric mean of bins near it on both sides."""
    length = 2 * (len(spectrum) - 1)
    at = round(length / period_px)
    peak = spectrum[max(0, at - 1) : at + 2].mean()
    sides = np.r_[spectrum[at - _FAR : at - _NEAR], spectrum[at + _NEAR + 1 : at + _FAR + 1]]
    return float(peak / np.exp(np.log(sides).mean()))
