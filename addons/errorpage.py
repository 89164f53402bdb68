"""The page a person sees when something on the way is broken: what happened and what to do about it.

In: a status, what went wrong, advice. Out: a small HTML page without scripts or outside resources. Refuses nothing.

mitmproxy makes its own page where a connection cannot be opened and gives addons no say in it, so `install` replaces
the functions that write it; where a later mitmproxy has no such function, its own page stays. An addon whose `error`
hook calls `gave_up` makes the page, and over HTTP/1 the status, that of a gateway that waited in vain (504).
"""

from __future__ import annotations

import html
import importlib
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

# mitmproxy writes the page in the task that ran the hooks, right after them
_gave_up: ContextVar[str | None] = ContextVar("sketchwire_gave_up", default=None)
_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{status} {phrase}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em}}
p.why{{color:#555;overflow-wrap:anywhere}}</style></head>
<body><h1>{status} {phrase}</h1><p>{advice}</p><p class="why">{why}</p><hr><p class="why">Sketchwire</p></body></html>
"""
_MODULES = ("_http1", "_http2", "_http3")


def page(status: int, why: str, advice: str = "") -> bytes:
    """The page's bytes (UTF-8); both texts are escaped."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    fields = {"status": status, "phrase": phrase, "why": html.escape(why), "advice": html.escape(advice)}
    return _TEMPLATE.format(**fields).encode()


def gave_up(why: str) -> None:
    """The failed flow whose hooks run in this task was given up by us; its page says why."""
    _gave_up.set(why)


def install(advice: str) -> None:
    """Write mitmproxy's own error answers with `page` and this advice."""

    def format_error(status_code: int, message: str) -> bytes:
        why = _gave_up.get() if status_code >= 500 else None
        return page(504 if why else status_code, why or message, advice if status_code >= 500 else "")

    def make_error_response(status_code: int, message: str = "") -> bytes:
        raw: bytes = original(504 if status_code == 502 and _gave_up.get() else status_code, message)
        return raw

    http1: Any = importlib.import_module("mitmproxy.proxy.layers.http._http1")
    if hasattr(http1, "make_error_response"):
        original = getattr(http1.make_error_response, "sketchwire_original", http1.make_error_response)
        make_error_response.sketchwire_original = original  # type: ignore[attr-defined]
        http1.make_error_response = make_error_response

    for name in _MODULES:
        module = importlib.import_module(f"mitmproxy.proxy.layers.http.{name}")
        if hasattr(module, "format_error"):
            setattr(module, "format_error", format_error)  # noqa: B010  (mypy knows no such export)
