"""The proxies' way to the reconstruction runtime, over its HTTP API.

In: bundle bytes, a prompt and a deadline. Out: `Reconstructed`, an image file whose type was verified. Refuses: with
`RuntimeBusy`, `RuntimeTimeout`, `RuntimeRefused` or `RuntimeUnavailable`; a caller that catches their base,
`ReconstructionError`, and shows a preview has handled everything. Nothing is asked twice, except once where a kept
connection turns out to be dead. The runtime is never asked through a proxy and never redirects.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp

from proxy.bundle import MEDIA_TYPE

CONNECT_TIMEOUT_S = 1.0
CAPABILITIES_TIMEOUT_S = 1.5
FRESH_S = 5.0  # capabilities are not asked for again before
ABSENT_FRESH_S = 1.0  # nor is an absent runtime
STALE_S = 60.0  # until then an old answer serves while a new one is fetched
MAX_IMAGE_BYTES = 128 * 1024 * 1024
MAX_JSON_BYTES = 64 * 1024
CONNECTIONS = 64

_MAGIC = {"image/webp": b"RIFF", "image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}

_ENGINE_ID = re.compile(r"[a-z][a-z0-9-]{0,31}")
_FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")

_log = logging.getLogger("sketchwire.runtime-client")


class ReconstructionError(Exception):
    """There is no picture from the runtime; show a preview."""


class RuntimeUnavailable(ReconstructionError):
    """The runtime cannot be reached, or answered with what is no image."""


class RuntimeBusy(ReconstructionError):
    """The runtime has no room now."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RuntimeTimeout(ReconstructionError):
    """The deadline passed."""


class RuntimeRefused(ReconstructionError):
    """The runtime will never draw this bundle; `status` is 400, 406, 413, 415 or 422."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class RuntimeCapabilities:
    """What the runtime's engine is and can do; `fallback` is the label of the engine behind it, if there is one."""

    engine: str
    fingerprint: str
    modes: tuple[str, ...]
    version: str
    fallback: str | None

    @property
    def label(self) -> str:
        """`id@hash8`, as it crosses the link."""
        return f"{self.engine}@{self.fingerprint[:8]}"


@dataclass(frozen=True, slots=True)
class Reconstructed:
    """An image file and how it came about; `fallback` says why the engine's stand-in drew it (None: the engine did)."""

    body: bytes
    media_type: str
    engine: str
    cache_hit: bool
    queue_ms: float
    reconstruct_ms: float
    fallback: str | None = None


class Runtime(Protocol):
    """What draws; `RuntimeClient` is one, and so is a pool of them."""

    async def capabilities(self) -> RuntimeCapabilities | None:
        """What it can do; None when it cannot be reached. Never raises."""

    async def reconstruct(
        self,
        bundle: bytes,
        prompt: str | None,
        media_type: str,
        deadline_s: float,
        *,
        quality: int | None = None,
        client: str | None = None,
    ) -> Reconstructed:
        """The picture as a file. Raises ReconstructionError."""


class RuntimeClient:
    """A client of one runtime. Use as `async with`, or `close` it; it belongs to one event loop."""

    def __init__(self, base_url: str, *, max_image_bytes: int = MAX_IMAGE_BYTES) -> None:
        self._base_url = base_url.rstrip("/")
        self._max_image_bytes = max_image_bytes
        self._session: aiohttp.ClientSession | None = None
        self._capabilities: RuntimeCapabilities | None = None
        self._asked_s = -math.inf
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> RuntimeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; requests under way end with RuntimeUnavailable."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        if self._session is not None:
            await self._session.close()

    async def capabilities(self) -> RuntimeCapabilities | None:
        """What the runtime can do; None when it cannot be reached. Never raises.

        Answers from memory for FRESH_S (ABSENT_FRESH_S when there was none); after that an old answer serves while a
        new one is fetched. Only the first question, one after STALE_S, and one after a failed reconstruction wait for
        the runtime.
        """
        age_s = asyncio.get_running_loop().time() - self._asked_s
        if age_s >= (FRESH_S if self._capabilities is not None else ABSENT_FRESH_S):
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_capabilities())
            if age_s >= STALE_S:
                await asyncio.wait([self._asking])
        return self._capabilities

    async def reconstruct(
        self,
        bundle: bytes,
        prompt: str | None,
        media_type: str,
        deadline_s: float,
        *,
        quality: int | None = None,
        client: str | None = None,
    ) -> Reconstructed:
        """The picture of `bundle` as a file of `media_type` (image/webp, image/jpeg, image/png), within `deadline_s`.

        `prompt` is the resolved text, when it is not in the bundle. What is made with a prompt is cached for the user
        whose pseudonym `client` is, or for nobody; without a prompt it is shared, unless `client` is given. Raises
        ReconstructionError in one of its four forms, and ValueError for a media type that no runtime makes.
        """
        if media_type not in _MAGIC:
            raise ValueError(f"runtimes make {', '.join(_MAGIC)}, not {media_type}")
        until_s = asyncio.get_running_loop().time() + deadline_s
        headers = {"Content-Type": MEDIA_TYPE, "Accept": media_type}
        if prompt:
            headers["Sketchwire-Prompt"] = quote(prompt, safe="", errors="replace")
        if quality is not None:
            headers["Sketchwire-Quality"] = str(quality)
        if prompt or client is not None:
            headers["Sketchwire-Share"] = "no"
        if client is not None:
            headers["Sketchwire-Client"] = client
        try:
            async with asyncio.timeout_at(until_s):
                made = await self._post(bundle, headers, media_type, until_s)
        except aiohttp.ServerTimeoutError as error:  # it is a TimeoutError too, but this one is about connecting
            self._doubt()
            raise RuntimeUnavailable(f"{self._base_url}: no connection within {CONNECT_TIMEOUT_S:g} s") from error
        except TimeoutError as error:
            self._asked_s = min(self._asked_s, asyncio.get_running_loop().time() - FRESH_S)  # ask again, but don't wait
            raise RuntimeTimeout(f"the runtime did not answer within {deadline_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:  # RuntimeError: the session is closed
            self._doubt()
            raise RuntimeUnavailable(f"{self._base_url}: {type(error).__name__}: {error}") from error
        except RuntimeUnavailable:
            self._doubt()
            raise
        known = self._capabilities
        if known is not None and made.engine != known.label and made.fallback is None:
            self._doubt()  # the runtime was restarted with another engine
        return made

    async def _post(self, bundle: bytes, headers: dict[str, str], media_type: str, until_s: float) -> Reconstructed:
        """Ask, and once more on a new connection where a kept one was closed before any answer came."""
        kept = SimpleNamespace(reused=False)
        try:
            return await self._post_once(self._pool(), bundle, headers, media_type, until_s, kept)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError):
            if not kept.reused:
                raise
        async with _session(force_close=True) as fresh:
            return await self._post_once(fresh, bundle, headers, media_type, until_s, kept)

    async def _post_once(
        self,
        session: aiohttp.ClientSession,
        bundle: bytes,
        headers: dict[str, str],
        media_type: str,
        until_s: float,
        kept: SimpleNamespace,
    ) -> Reconstructed:
        left_ms = max(1, math.floor((until_s - asyncio.get_running_loop().time()) * 1000))
        headers = {**headers, "Sketchwire-Deadline-Ms": str(left_ms)}
        request = session.post(
            f"{self._base_url}/v1/reconstruct",
            data=bundle,
            headers=headers,
            allow_redirects=False,
            trace_request_ctx=kept,
        )
        async with request as answer:
            kept.reused = False  # an answer came: whatever fails now is no dead connection
            if answer.status != 200:
                raise _trouble(answer, _json(await _read(answer, MAX_JSON_BYTES)))
            body = await _read(answer, self._max_image_bytes)
            return _reconstructed(answer, body, media_type)

    async def _ask_capabilities(self) -> None:
        found: RuntimeCapabilities | None = None
        try:
            async with asyncio.timeout(CAPABILITIES_TIMEOUT_S):
                async with self._pool().get(f"{self._base_url}/v1/capabilities", allow_redirects=False) as answer:
                    body = _json(await _read(answer, MAX_JSON_BYTES))
                    if answer.status == 200:
                        found = _capabilities(body)
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError, ReconstructionError) as error:
            _log.debug("no capabilities from %s: %s: %s", self._base_url, type(error).__name__, error)
        if (found is None) != (self._capabilities is None):
            _log.warning("the runtime at %s %s", self._base_url, f"offers {found.label}" if found else "is gone")
        self._capabilities = found
        self._asked_s = asyncio.get_running_loop().time()

    def _doubt(self) -> None:
        """The next question about capabilities goes to the runtime."""
        self._asked_s = -math.inf

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = _session(force_close=False)
        return self._session


def _session(force_close: bool) -> aiohttp.ClientSession:
    """A session without proxies, cookies or decompression; each request's trace context learns of a kept connection."""

    async def reused(session: aiohttp.ClientSession, context: Any, params: Any) -> None:
        if isinstance(context.trace_request_ctx, SimpleNamespace):
            context.trace_request_ctx.reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS, force_close=force_close),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        trace_configs=[trace],
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    )


async def _read(answer: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The answer's body. Raises RuntimeUnavailable once it is over the limit, and does not read further."""
    if (answer.content_length or 0) > limit_bytes:
        raise RuntimeUnavailable(f"the runtime answered with {answer.content_length} bytes; the limit is {limit_bytes}")
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            raise RuntimeUnavailable(f"the runtime answered with over {limit_bytes} bytes")
    return bytes(body)


def _reconstructed(answer: aiohttp.ClientResponse, body: bytes, media_type: str) -> Reconstructed:
    if answer.content_type != media_type or not body.startswith(_MAGIC[media_type]):
        raise RuntimeUnavailable(
            f"the runtime answered with {answer.content_type}, which is not the {media_type} asked for"
        )
    headers = answer.headers
    return Reconstructed(
        body,
        media_type,
        headers.get("Sketchwire-Engine", "unknown"),
        headers.get("Sketchwire-Cache") == "hit",
        _number(headers, "Sketchwire-Queue-Ms"),
        _number(headers, "Sketchwire-Reconstruct-Ms"),
        headers.get("Sketchwire-Fallback"),
    )


def _trouble(answer: aiohttp.ClientResponse, body: dict[str, Any]) -> ReconstructionError:
    """The exception for an answer that is not 200."""
    message = f"the runtime answered {answer.status}: {str(body.get('error', answer.reason))[:300]}"
    if answer.status in (400, 406, 413, 415, 422):
        return RuntimeRefused(message, answer.status)
    if answer.status == 503:
        return RuntimeBusy(message, _number(answer.headers, "Retry-After", 1.0))
    if answer.status == 504:
        return RuntimeTimeout(message)
    return RuntimeUnavailable(message)


def _capabilities(body: dict[str, Any]) -> RuntimeCapabilities:
    """The capabilities in a runtime's answer. Raises ValueError when they are not what the API promises."""
    engine, fingerprint, modes = body.get("engine"), body.get("fingerprint"), body.get("modes")
    fallback = body.get("fallback")
    if not (isinstance(engine, str) and _ENGINE_ID.fullmatch(engine)):
        raise ValueError("the runtime names no engine")
    if not (isinstance(fingerprint, str) and _FINGERPRINT.fullmatch(fingerprint)):
        raise ValueError("the runtime gives no fingerprint")
    if not (isinstance(modes, list) and all(isinstance(mode, str) for mode in modes)):
        raise ValueError("the runtime gives no modes")
    version = str(body.get("version", ""))
    return RuntimeCapabilities(
        engine, fingerprint, tuple(modes), version, fallback if isinstance(fallback, str) else None
    )


def _json(body: bytes) -> dict[str, Any]:
    """The object in `body`; empty when there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(headers: Mapping[str, str], name: str, default: float = 0.0) -> float:
    """The number in a header, at least 0; `default` when there is none."""
    try:
        value = float(headers.get(name, default))
    except ValueError:
        return default
    return value if 0 <= value < math.inf else default
