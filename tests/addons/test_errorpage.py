from __future__ import annotations

import importlib

import pytest

from addons import errorpage


def test_the_page_says_what_and_why_and_escapes_both() -> None:
    page = errorpage.page(502, "<script>alert(1)</script>", "Do this & that.").decode()
    assert "502 Bad Gateway" in page and "Do this &amp; that." in page
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_unknown_statuses_have_a_page_too() -> None:
    assert b"599 Error" in errorpage.page(599, "x")


def test_mitmproxy_writes_its_errors_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = [importlib.import_module(f"mitmproxy.proxy.layers.http.{name}") for name in ("_http1", "_http2")]
    for module in modules:
        monkeypatch.setattr(module, "format_error", module.format_error)
    errorpage.install("The advice.")
    for module in modules:
        assert b"The advice." in module.format_error(502, "why")
        assert b"The advice." not in module.format_error(400, "your own fault")
