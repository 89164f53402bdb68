"""A headless Chromium, driven over the DevTools protocol: what a page looks like to a person's browser.

In: a chromium binary, a proxy, the host rules. Out: every image of a loaded page with its natural size, console errors,
screenshots. Refuses: to start without a binary (`FileNotFoundError`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=1200,2400",
)
_IMAGES = """(async () => {
  const images = [...document.images];
  images.forEach(image => image.loading = 'eager');
  await Promise.all(images.map(image => image.decode().catch(() => null)));
  return images.map(image => ({src: image.currentSrc, width: image.naturalWidth, height: image.naturalHeight}));
})()"""


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image of a page; a broken one has the width 0."""

    src: str
    width: int
    height: int


class Browser:
    """One tab of a running Chromium."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._ids = socket, itertools.count(1)
        self._events: list[dict[str, Any]] = []
        self._loader = self._url = ""

    async def load(self, url: str, timeout_s: float = 60) -> None:
        """Open `url` and wait until the page and its images are loaded."""
        async with asyncio.timeout(timeout_s):
            error = await self.begin(url)
            if error:
                raise ConnectionError(f"{url}: {error}")
            await self.loaded()

    async def images(self) -> list[ShownImage]:
        """Every <img> of the page, decoded, lazy ones included."""
        answer = await self.call("Runtime.evaluate", expression=_IMAGES, awaitPromise=True, returnByValue=True)
        return [ShownImage(**image) for image in answer["result"]["value"]]

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    async def screenshot(self, file: Path) -> None:
        """The visible part of the page as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(answer["data"]))

    async def reload(self, timeout_s: float = 60) -> None:
        """Load the page again, without what is in the browser's cache."""
        await self.call("Network.setCacheDisabled", cacheDisabled=True)
        await self.load(self._url, timeout_s)
        await self.call("Network.setCacheDisabled", cacheDisabled=False)

    async def begin(self, url: str) -> str:
        """Open `url` and wait for nothing but the first answer; what is wrong with it, if anything."""
        self._events.clear()
        answer = await self.call("Page.navigate", url=url)
        self._url, self._loader = url, answer.get("loaderId", "")
        return str(answer.get("errorText", ""))

    def errors(self) -> list[str]:
        """Console errors, exceptions and failed requests since the last load; why a request failed is left out, and the
        browser's own question for an icon, which it asks once a site and whenever it likes.
        """
        found = []
        for event in self._events:
            told = event["params"]
            if event["method"] == "Log.entryAdded" and told["entry"]["level"] == "error":
                text = told["entry"]["text"]
                text = "Failed to load resource" if text.startswith("Failed to load resource") else text
                if not told["entry"].get("url", "").endswith("/favicon.ico"):
                    found.append(f"{text} {told['entry'].get('url', '')}")
            elif event["method"] == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"].get("exception", {}).get("description")))
            elif event["method"] == "Runtime.consoleAPICalled" and told["type"] == "error":
                found.append(" ".join(str(each.get("value", each.get("description"))) for each in told["args"]))
        return found

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one DevTools command."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self._receive()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result

    async def loaded(self) -> None:
        """Wait until what was begun is over, well or not."""
        while not any(self._is_loaded(event) for event in self._events):
            await self._receive()

    def _is_loaded(self, event: dict[str, Any]) -> bool:
        """Whether this tells that the page begun last is loaded, not one before it."""
        told = event["params"]
        return event["method"] == "Page.lifecycleEvent" and (told["name"], told["loaderId"]) == ("load", self._loader)

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._socket.receive_str())
        if "method" in message:
            self._events.append(message)
        return message


@contextlib.asynccontextmanager
async def chromium(profile: Path, *flags: str) -> AsyncIterator[Browser]:
    """A Chromium with a fresh profile in `profile`; it is killed at the end."""
    if BINARY is None:
        raise FileNotFoundError("chromium is not installed")
    process = await asyncio.create_subprocess_exec(
        BINARY,
        *FLAGS,
        f"--user-data-dir={profile}",
        *flags,
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with aiohttp.ClientSession() as session:
            port = await _debugging_port(profile / "DevToolsActivePort")
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tab = next(target for target in await answer.json() if target["type"] == "page")
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                browser = Browser(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await browser.call(f"{domain}.enable")
                await browser.call("Page.setLifecycleEventsEnabled", enabled=True)
                yield browser
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def _debugging_port(file: Path) -> int:
    async with asyncio.timeout(30):
        while not (file.exists() and file.read_text().strip()):
            await asyncio.sleep(0.05)
    return int(file.read_text().splitlines()[0])
