import numpy as np
from PIL import Image

from client_runtime.engines.sketch.resample import upsample


def test_is_pillows_bicubic() -> None:
    small = np.random.default_rng(1).random((11, 7), np.float32)
    ours = upsample(small[..., None], 37, 50, 0, 0, 37, 50)[..., 0]
    theirs = np.asarray(Image.fromarray(small).resize((50, 37), Image.Resampling.BICUBIC))
    inside = np.s_[7:-7, 15:-15]  # at the border Pillow leaves weights out, we repeat the border
    assert np.abs(ours[inside] - theirs[inside]).max() < 1e-5


def test_a_window_is_the_same_part_of_the_whole() -> None:
    small = np.random.default_rng(2).random((40, 30, 3), np.float32)
    whole = upsample(small, 161, 119, 0, 0, 161, 119)
    part = upsample(small, 161, 119, 50, 33, 64, 72)
    assert np.abs(part - whole[50:114, 33:105]).max() < 1e-6


def test_beyond_the_picture_the_border_repeats() -> None:
    small = np.random.default_rng(3).random((5, 4, 1), np.float32)
    wide = upsample(small, 10, 8, -2, -3, 14, 16)
    assert np.array_equal(wide[0], wide[2])
    assert np.array_equal(wide[:, -1], wide[:, 10])


def test_one_cell_fills_everything() -> None:
    assert np.allclose(upsample(np.full((1, 1, 3), 0.25, np.float32), 9, 5, 0, 0, 9, 5), 0.25)
