"""Pages of pictures to measure with.

In: a folder of pictures. Out: HTML pages with as many JPEG pictures each as wanted, as files. Refuses: fewer pictures
than are wanted (ValueError).
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

LONGEST_PX = 1024
QUALITY = 85


def make_pages(folder: Path, pictures: Path, pages: int, per_page: int) -> int:
    """Write pages with `per_page` pictures each; returns how many bytes the pictures of one page have on average."""
    files = sorted(path for path in pictures.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if len(files) < pages * per_page:
        raise ValueError(f"{pictures} has {len(files)} pictures, {pages * per_page} are wanted")
    files = files[:: max(1, len(files) // (pages * per_page))][: pages * per_page]
    total = 0
    for n in range(pages):
        place = folder / "pages" / str(n)
        place.mkdir(parents=True, exist_ok=True)
        names: list[str] = []
        for path in files[n * per_page : (n + 1) * per_page]:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
            picture.thumbnail((LONGEST_PX, LONGEST_PX))
            out = io.BytesIO()
            picture.save(out, "JPEG", quality=QUALITY)
            name = f"{len(names)}.jpg"
            (place / name).write_bytes(out.getvalue())
            total += len(out.getvalue())
            size = f'width="{picture.width}" height="{picture.height}"'
            names.append(f'<figure><img src="{name}" {size} alt="Picture {len(names)}"></figure>')
        body = "<!DOCTYPE html><html><head><title>Pictures</title></head><body>\n" + "\n".join(names) + "</body></html>"
        (place / "index.html").write_text(body, encoding="utf-8")
    return total // pages
