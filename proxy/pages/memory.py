"""The words of the pages each client has just seen.

In: pages as they pass, then requests for their images. Out: the words for an image, or None. Refuses: to grow: pages
per client, clients and characters in all are bounded, the least recently used goes first. Nothing is written to disk,
and one client's pages never answer for another's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import urlsplit

from proxy.pages.address import canonical_url
from proxy.pages.extract import PageImages, page_images

_HTML_TYPES = ("text/html", "application/xhtml+xml")
_PAGE_OVERHEAD_CHARS = 200


class PageMemory:
    """Bounded words by client and page. Not thread-safe; parse large pages elsewhere and `store` the result."""

    def __init__(self, pages_per_client: int = 64, clients: int = 256, total_chars: int = 64 * 1024 * 1024) -> None:
        """`total_chars` bounds addresses and words of all clients together."""
        self._pages_per_client = max(1, pages_per_client)
        self._max_clients = max(1, clients)
        self._total_chars = total_chars
        self._clients: OrderedDict[str, OrderedDict[str, PageImages]] = OrderedDict()
        self._chars = 0

    def remember(self, client: str, page_url: str, html: bytes, content_type: str) -> None:
        """Read a page (decoded body) and keep its words. Other content types than HTML are ignored."""
        if content_type.split(";")[0].strip().lower() in _HTML_TYPES:
            self.store(client, page_url, page_images(html, page_url, content_type))

    def store(self, client: str, page_url: str, said: PageImages | Mapping[str, str]) -> None:
        """Keep what `page_images` found, or words alone; a page without any still replaces its older version."""
        said = said if isinstance(said, PageImages) else PageImages(said)
        page = canonical_url(page_url)
        if page is None:
            return
        pages = self._clients.setdefault(client, OrderedDict())
        self._clients.move_to_end(client)
        self._forget(pages, page)
        pages[page] = said
        self._chars += _size_chars(page, said)
        while len(pages) > self._pages_per_client:
            self._forget(pages, next(iter(pages)))
        while len(self._clients) > self._max_clients or (self._chars > self._total_chars and len(self._clients) > 1):
            _, gone = self._clients.popitem(last=False)
            self._chars -= sum(_size_chars(url, said) for url, said in gone.items())
        while self._chars > self._total_chars and pages:
            self._forget(pages, next(iter(pages)))

    def words_for(self, client: str, image_url: str, referer: str | None) -> str | None:
        """The words for an image: those of the page in `referer`, else of the client's latest page that has the image.

        A referer without a path (cross-origin policy) prefers that site's pages; a style sheet's does the same, since
        style sheets are not pages; without a referer every page is equal.
        """
        pages = self._clients.get(client)
        image = canonical_url(image_url)
        if pages is None or image is None:
            return None
        self._clients.move_to_end(client)
        page = canonical_url(referer) if referer else None
        if page is not None and page in pages and image in pages[page].words:
            pages.move_to_end(page)
            return pages[page].words[image]
        holding = [(url, said.words[image]) for url, said in reversed(pages.items()) if image in said.words]
        if page is not None:
            site = urlsplit(page)[:2]
            holding.sort(key=lambda item: urlsplit(item[0])[:2] != site)  # stable: latest first within each half
        return holding[0][1] if holding else None

    def is_logo(self, client: str, image_url: str) -> bool:
        """Whether any page that the client has just seen marks an image as a logo."""
        image = canonical_url(image_url)
        return any(image in said.logos for said in self._clients.get(client, {}).values())

    def forget(self, client: str) -> None:
        """Drop everything about a client."""
        for url, said in self._clients.pop(client, OrderedDict()).items():
            self._chars -= _size_chars(url, said)

    @property
    def size_chars(self) -> int:
        """Characters held for all clients together."""
        return self._chars

    def _forget(self, pages: OrderedDict[str, PageImages], page: str) -> None:
        said = pages.pop(page, None)
        if said is not None:
            self._chars -= _size_chars(page, said)


def _size_chars(page: str, said: PageImages) -> int:
    held = sum(len(url) + len(text) for url, text in said.words.items()) + sum(map(len, said.logos))
    return _PAGE_OVERHEAD_CHARS + len(page) + held
