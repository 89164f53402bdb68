"""Reads pages as they pass, beside the event loop, and remembers their words for each client.

In: a copy of a page's coded bytes. Out: words for an image, once the page is read. Refuses: pages whose coding cannot
be undone, and those that come while too many others wait; they have no words.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from proxy.coding import CodingError, decode_prefix
from proxy.headers import Headers
from proxy.pages import MAX_HTML_BYTES, PageImages, PageMemory, page_images

logger = logging.getLogger("sketchwire.pages")

COPY_BYTES = 2 * 1024 * 1024
_MAX_WAITING = 16
_HTML = ("text/html", "application/xhtml+xml")


def is_page(headers: Headers) -> bool:
    """Whether an answer is a document whose words are worth reading."""
    return headers.media_type() in _HTML


class PageText:
    """A `PageMemory` that is filled by one thread of its own and read from the event loop."""

    def __init__(self, memory: PageMemory) -> None:
        self._memory = memory
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pages")
        self._tasks: set[asyncio.Task[None]] = set()

    def words_for(self, client: str, image_url: str, referer: str | None) -> str | None:
        """The words for an image on a page that the client has seen, or None."""
        return self._memory.words_for(client, image_url, referer)

    def is_logo(self, client: str, image_url: str) -> bool:
        """Whether a page that the client has seen marks the image as a logo."""
        return self._memory.is_logo(client, image_url)

    def read(self, client: str, page_url: str, coded: bytes, headers: Headers) -> None:
        """Read a page soon; `headers` are its answer's. Returns at once."""
        if len(self._tasks) >= _MAX_WAITING:
            return
        task = asyncio.get_running_loop().create_task(self._read(client, page_url, coded, headers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> None:
        """Wait until every page that was handed in is read."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def close(self) -> None:
        """Read no further pages."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _read(self, client: str, page_url: str, coded: bytes, headers: Headers) -> None:
        try:
            loop = asyncio.get_running_loop()
            said = await loop.run_in_executor(self._thread, _said, page_url, coded, headers)
            self._memory.store(client, page_url, said)
        except CodingError as error:
            logger.debug("a page has no words: %s", error)
        except RuntimeError:
            logger.debug("a page has no words: going down")
        except Exception:
            logger.exception("a page could not be read")


def _said(page_url: str, coded: bytes, headers: Headers) -> PageImages:
    html = decode_prefix(coded, headers.tokens("content-encoding"), MAX_HTML_BYTES)
    return page_images(html, page_url, headers.get("content-type") or "")
