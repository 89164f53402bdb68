"""The demonstration's site has what it promises, hangs together, and does without the optional photographs."""

from __future__ import annotations

import importlib.util
import io
import re
from html.parser import HTMLParser
from importlib.machinery import ModuleSpec
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from PIL import Image

from proxy.demo import DemoSite, build_site
from proxy.demo.photographs import MAX_WIDTH_PX, PHOTOGRAPHS, as_jpeg, locate
from proxy.demo.site import DemoIncomplete


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> DemoSite:
    return build_site(tmp_path_factory.mktemp("demo"))


class Links(HTMLParser):
    """Every address in a page, and the tags that were left open."""

    VOID = frozenset(("meta", "link", "img", "br", "input"))

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("href", "src", "poster") or (tag == "meta" and value and value.startswith("/")):
                self.found.append(value or "")
            if name == "style" and value:
                self.found += re.findall(r"url\('([^']+)'\)", value)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()}")


def parsed(html: str) -> Links:
    links = Links()
    links.feed(html)
    links.close()
    return links


def test_counts_and_kinds(site: DemoSite) -> None:
    photos = [image for image in site.images if image.kind == "photo"]
    assert len(site.pages) >= 4 and len(site.images) >= 12 and len(photos) >= 8
    real = {image.kind for image in site.images if image.must_stay_real}
    assert real == {"logo", "chart", "text", "alpha", "animation"}
    assert not any(image.must_stay_real for image in photos)
    assert len({image.size_bytes for image in site.images}) == len(site.images), "results are matched by size"


def test_files_are_what_they_are_said_to_be(site: DemoSite) -> None:
    for image in site.images:
        body = site.file(image.path).read_bytes()
        with Image.open(io.BytesIO(body)) as opened:
            opened.load()
            assert (opened.width, opened.height) == (image.width_px, image.height_px)
            assert Image.MIME[opened.format or ""] == image.media_type
        assert len(body) == image.size_bytes and image.width_px <= MAX_WIDTH_PX
        assert image.alt and image.caption and image.credit and image.licence


def test_photographs_are_not_enlarged_and_carry_no_metadata(site: DemoSite) -> None:
    for photo in PHOTOGRAPHS:
        source, image = locate(photo), site.image(f"/images/{photo.name}.jpg")
        if source is None or image is None:
            continue
        with Image.open(source) as original, Image.open(site.file(image.path)) as served:
            assert served.width <= original.width and served.height <= original.height
            assert "icc_profile" not in served.info and "exif" not in served.info


def test_a_wide_photograph_is_made_smaller(tmp_path: Path) -> None:
    Image.new("RGB", (2400, 1000), "teal").save(tmp_path / "wide.png")
    _, width_px, height_px = as_jpeg(tmp_path / "wide.png")
    assert (width_px, height_px) == (1200, 500)


def test_transparency_and_motion_are_real(site: DemoSite) -> None:
    alpha, animation = (next(i for i in site.images if i.kind == kind) for kind in ("alpha", "animation"))
    with Image.open(site.file(alpha.path)) as opened:
        assert len(opened.getchannel("A").getcolors(maxcolors=256) or []) > 100
    with Image.open(site.file(animation.path)) as opened:
        assert getattr(opened, "n_frames", 1) > 4


def test_every_address_resolves_and_every_image_is_shown(site: DemoSite) -> None:
    shown: set[str] = set()
    for page in site.pages:
        html = site.file(page.path).read_text(encoding="utf-8")
        links = parsed(html)
        assert not links.problems and not links.open, page.path
        for address in links.found:
            if address != "data:,":
                path = urlsplit(urljoin(page.path, address)).path
                assert site.file(path).is_file(), f"{page.path} names {address}"
                shown.add(path)
    assert {image.path for image in site.images} <= shown


def test_each_image_stands_on_a_page_before_the_credits(site: DemoSite) -> None:
    texts = [site.file(page.path).read_text(encoding="utf-8") for page in site.pages if page.path != "/credits.html"]
    for image in site.images:
        assert any(image.path in text for text in texts), image.name


def test_credits_name_every_photographer_and_licence(site: DemoSite) -> None:
    text = site.file("/credits.html").read_text(encoding="utf-8")
    for image in site.images:
        assert image.credit in text and image.licence in text


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in packages else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def test_without_sporco_there_are_still_enough_photographs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hide(monkeypatch, "sporco")
    site = build_site(tmp_path)
    assert len([image for image in site.images if image.kind == "photo"]) >= 8
    assert not any("macaws" in site.file(page.path).read_text(encoding="utf-8") for page in site.pages[:1])
    for page in site.pages:
        links = parsed(site.file(page.path).read_text(encoding="utf-8"))
        assert all(site.file(urlsplit(link).path).is_file() for link in links.found if link.startswith("/"))


def test_without_photographs_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hide(monkeypatch, "sporco", "skimage", "sklearn")
    with pytest.raises(DemoIncomplete, match="pip install scikit-image scikit-learn"):
        build_site(tmp_path)
