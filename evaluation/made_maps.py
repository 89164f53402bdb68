"""Maps, drawn: training pictures of a kind that the shards hold five of.

In: a number, the seed. Out: uint8 RGB (h, w, 3): a street map, or a map of regions with a scale and a legend. Refuses:
nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_NAMES = (
    "Aldo",
    "Brook St",
    "Mill Lane",
    "Park",
    "North Rd",
    "Lake",
    "Station",
    "High St",
    "Ferry",
    "Hill",
    "Old Town",
)


def made_map(number: int) -> RGB:
    """The map with this number; even ones show streets, odd ones regions."""
    random = np.random.default_rng(number)
    return _streets(random) if number % 2 == 0 else _regions(random)


def _colour(random: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in random.integers(low, high, 3))
    return red, green, blue


def _streets(random: np.random.Generator) -> RGB:
    height, width = int(random.integers(320, 520)), int(random.integers(400, 640))
    image = np.full((height, width, 3), _colour(random, 225, 246), np.uint8)
    for base in ((200, 225, 185), (165, 205, 230), (225, 215, 205), (200, 225, 185)):
        middle = random.uniform((0, 0), (width, height))
        turns = np.sort(random.uniform(0, 2 * np.pi, 9))
        reach = random.uniform(25, 130, 9)
        corners = middle + np.stack([np.cos(turns), np.sin(turns)], 1) * reach[:, None]
        cv2.fillPoly(image, [corners.astype(np.int32)], base, cv2.LINE_AA)
    turn = random.uniform(0, np.pi)
    roads = []
    for _ in range(int(random.integers(14, 40))):
        angle = turn + random.choice((0, np.pi / 2)) + random.normal(0, 0.25)
        middle = random.uniform((0, 0), (width, height))
        along = np.linspace(-500, 500, 12)[:, None] * np.array([np.cos(angle), np.sin(angle)])
        path = (middle + along + np.cumsum(random.normal(0, 6, (12, 2)), axis=0)).astype(np.int32)
        roads.append((path, int(random.choice((2, 3, 3, 5, 8)))))
    for path, thick in roads:
        cv2.polylines(image, [path], False, (205, 195, 185), thick + 2, cv2.LINE_AA)
    for path, thick in roads:
        cv2.polylines(image, [path], False, (252, 214, 164) if thick > 4 else (255, 255, 255), thick, cv2.LINE_AA)
    for _ in range(int(random.integers(4, 18))):
        place = int(random.uniform(0, width - 60)), int(random.uniform(12, height))
        cv2.putText(image, str(random.choice(_NAMES)), place, _FONT, 0.35, (70, 70, 80), 1, cv2.LINE_AA)
    return image


def _regions(random: np.random.Generator) -> RGB:
    height, width = int(random.integers(360, 500)), int(random.integers(440, 620))
    image = np.full((height, width, 3), 255, np.uint8)
    left, top, right, bottom = 50, 25, width - 95, height - 40
    if random.random() < 0.5:
        for x in np.linspace(left, right, 6).astype(int):
            cv2.line(image, (int(x), top), (int(x), bottom), (235, 235, 235), 1)
            cv2.putText(image, f"{x / 9:.1f}W", (int(x) - 12, bottom + 18), _FONT, 0.33, (90, 90, 90), 1, cv2.LINE_AA)
    turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    bumps = sum(random.normal(0, 0.28 / k) * np.cos(k * turns + random.uniform(0, 6)) for k in range(1, 7))
    reach = (0.72 + np.clip(bumps, -0.45, 0.28))[:, None] * np.array([(right - left) / 2, (bottom - top) / 2])
    outline = np.array([(left + right) / 2, (top + bottom) / 2]) + np.stack([np.cos(turns), np.sin(turns)], 1) * reach
    inside = cv2.fillPoly(np.zeros((height, width), np.uint8), [outline.astype(np.int32)], 1)
    seeds = random.uniform((left, top), (right, bottom), (int(random.integers(8, 60)), 2))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    rows += cv2.GaussianBlur(random.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 6) * 40
    far = [(columns - x) ** 2 + (rows - y) ** 2 for x, y in seeds]
    cell = np.argmin(np.stack(far), axis=0)
    classes = int(random.integers(2, 8))
    palette = np.array([_colour(random, 60, 240) for _ in range(classes)], np.uint8)
    kind = random.integers(0, classes, len(seeds))
    image[inside > 0] = palette[kind[cell]][inside > 0]
    edges = cv2.morphologyEx(cell.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    borders = edges & (inside > 0)
    image[borders] = 60 if random.random() < 0.6 else 250
    for i, shade in enumerate(palette):
        y = top + 30 + 22 * i
        cv2.rectangle(image, (right + 12, y), (right + 26, y + 14), tuple(int(v) for v in shade), -1)
        cv2.putText(image, f"Zone {i + 1}", (right + 32, y + 12), _FONT, 0.36, (40, 40, 40), 1, cv2.LINE_AA)
    return image
