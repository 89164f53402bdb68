"""One reconstruction by a runtime elsewhere, for the command line; proxies use a client that keeps connections.

In: a runtime's URL, a bundle and what is wanted of it. Out: the image file and who drew it.
Refuses: bundles that the runtime refuses (`BundleError`); anything else that goes wrong is a `RemoteFailed`.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import quote

from client_runtime.service.ask import DEADLINE, PROMPT, QUALITY
from proxy.bundle import MEDIA_TYPE, BundleError

_REFUSALS = (400, 413, 422)


class RemoteFailed(RuntimeError):
    """The runtime did not answer with an image; the message says what it did, and what to do."""


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """An image file, the engine that drew it (`id@hash8`), and why that was a fallback (None: it was not)."""

    body: bytes
    engine: str
    fallback: str | None


def reconstruct(
    url: str, data: bytes, prompt: str | None, media_type: str, quality: int, deadline_s: float
) -> RemoteImage:
    """The image file that the runtime at `url` makes of the bundle `data`. Raises BundleError and RemoteFailed."""
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Accept": media_type,
        QUALITY: str(quality),
        DEADLINE: str(round(deadline_s * 1000)),
    }
    if prompt:
        headers[PROMPT] = quote(prompt, safe="")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through the proxy it serves
    try:
        request = urllib.request.Request(f"{url.rstrip('/')}/v1/reconstruct", data, headers, method="POST")
        with opener.open(request, timeout=deadline_s + 1) as answer:
            if answer.headers.get_content_type() != media_type:
                raise RemoteFailed(f"{url} answered with {answer.headers.get_content_type()}, not with {media_type}")
            return RemoteImage(
                answer.read(),
                answer.headers.get("Sketchwire-Engine", "unknown"),
                answer.headers.get("Sketchwire-Fallback"),
            )
    except urllib.error.HTTPError as error:
        message = _message(error)
        if error.code in _REFUSALS:
            raise BundleError(message) from error
        raise RemoteFailed(f"{url} answered {error.code}: {message}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise RemoteFailed(f"{url} cannot be reached: {reason}; start one with `sketchwire runtime`") from error


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(10_000))["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(error.reason)
