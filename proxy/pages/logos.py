"""Whether a page says that an image is a logo or an icon.

In: what markup says about an image: its addresses, its words, the boxes around it. Out: yes or no. Refuses: nothing.

Logos are not described, they are marked: by `class`, `id`, `alt` and file name, by standing alone in a link to the
site's home page, or as the page's icon. A photograph that is marked so by mistake costs bytes and no truth.
"""

from __future__ import annotations

import re
from itertools import islice
from urllib.parse import unquote, urlsplit

from proxy.pages.address import canonical_url
from proxy.pages.reading import Found, Frame

_NEAR = 4  # boxes around an image whose marks count, its own among them
_HOME_LINK_CHARS = 60  # text beside the image: a site's name and its claim, not a story
_MAX_CHARS = 2000
_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W_\d]+")  # siteLogo, site-logo, logo2x
_MARKS = frozenset(
    ("logo", "logos", "logotype", "brand", "brandmark", "branding", "wordmark", "emblem", "favicon", "icon", "icons")
)
_AROUND = _MARKS - {"icon", "icons", "branding"}  # what a box says that holds more than the image, as "has-icon"
_FOLDERS = frozenset(("logo", "logos", "icon", "icons", "favicons"))
_WORDS = _MARKS - {"brand", "branding"}  # in a sentence, "brand" is the adjective of a shoe
_BRAND_ALT = re.compile(r"(?:[\w&.'-]+ ){0,3}brand(?: (?:mark|name|logo))?", re.IGNORECASE)
_HOME_FILES = re.compile(r"(?:(?:index|home|default)\.\w{2,5})?", re.IGNORECASE)
_LANGUAGE = re.compile(r"[a-z]{2}(?:-[a-z]{2})?", re.IGNORECASE)


def says_logo(found: Found, base_url: str) -> bool:
    """Whether the markup around a place where an image stands marks it as a logo."""
    if _tokens(found.frame.marks) & _MARKS or _said(found.alt) or _said(found.title):
        return True
    if any(address_says_logo(address) for address in found.addresses):
        return True
    if found.background:
        return False  # the box is named, and it holds more than its background
    around = [frame for frame in islice(found.frame.ancestors(_NEAR), 1, None) if frame.pictures <= 2]
    return any(_tokens(frame.marks) & _AROUND or _leads_home(frame, base_url) for frame in around)


def address_says_logo(address: str) -> bool:
    """Whether an image's address does: its file's name, or the folder that the file is in."""
    if address[:5].lower() == "data:":
        return False
    try:
        path = unquote(urlsplit(address[:_MAX_CHARS]).path)
    except ValueError:
        return False
    folder, _, file = path.rpartition("/")
    return bool(_tokens(file.rpartition(".")[0] or file) & _MARKS) or folder.rpartition("/")[2].lower() in _FOLDERS


def _said(words: str) -> bool:
    """Whether an image's own words do."""
    return bool(_tokens(words) & _WORDS or _BRAND_ALT.fullmatch(words[:200].strip()))


def _tokens(text: str) -> set[str]:
    return {part.lower() for part in _BREAK.split(text[:_MAX_CHARS]) if part}


def _leads_home(frame: Frame, base_url: str) -> bool:
    """Whether this is a link to the home page of the page's own site with hardly anything but the image in it."""
    if frame.name != "a" or not frame.href or frame.href.startswith("#") or frame.end - frame.start > _HOME_LINK_CHARS:
        return False
    there, here = canonical_url(frame.href, base_url), canonical_url(base_url)
    if there is None or here is None:
        return False
    target, page = urlsplit(there), urlsplit(here)
    if _site(target.netloc) != _site(page.netloc) or target.query:
        return False
    *folders, file = target.path.lstrip("/").split("/")
    if not folders and _LANGUAGE.fullmatch(file):
        return True
    return _HOME_FILES.fullmatch(file) is not None and (
        not folders or (len(folders) == 1 and _LANGUAGE.fullmatch(folders[0]) is not None)
    )


def _site(netloc: str) -> str:
    return netloc.lower().removeprefix("www.")
