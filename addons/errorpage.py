"""The page a person sees when something on the way is broken: what happened and what to do about it.

In: a status, what went wrong, advice. Out: a small HTML page without scripts or outside resources. Refuses nothing.

mitmproxy makes its own page where a connection cannot be opened and gives addons no say in it, so `install` replaces
the function that writes it; where a later mitmproxy has no such function, its own page stays.
"""

from __future__ import annotations

import html
import importlib
from http import HTTPStatus

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


def install(advice: str) -> None:
    """Write mitmproxy's own error answers with `page` and this advice."""

    def format_error(status_code: int, message: str) -> bytes:
        return page(status_code, message, advice if status_code >= 500 else "")

    for name in _MODULES:
        module = importlib.import_module(f"mitmproxy.proxy.layers.http.{name}")
        if hasattr(module, "format_error"):
            setattr(module, "format_error", format_error)  # noqa: B010  (mypy knows no such export)
