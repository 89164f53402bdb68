"""The photographs of the demonstration: where they are, what they show, who made them.

In: files that scikit-image, scikit-learn and sporco carry in their packages; none of these is imported. Out: JPEG bytes
at quality 85. Refuses: to fetch anything, or to enlarge; a photograph whose package is not installed is left out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageCms

QUALITY = 85
MAX_WIDTH_PX = 1200


@dataclass(frozen=True, slots=True)
class Photograph:
    """One photograph: its file inside a package, and what the newspaper says about it."""

    name: str
    package: str
    file: str
    alt: str
    caption: str
    credit: str
    licence: str


_NASA = "public domain"
_CC0 = "CC0 1.0"
_CC_BY = "CC BY 2.0"
_KODAK = "released for unrestricted use"
_WATERLOO = "free of copyright restrictions, as its publisher states"
_MIDDLEBURY = "published for research, with attribution"

PHOTOGRAPHS = (
    Photograph(
        "pagoda", "sklearn", "datasets/images/china.jpg",
        "The Tower of Buddhist Incense above Kunming Lake",
        "The tower stands on Longevity Hill in the Summer Palace, Beijing; behind it lies Kunming Lake.",
        "danielbuechele (flickr.com/photos/danielbuechele), via scikit-learn", _CC_BY,
    ),
    Photograph(
        "dahlia", "sklearn", "datasets/images/flower.jpg",
        "An orange dahlia in full bloom before dark leaves",
        "A pompon dahlia: the petals roll inwards and pack into a ball.",
        "vultilion (flickr.com/photos/vultilion), via scikit-learn", _CC_BY,
    ),
    Photograph(
        "espresso", "skimage", "data/coffee.png",
        "A cup of espresso in a red cup and saucer on a wooden table",
        "An espresso, drunk standing up in most of Italy and sitting down nearly everywhere else.",
        "Rachel Michetti, Pikolo Espresso Bar, via scikit-image", _CC0,
    ),
    Photograph(
        "launch-pad", "skimage", "data/rocket.jpg",
        "A white rocket on its launch pad at dusk, floodlights at its foot",
        "A Falcon 9 with the DSCOVR satellite at Space Launch Complex 40, Cape Canaveral, in February 2015.",
        "SpaceX, via scikit-image", _NASA,
    ),
    Photograph(
        "deep-field", "skimage", "data/hubble_deep_field.jpg",
        "Hundreds of distant galaxies on a black sky",
        "The eXtreme Deep Field, made of ten years of Hubble exposures of one small patch of sky.",
        "NASA, ESA and the HUDF09 team, via scikit-image", _NASA,
    ),
    Photograph(
        "eileen-collins", "skimage", "data/astronaut.png",
        "Astronaut Eileen Collins in an orange flight suit",
        "Eileen Collins, who piloted the space shuttle in 1995 and commanded it in 1999.",
        "NASA, via scikit-image", _NASA,
    ),
    Photograph(
        "chelsea", "skimage", "data/chelsea.png",
        "A ginger tabby cat looks past the camera",
        "Chelsea, who has sat for more image-processing papers than any other cat.",
        "Stéfan van der Walt, via scikit-image", _CC0,
    ),
    Photograph(
        "motorcycle", "skimage", "data/motorcycle_left.png",
        "A red motorcycle in a garage, shelves with boxes behind it",
        "A motorcycle on its stand in a garage; the photograph is one half of a stereo pair.",
        "D. Scharstein and others, Middlebury stereo data set 2014, via scikit-image", _MIDDLEBURY,
    ),
    Photograph(
        "coins", "skimage", "data/coins.png",
        "Four rows of ancient coins on a dark cloth",
        "Greek coins from Pompeii, photographed for a museum's catalogue.",
        "Brooklyn Museum, via scikit-image", "no known copyright restrictions",
    ),
    Photograph(
        "camera-operator", "skimage", "data/camera.png",
        "A man in a dark coat looks through a camera on a tripod on a lawn",
        "A tripod, a lawn and a winter coat: the photographer at work.",
        "Lav Varshney, via scikit-image", _CC0,
    ),
    Photograph(
        "macaws", "sporco", "data/kodim23.png",
        "Two macaws, one blue and yellow, one red, in front of green leaves",
        "A blue-and-yellow macaw and a scarlet one. Both pair for life.",
        "Kodak lossless true colour image suite, via sporco", _KODAK,
    ),
    Photograph(
        "monarch", "sporco", "data/monarch.png",
        "A monarch butterfly on pink flowers",
        "A monarch drinks. The orange wings tell birds that it tastes of milkweed.",
        "Waterloo BragZone, via sporco", _WATERLOO,
    ),
    Photograph(
        "sails", "sporco", "data/sail.png",
        "Dozens of windsurfers with bright sails on a blue sea",
        "Windsurfers crowd the start line.",
        "Waterloo BragZone, via sporco", _WATERLOO,
    ),
    Photograph(
        "tulips", "sporco", "data/tulips.png",
        "Red and white tulips seen from above",
        "Lily-flowered tulips open wide on a warm day and close again at night.",
        "Waterloo BragZone, via sporco", _WATERLOO,
    ),
)  # fmt: skip


def locate(photograph: Photograph) -> Path | None:
    """The photograph's file, or None when its package is not installed or does not carry it. Imports nothing."""
    found = importlib.util.find_spec(photograph.package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / photograph.file
    return path if path.is_file() else None


def as_jpeg(path: Path) -> tuple[bytes, int, int]:
    """The photograph as a newspaper serves it: (JPEG, width, height); sRGB, no metadata, at most 1200 px wide."""
    with Image.open(path) as opened:
        image = _srgb(opened)
    if image.width > MAX_WIDTH_PX:
        height_px = round(image.height * MAX_WIDTH_PX / image.width)
        image = image.resize((MAX_WIDTH_PX, height_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True, progressive=True)
    return buffer.getvalue(), image.width, image.height


def _srgb(opened: Image.Image) -> Image.Image:
    profile = opened.info.get("icc_profile")
    image = opened.convert("L" if opened.mode == "L" else "RGB")
    if profile and image.mode == "RGB":
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        with contextlib.suppress(ImageCms.PyCMSError):  # with an odd profile the colours stay as they are
            image = ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
    image.info.clear()
    return image
