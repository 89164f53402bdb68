"""A headless Chromium, driven over the DevTools protocol.

In: a chromium binary, commands. Out: their results; events go to the handlers that asked for them. Refuses: to start
without a binary (`FileNotFoundError`); commands that the browser refuses raise `BrowserError`.

Each start has a fresh profile and leaves nothing behind. Chromium's own sandbox stays on, except for root, for whom it
cannot start with it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
START_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 60.0
_FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-dev-shm-usage", "--disable-default-apps", "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip


class BrowserError(RuntimeError):
    """A command that Chromium refused, or a page that it could not open."""


class Browser:
    """One tab of a running Chromium. Handlers are called with an event's parameters, in the order of the events."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._ids = socket, itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._reader = asyncio.create_task(self._read())

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one DevTools command. Raises BrowserError, TimeoutError."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send_json({"id": number, "method": method, "params": params})
            return await asyncio.wait_for(answer, COMMAND_TIMEOUT_S)
        finally:
            del self._answers[number]

    def on(self, event: str, handler: Callable[[dict[str, Any]], None] | None) -> None:
        """Call `handler` at every `event` from now on; None stops it."""
        if handler is None:
            self._handlers.pop(event, None)
        else:
            self._handlers[event] = handler

    async def open(self, url: str, timeout_s: float) -> None:
        """Open a page and wait until it and its images are loaded. Raises BrowserError, TimeoutError."""
        loaded = asyncio.Event()
        self.on("Page.loadEventFired", lambda _: loaded.set())
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self.call("Page.navigate", url=url)
                if answer.get("errorText"):
                    raise BrowserError(f"{url}: {answer['errorText']}")
                await loaded.wait()
        finally:
            self.on("Page.loadEventFired", None)

    async def submit(self, expression: str, timeout_s: float) -> None:
        """Evaluate what leads to another page, and wait until that is loaded. Raises BrowserError, TimeoutError."""
        loaded = asyncio.Event()
        self.on("Page.loadEventFired", lambda _: loaded.set())
        try:
            async with asyncio.timeout(timeout_s):
                await self.call("Runtime.evaluate", expression=expression)
                await loaded.wait()
        finally:
            self.on("Page.loadEventFired", None)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; promises are waited for. Raises BrowserError."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"].get("exception", {}).get("description", "script failed")))
        return answer["result"].get("value")

    async def screen(self, width_px: int, height_px: int, dark: bool = False) -> None:
        """Pretend to be a screen of this size, with a light or dark colour scheme."""
        size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": width_px < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self, file: Path) -> None:
        """The whole page as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(answer["data"]))

    async def close(self) -> None:
        """Stop reading."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                content = message.json()
                if "id" in content:
                    self._answer(content)
                elif handler := self._handlers.get(content["method"]):
                    handler(content["params"])
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(BrowserError("the browser is gone"))

    def _answer(self, content: dict[str, Any]) -> None:
        answer = self._answers.get(content["id"])
        if answer is None or answer.done():
            return
        if "error" in content:
            answer.set_exception(BrowserError(str(content["error"].get("message"))))
        else:
            answer.set_result(content["result"])


def find() -> str | None:
    """The first Chromium or Chrome on the PATH."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextlib.asynccontextmanager
async def chromium(*flags: str) -> AsyncIterator[Browser]:
    """A Chromium with a fresh profile; it is killed at the end."""
    binary = find()
    if binary is None:
        raise FileNotFoundError(f"no Chromium on the PATH ({', '.join(NAMES)}); install the package chromium")
    rights = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with tempfile.TemporaryDirectory(prefix="sketchwire-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            binary, *_FLAGS, *rights, f"--user-data-dir={profile}", *flags, "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            async with aiohttp.ClientSession() as session:
                port = await _port(Path(profile) / "DevToolsActivePort")
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tab = next(target for target in await answer.json() if target["type"] == "page")
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    browser = Browser(socket)
                    try:
                        for domain in ("Page", "Runtime"):
                            await browser.call(f"{domain}.enable")
                        yield browser
                    finally:
                        await browser.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _port(file: Path) -> int:
    """Chromium writes the port it chose into its profile; there is nothing to wait on but the file."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while not (file.exists() and file.read_text().strip()):
            await asyncio.sleep(0.05)
    return int(file.read_text().splitlines()[0])
