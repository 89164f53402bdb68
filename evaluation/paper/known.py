"""What the paper reports, as far as it is known here; everything else is a dash.

Source: Hassan, Humair, Qazi, Qazi, "Rethinking Image Compression on the Web with Generative AI", arXiv 2407.04542. The
authors drew with Stable Diffusion and ControlNet, on images of web pages that they collected and on a synthetic set.
"""

from __future__ import annotations

MEAN_SAVED = 0.926
BEST_SAVED = 0.998
SAVED_BY_MODE = (0.89, 0.93)  # of all modes and sets
SIMILARITY = 0.82  # VGG16, on average
RANDOM_PAIRS = 0.32
RANDOM_PAIR_COUNT = 50
RANDOM_PAIR_TOLERANCE = 0.08
MIN_WIDTH_PX, MIN_HEIGHT_PX = 512, 256
LOSSY_SHARE = 0.1  # Section 2.1: JPEG and WebP at 90 % less than the original

TITLE = "Hassan, Humair, Qazi, Qazi: “Rethinking Image Compression on the Web with Generative AI”, arXiv 2407.04542"
DIFFERENCES = (
    "Data set: the images given here, not the paper's, which are not published with it.",
    "Engine: the paper drew with Stable Diffusion and ControlNet. Diffusion is measured where its trained "
    "weights are installed; sketch is this project's small network, preview draws without any network.",
    "Edges: half size, short strokes dropped, within a budget, bare JBIG2 region; the paper's are full size.",
    "Salient regions are found by detectors (faces, text, codes); the paper's were chosen by hand.",
    "Prompts: the caption of the manifest where there is one, else a plain description; their bytes count.",
    "VGG16 similarity: cosine of pool5 averaged over space, at 224×224, which gives the paper's random pairs.",
)
