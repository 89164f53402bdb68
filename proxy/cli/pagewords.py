"""The words that a page has for an image file, for `sketchwire encode --page`.

In: a page, as an http(s) address or an HTML file, and image files. Out: the words the page has for an image of that
name, and whether it marks it as a logo. Refuses: other schemes, pages that are too large or do not answer
(`PageUnusable`).
"""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from proxy import __version__
from proxy.pages import page_images

MAX_PAGE_BYTES = 8 * 1024 * 1024
TIMEOUT_S = 20.0
LOCAL_PAGE = "http://page.invalid/"  # where an HTML file pretends to be, so that relative addresses resolve


class PageUnusable(Exception):
    """The page cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class PageWords:
    """Words by absolute image address, and the addresses of what the page marks as logos."""

    words: Mapping[str, str]
    logos: frozenset[str] = frozenset()

    def words_for(self, image: Path) -> str | None:
        """The words for the image on the page whose path ends most like `image`'s; None when that is not one."""
        found = {self.words[address] for address in _nearest(image, self.words)}
        return found.pop() if len(found) == 1 else None

    def says_logo(self, image: Path) -> bool:
        """Whether the page marks the image whose path ends most like `image`'s as a logo."""
        nearest = _nearest(image, self.logos.union(self.words))
        return bool(nearest) and nearest <= self.logos


def _nearest(image: Path, addresses: Iterable[str]) -> set[str]:
    """Those of `addresses` whose paths end most like `image`'s; none where no file has its name."""
    own = image.absolute().parts[::-1]
    best: dict[int, set[str]] = {}
    for address in addresses:
        path = urllib.parse.unquote(urllib.parse.urlsplit(address).path)
        same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(own, path.split("/")[::-1], strict=False))))
        if same:
            best.setdefault(same, set()).add(address)
    return best[max(best)] if best else set()


def load_page(page: str) -> PageWords:
    """Read a page, from the network when it has a scheme. Raises PageUnusable and OSError."""
    if "://" in page:
        said = page_images(*_fetch(page))
    else:
        body = Path(page).read_bytes()
        said = page_images(body[:MAX_PAGE_BYTES], LOCAL_PAGE + urllib.parse.quote(Path(page).name))
    return PageWords(said.words, said.logos)


def _fetch(address: str) -> tuple[bytes, str, str]:
    """(body, address after redirects, Content-Type) of a page."""
    if not address.lower().startswith(("http://", "https://")):
        raise PageUnusable(f"{address}: only http and https addresses and HTML files can be read")
    opener = urllib.request.OpenerDirector()  # the default one would also follow redirects to ftp
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
    ):
        opener.add_handler(handler())
    request = urllib.request.Request(
        address, headers={"User-Agent": f"sketchwire/{__version__}", "Accept": "text/html"}
    )
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            body = answer.read(MAX_PAGE_BYTES + 1)
            if len(body) > MAX_PAGE_BYTES:
                raise PageUnusable(f"{address}: larger than {MAX_PAGE_BYTES // 1024**2} MiB")
            return body, answer.geturl(), answer.headers.get("Content-Type", "")
    except urllib.error.HTTPError as error:
        raise PageUnusable(f"{address}: answered {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        raise PageUnusable(f"{address}: {getattr(error, 'reason', None) or error}") from error
