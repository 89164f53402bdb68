"""What each client chose: originals for a page or a site, or everything untouched.

In: choices as a person writes them, requests. Out: whether a request is to get the original. Refuses: addresses that
are none; more than a few hundred choices a client (the oldest go first).

A page is remembered without scheme and fragment, a site by its host without `www.`, everything below it included. An
image belongs to the page in its Referer; where that names an origin only (as browsers do for other hosts' images), to
the last page that the client opened there.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

MAX_CHOICES = 200
MAX_CLIENTS = 2_000
_VERSION = 1
_MAX_PAGE_CHARS = 2_048
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_ADDRESS = re.compile(r"[0-9a-f:.]+\Z")


class NotAnAddress(ValueError):
    """What was written is no page's and no site's address; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One client's choices, the oldest first."""

    off: bool = False
    sites: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.off or self.sites or self.pages)

    def wants_original(self, url: str, page: str | None) -> bool:
        """Whether the answer for `url`, on the page `page` (both as `page_of` writes them), is to be the original."""
        if self.off:
            return True
        if page is not None and page in self.pages:
            return True
        hosts = [host_of(each) for each in (url, page) if each]
        return any(host == site or host.endswith(f".{site}") for site in self.sites for host in hosts)


class Choices:
    """All clients' choices, by a name for each that means nothing elsewhere."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, Choice] = OrderedDict()

    def of(self, client: str) -> Choice:
        """A client's choices."""
        return self._clients.get(client, Choice())

    def set(self, client: str, choice: Choice) -> None:
        """Replace a client's choices."""
        self._clients.pop(client, None)
        if choice:
            kept = replace(choice, sites=choice.sites[-MAX_CHOICES:], pages=choice.pages[-MAX_CHOICES:])
            self._clients[client] = kept
        while len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)

    def saved(self) -> dict[str, Any]:
        """Everything, for `load`."""
        clients = {name: [c.off, list(c.sites), list(c.pages)] for name, c in self._clients.items()}
        return {"version": _VERSION, "clients": clients}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `saved` gave; whatever is not written like that is left out."""
        clients = saved.get("clients")
        if saved.get("version") != _VERSION or not isinstance(clients, dict):
            return
        for name, value in clients.items():
            if not (isinstance(value, list) and len(value) == 3 and isinstance(value[0], bool)):
                continue
            if not all(isinstance(part, list) and all(isinstance(t, str) for t in part) for part in value[1:]):
                continue
            self.set(name, Choice(value[0], tuple(value[1]), tuple(value[2])))


class OpenPages:
    """The last page that each client opened of each origin; in memory only, bounded."""

    def __init__(self, max_entries: int = 5_000) -> None:
        self._max_entries = max_entries
        self._pages: OrderedDict[tuple[str, str], str] = OrderedDict()

    def opened(self, client: str, url: str) -> None:
        """A client opened a page."""
        page = page_of(url)
        if page is None:
            return
        key = (client, page.partition("/")[0])
        self._pages.pop(key, None)
        self._pages[key] = page
        while len(self._pages) > self._max_entries:
            self._pages.popitem(last=False)

    def page(self, client: str, referer: str | None) -> str | None:
        """The page that a request with this Referer belongs to, as `page_of` writes it."""
        page = page_of(referer) if referer else None
        if page is None:
            return None
        origin, _, rest = page.partition("/")
        return page if rest else self._pages.get((client, origin), page)


def page_of(url: str) -> str | None:
    """host[:port]/path?query of a web page's URL; None for what is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    host = parts.hostname.rstrip(".")
    where = f"[{host}]" if ":" in host else host
    if port is not None and port != (443 if parts.scheme == "https" else 80):
        where = f"{where}:{port}"
    return f"{where}{parts.path or '/'}{'?' + parts.query if parts.query else ''}"


def host_of(page: str) -> str:
    """The host of what `page_of` wrote."""
    place = page.partition("/")[0]
    return place.partition("]")[0].lstrip("[") if place.startswith("[") else place.partition(":")[0]


def read_page(written: str) -> str:
    """The page that a person named. Raises NotAnAddress."""
    text = written.strip()
    if "://" not in text:
        text = f"https://{text}"
    page = page_of(text)
    if page is None or len(page) > _MAX_PAGE_CHARS or any(ord(c) <= 32 or ord(c) == 127 for c in page):
        raise NotAnAddress("Write or paste the page's address, such as https://example.org/story")
    host = _named(host_of(page))
    rest = page[len(page.partition("/")[0]) :]
    port = page.partition("/")[0].rpartition(":")[2] if re.search(r":\d+\Z", page.partition("/")[0]) else ""
    where = f"[{host}]" if ":" in host else host
    return f"{where}{':' + port if port else ''}{rest}"


def read_site(written: str) -> str:
    """The site that a person named, by its address or that of one of its pages. Raises NotAnAddress."""
    return host_of(read_page(written)).removeprefix("www.")


def _named(host: str) -> str:
    try:
        name = host if ":" in host else host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if (_HOST.match(name) and ("." in name or name == "localhost")) or (":" in name and _ADDRESS.match(name)):
        return name
    raise NotAnAddress("Write or paste an address, such as example.org")
