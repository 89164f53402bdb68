"""The demonstration's site as files in a folder.

In: an empty folder, and what photographs are installed. Out: `DemoSite`: its pages, and its images with what should
become of each. Refuses: to build with fewer than eight photographs (`DemoIncomplete`).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from proxy.demo import articles, drawings, layout, photographs

LEAST_PHOTOGRAPHS = 8


class DemoIncomplete(RuntimeError):
    """Too few photographs are installed; the message says which packages carry them."""


@dataclass(frozen=True, slots=True)
class DemoImage:
    """One image: `path` is its URL's path; `must_stay_real` says that no pixel of it may be generated."""

    name: str
    path: str
    kind: str
    must_stay_real: bool
    media_type: str
    width_px: int
    height_px: int
    size_bytes: int
    alt: str
    caption: str
    credit: str
    licence: str


@dataclass(frozen=True, slots=True)
class DemoPage:
    """One HTML page of the site."""

    path: str
    title: str


@dataclass(frozen=True, slots=True)
class DemoSite:
    """The site below `folder`; a path of "/a/b" is the file `folder/a/b`."""

    folder: Path
    pages: tuple[DemoPage, ...]
    images: tuple[DemoImage, ...]

    def image(self, path: str) -> DemoImage | None:
        """The image with this URL path."""
        return next((image for image in self.images if image.path == path), None)

    def file(self, path: str) -> Path:
        """Where a page or image lies."""
        return self.folder / path.lstrip("/")


def build_site(folder: Path) -> DemoSite:
    """Write pages, style sheet and images to `folder` (made if missing). Raises DemoIncomplete, OSError."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images = [*_photographs(folder), *_drawings(folder)]
    by_name = {image.name: image for image in images}
    style = files("proxy.demo").joinpath("site.css").read_text(encoding="utf-8")
    (folder / "site.css").write_text(style, encoding="utf-8")
    pages = [DemoPage("/index.html", layout.NEWSPAPER)]
    (folder / "index.html").write_text(layout.front_page(articles.ARTICLES, by_name), encoding="utf-8")
    for article in articles.ARTICLES:
        html = layout.article_page(article, articles.ARTICLES, by_name)
        (folder / f"{article.name}.html").write_text(html, encoding="utf-8")
        pages.append(DemoPage(f"/{article.name}.html", article.title))
    return DemoSite(folder, tuple(pages), tuple(images))


def _photographs(folder: Path) -> list[DemoImage]:
    found = []
    for photo in photographs.PHOTOGRAPHS:
        source = photographs.locate(photo)
        if source is None:
            continue
        body, width_px, height_px = photographs.as_jpeg(source)
        path = f"/images/{photo.name}.jpg"
        (folder / path.lstrip("/")).write_bytes(body)
        found.append(
            DemoImage(
                photo.name, path, "photo", False, "image/jpeg", width_px, height_px, len(body),
                photo.alt, photo.caption, photo.credit, photo.licence,
            )
        )  # fmt: skip
    if len(found) < LEAST_PHOTOGRAPHS:
        raise DemoIncomplete(
            f"the demonstration needs {LEAST_PHOTOGRAPHS} photographs and found {len(found)}: they come inside Python "
            "packages; run `pip install scikit-image scikit-learn` and `pip install --no-deps sporco`"
        )
    return found


def _drawings(folder: Path) -> list[DemoImage]:
    made = []
    for file, kind, media_type, alt, caption, draw in drawings.DRAWINGS:
        body, width_px, height_px = draw()
        path = f"/images/{file}"
        (folder / path.lstrip("/")).write_bytes(body)
        name = file.rpartition(".")[0]
        made.append(
            DemoImage(
                name, path, kind, True, media_type, width_px, height_px, len(body),
                alt, caption, "drawn by the demonstration", "Apache-2.0",
            )
        )  # fmt: skip
    return made
