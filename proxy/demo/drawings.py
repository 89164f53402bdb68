"""The images that must arrive as they are: a logo, a chart, a picture of text, one with transparency, one that moves.

In: nothing. Out: (file bytes, width, height), drawn with Pillow and its built-in typeface, so that every machine draws
the same. Refuses: nothing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFilter, ImageFont

Drawing = tuple[bytes, int, int]
NAVY, SEA, SAND, CORAL, INK, PAPER = "#12324a", "#2a7f9e", "#f2e6cf", "#d9593d", "#1d2328", "#fbf8f1"
NOTICE = """Notice is hereby given that the inner harbour bridge will be closed to all traffic from Monday the 4th to \
Friday the 15th of this month, between the hours of ten at night and five in the morning, while the lifting machinery \
is overhauled.

Pedestrians and cyclists may use the lower ferry, which runs every twelve minutes and is free of charge for the length \
of the works. Residents of Pier Street who need a vehicle at their door should write to the harbour office, room 12, \
before the end of the week.

The harbour master thanks the town for its patience."""
YEARS = (("2019", 41), ("2020", 17), ("2021", 23), ("2022", 38), ("2023", 46), ("2024", 52))


def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


def _encoded(image: Image.Image, kind: str, **options: object) -> Drawing:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue(), image.width, image.height


def logo() -> Drawing:
    """The newspaper's name with a wave, flat colours, opaque PNG."""
    image = Image.new("RGB", (1040, 240), NAVY)
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 40, 200, 200), fill=SAND)
    for row, colour in ((110, SEA), (145, CORAL)):
        points = [(x, row + 14 * math.sin((x - 40) / 160 * 4 * math.pi)) for x in range(44, 197)]
        draw.line(points, fill=colour, width=18, joint="curve")
    draw.text((240, 42), "The Tidewater Post", font=_font(82), fill="white")
    draw.text((244, 146), "ALL THE NEWS THAT WASHES ASHORE", font=_font(34), fill=SAND)
    return _encoded(image.resize((520, 120), Image.Resampling.LANCZOS), "PNG", optimize=True)


def chart() -> Drawing:
    """A bar chart with axes, labels and values, opaque PNG."""
    scale, width, height = 2, 800, 450
    image = Image.new("RGB", (width * scale, height * scale), "white")
    draw = ImageDraw.Draw(image)

    def at(x: float, y: float) -> tuple[float, float]:
        return x * scale, y * scale

    draw.text(at(60, 22), "Ferry passengers, in thousands", font=_font(26 * scale), fill=INK)
    for value in range(0, 61, 10):
        y = 380 - value * 5
        draw.line((*at(60, y), *at(770, y)), fill="#c9ced2" if value else INK, width=scale)
        draw.text(at(50, y), str(value), font=_font(15 * scale), fill=INK, anchor="rm")
    for i, (year, value) in enumerate(YEARS):
        left = 85 + i * 115
        fill = CORAL if value == max(v for _, v in YEARS) else SEA
        draw.rectangle((*at(left, 380 - value * 5), *at(left + 72, 380)), fill=fill)
        draw.text(at(left + 36, 372 - value * 5), str(value), font=_font(17 * scale), fill=INK, anchor="mb")
        draw.text(at(left + 36, 392), year, font=_font(17 * scale), fill=INK, anchor="mt")
    draw.text(at(60, 425), "Invented for this demonstration", font=_font(13 * scale), fill="#6a7278")
    return _encoded(image.resize((width, height), Image.Resampling.LANCZOS), "PNG", optimize=True)


def notice() -> Drawing:
    """A page of typeset text, JPEG as from a scanner."""
    image = Image.new("RGB", (900, 620), "#efe6d2")
    draw = ImageDraw.Draw(image)
    draw.text((450, 50), "HARBOUR OFFICE", font=_font(40), fill=INK, anchor="mt")
    draw.line((300, 110, 600, 110), fill=INK, width=2)
    y = 150
    for paragraph in NOTICE.split("\n\n"):
        for line in _wrapped(draw, paragraph, 760, _font(25)):
            draw.text((70, y), line, font=_font(25), fill=INK)
            y += 38
        y += 22
    return _encoded(image, "JPEG", quality=85, optimize=True)


def compass() -> Drawing:
    """A compass rose with a soft shadow: every alpha value occurs, PNG."""
    size, scale = 360, 2
    image = Image.new("RGBA", (size * scale, size * scale), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    centre = size * scale / 2
    draw.ellipse((60, 60, size * scale - 60, size * scale - 60), outline=SEA, width=10)
    for i in range(8):
        angle, length, half = math.pi * i / 4, centre * (0.8 if i % 2 == 0 else 0.5), math.pi / 8
        tip = (centre + length * math.sin(angle), centre - length * math.cos(angle))
        for side, colour in ((-half, NAVY), (half, CORAL if i % 2 == 0 else SAND)):
            edge = (centre + 74 * math.sin(angle + side), centre - 74 * math.cos(angle + side))
            draw.polygon([(centre, centre), tip, edge], fill=colour)
    draw.text((centre, 12), "N", font=_font(56), fill=CORAL, anchor="mt")
    shadow = Image.new("RGBA", image.size, (0, 0, 0, 0))
    shadow.paste((10, 25, 40, 150), (10, 14), image.getchannel("A"))
    image = Image.alpha_composite(shadow.filter(ImageFilter.GaussianBlur(12)), image)
    return _encoded(image.resize((size, size), Image.Resampling.LANCZOS), "PNG", optimize=True)


def lighthouse() -> Drawing:
    """A lighthouse whose beam turns: 16 frames, GIF."""
    frames = []
    for step in range(16):
        frame = Image.new("RGB", (640, 400), NAVY)
        beam = Image.new("L", frame.size, 0)
        reach = 520 * math.cos(step / 16 * 2 * math.pi)
        spread = 20 + 60 * abs(math.cos(step / 16 * 2 * math.pi))
        ImageDraw.Draw(beam).polygon(
            [(320, 112), (320 + reach, 112 - spread), (320 + reach, 112 + spread), (320, 124)], fill=190
        )
        frame.paste(SAND, (0, 0), beam.filter(ImageFilter.GaussianBlur(6)))
        draw = ImageDraw.Draw(frame)
        draw.rectangle((0, 320, 640, 400), fill=SEA)
        draw.polygon([(200, 330), (320, 290), (470, 330)], fill=INK)
        draw.polygon([(286, 310), (354, 310), (340, 140), (300, 140)], fill=PAPER)
        for band in (170, 230, 280):
            draw.polygon([(299, band), (341, band), (343, band + 22), (297, band + 22)], fill=CORAL)
        draw.rectangle((300, 100, 340, 140), fill=SAND)
        draw.polygon([(292, 100), (348, 100), (320, 70)], fill=CORAL)
        frames.append(frame.resize((320, 200), Image.Resampling.LANCZOS))
    return _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=90, loop=0)


def _wrapped(
    draw: ImageDraw.ImageDraw, text: str, width_px: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


# file name, kind, media type, alt, caption, how to draw it
DRAWINGS: tuple[tuple[str, str, str, str, str, Callable[[], Drawing]], ...] = (
    ("masthead.png", "logo", "image/png", "The Tidewater Post", "The newspaper's masthead.", logo),
    ("ferry-chart.png", "chart", "image/png", "Bar chart of ferry passengers by year, 2019 to 2024",
     "More people than ever take the lower ferry (figures invented for this demonstration).", chart),
    ("notice.jpg", "text", "image/jpeg", "The harbour office's notice about the closing of the bridge",
     "The notice as it hangs at the harbour office.", notice),
    ("compass.png", "alpha", "image/png", "A compass rose", "The page shows through the shadow of the rose.",
     compass),
    ("lighthouse.gif", "animation", "image/gif", "A lighthouse whose beam sweeps over the sea at night",
     "The pier light makes one turn every second and a half.", lighthouse),
)  # fmt: skip
