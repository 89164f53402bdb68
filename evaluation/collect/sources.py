"""Two ways to look at a page: fetched as it is written, or rendered by Chromium as people see it.

In: the address of a page. Out: `Seen`, the page's images and links; rendered, with the images' bytes, as the browser
got them. Refuses: what gate and page refuse, and pages that do not load in time, with the reason.

Rendered, every request of the page passes the gate: robots.txt counts for all of them, the pace for pages and images;
and images are the ones that Chromium chose for a screen of 1280×900 px, in the format that it was offered. Frames
within the page are left out: their requests would not all pass it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from evaluation.collect.chromium import Browser, BrowserError
from evaluation.collect.fetch import Fetched, Fetcher
from evaluation.collect.gate import Gate, Stay
from evaluation.collect.pictures import PageRead, displayed, read, reserved
from proxy.pages import MAX_HTML_BYTES, canonical_url

HTML = "text/html,application/xhtml+xml;q=0.9"
MAX_IMAGES = 60  # that a rendered page may load
SCREEN_PX = (1280, 900)
PAGE_TIMEOUT_S = 120.0
_PACED = frozenset(("Document", "Image"))
# The page as it stands, every image under the address that was chosen for it, in a copy that loads nothing.
_LAYOUT = """(async () => {
  const images = [...document.images];
  images.forEach(image => image.loading = 'eager');
  for (let y = 0; y < Math.min(document.documentElement.scrollHeight, 20000); y += 800) {
    window.scrollTo(0, y);
    await new Promise(done => setTimeout(done, 50));
  }
  window.scrollTo(0, 0);
  await Promise.all(images.map(image => image.decode().catch(() => null)));
  const inert = document.implementation.createHTMLDocument('');
  const copy = inert.importNode(document.documentElement, true);
  copy.querySelectorAll('img').forEach((image, number) => {
    image.setAttribute('src', images[number].currentSrc);
    image.removeAttribute('srcset');
  });
  return {html: '<!doctype html>' + copy.outerHTML, url: location.href,
    images: images.filter(image => image.naturalWidth).map(image => {
      const box = image.getBoundingClientRect();
      return {src: image.currentSrc, width: Math.round(box.width), height: Math.round(box.height)};
    })};
})()"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A page that was looked at. `bodies` are its images by URL, or None when they are still to be fetched."""

    url: str
    page: PageRead
    bodies: Mapping[str, Fetched] | None


class Source(Protocol):
    """A way to look at pages."""

    async def see(self, url: str) -> Seen | Stay:
        """Look at one page."""
        ...


class Fetching:
    """Pages as they are written; their images are fetched one by one."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def see(self, url: str) -> Seen | Stay:
        """One GET."""
        found = await self._fetcher.get(url, HTML, MAX_HTML_BYTES)
        if isinstance(found, Stay):
            return found
        if "html" not in found.headers.get("content-type", ""):
            return Stay("not HTML")
        page = await asyncio.to_thread(read, found.body, found.url, found.headers)
        return page if isinstance(page, Stay) else Seen(found.url, page, None)


@dataclass(slots=True)
class _Load:
    """What one load of a page has brought so far."""

    first: dict[str, str] = field(default_factory=dict)  # request → the address it began with
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)  # address → its answer's request, headers, status
    document: dict[str, Any] | None = None
    frame: str = ""  # of the page itself
    images: int = 0
    refused: Stay | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Rendering:
    """Pages as Chromium shows them, one at a time."""

    def __init__(self, browser: Browser, gate: Gate, image_bytes: int, timeout_s: float = PAGE_TIMEOUT_S) -> None:
        self._browser, self._gate, self._image_bytes, self._timeout_s = browser, gate, image_bytes, timeout_s
        self._one_at_a_time = asyncio.Lock()

    async def see(self, url: str) -> Seen | Stay:
        """One load, without cookies of earlier ones."""
        async with self._one_at_a_time:
            admitted = await self._gate.admit(url, paced=False)
            if isinstance(admitted, Stay):
                return admitted
            load = _Load()
            try:
                await self._prepare(load)
                await self._browser.open(url, self._timeout_s)
                async with asyncio.timeout(self._timeout_s):
                    shown = await self._browser.evaluate(_LAYOUT)
                return await self._seen(load, shown)
            except (BrowserError, TimeoutError) as error:
                return load.refused or Stay(f"does not load: {type(error).__name__}", passing=True)
            finally:
                for task in load.tasks:
                    task.cancel()
                with contextlib.suppress(BrowserError, TimeoutError):
                    await self._browser.call("Page.navigate", url="about:blank")

    async def _prepare(self, load: _Load) -> None:
        width, height = SCREEN_PX
        await self._browser.screen(width, height)
        await self._browser.call("Network.enable", maxTotalBufferSize=2**28, maxResourceBufferSize=2**26)
        await self._browser.call("Network.clearBrowserCookies")
        await self._browser.call("Network.setCacheDisabled", cacheDisabled=True)
        await self._browser.call("Network.setBypassServiceWorker", bypass=True)
        await self._browser.call("Fetch.enable", patterns=[{"urlPattern": "*", "requestStage": "Request"}])
        self._browser.on("Fetch.requestPaused", lambda event: self._decide_soon(load, event))
        self._browser.on("Network.requestWillBeSent", lambda event: _began(load, event))
        self._browser.on("Network.responseReceived", lambda event: _answered(load, event))

    def _decide_soon(self, load: _Load, event: dict[str, Any]) -> None:
        task = asyncio.create_task(self._decide(load, event))
        load.tasks.add(task)
        task.add_done_callback(load.tasks.discard)

    async def _decide(self, load: _Load, event: dict[str, Any]) -> None:
        """Let one request of the page through, or not."""
        url, kind = event["request"]["url"], event["resourceType"]
        refused: Stay | None = None
        if kind == "Document":
            load.frame = load.frame or event["frameId"]
            refused = Stay("a frame within the page") if event["frameId"] != load.frame else None
        if kind == "Image":
            load.images += 1
            refused = Stay("too many images") if load.images > MAX_IMAGES else None
        if not url.startswith(("data:", "blob:", "about:")) and refused is None:
            admitted = await self._gate.admit(url, paced=kind in _PACED)
            refused = admitted if isinstance(admitted, Stay) else None
        if refused is not None and kind == "Document" and event["frameId"] == load.frame:
            load.refused = refused
        command = "Fetch.continueRequest" if refused is None else "Fetch.failRequest"
        reason = {} if refused is None else {"errorReason": "BlockedByClient"}
        with contextlib.suppress(BrowserError, TimeoutError):  # the page may have cancelled it by now
            await self._browser.call(command, requestId=event["requestId"], **reason)

    async def _seen(self, load: _Load, shown: dict[str, Any]) -> Seen | Stay:
        if load.document is None:
            return load.refused or Stay("does not load", passing=True)
        status, headers = int(load.document["status"]), _lower(load.document["headers"])
        if status != 200:
            return Stay(f"answers {status}", passing=status >= 500)
        headers["content-type"] = "text/html; charset=utf-8"  # what the browser read is handed on as text
        page = await asyncio.to_thread(read, shown["html"].encode("utf-8", "replace"), shown["url"], headers)
        if isinstance(page, Stay):
            return page
        bodies: dict[str, Fetched] = {}
        layout: dict[str, tuple[int, int]] = {}
        for image in shown["images"]:
            address = canonical_url(image["src"])
            if address is None or address in layout:
                continue
            layout[address] = (image["width"], image["height"])
            body = await self._body(load, image["src"])
            if body is not None:
                bodies[address] = body
        return Seen(shown["url"], displayed(page, layout), bodies)

    async def _body(self, load: _Load, address: str) -> Fetched | None:
        answer = load.answers.get(address.split("#")[0])
        if answer is None or answer["status"] != 200 or reserved(headers := _lower(answer["headers"])):
            return None
        try:
            found = await self._browser.call("Network.getResponseBody", requestId=answer["requestId"])
        except (BrowserError, TimeoutError):
            return None
        body = base64.b64decode(found["body"]) if found["base64Encoded"] else found["body"].encode()
        return Fetched(answer["url"], headers, body) if len(body) <= self._image_bytes else None


def _began(load: _Load, event: dict[str, Any]) -> None:
    load.first.setdefault(event["requestId"], event["request"]["url"])


def _answered(load: _Load, event: dict[str, Any]) -> None:
    answer = event["response"] | {"requestId": event["requestId"]}
    load.answers[load.first.get(event["requestId"], answer["url"])] = answer
    if event["type"] == "Document" and load.document is None:
        load.document = answer


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
