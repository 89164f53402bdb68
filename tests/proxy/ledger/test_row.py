"""What a row may store: numbers, our codes, known media types; nothing that names a page."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from proxy.ledger import Row
from proxy.ledger.row import DECISIONS, NUMBERS, Facet, domain, facet, media_type, numbers, subscriber
from proxy.ledger.tables import response
from tests.proxy.ledger.rows import filled, row

PRIVATE = (
    "https://clinic.example.org/patients/7?name=ada",
    "clinic.example.org",
    "/patients/7",
    "image/jpeg; name=patients-7.jpg",
    "image/clinic.example.org",
    "clinic/example",
)


@pytest.mark.parametrize("text", PRIVATE)
def test_no_url_host_or_path_can_be_stored(path: Path, text: str) -> None:
    strings = {f.name: text for f in fields(Row) if "str" in str(f.type) or f.name in ("role", "decision")}
    assert {"role", "decision", "content_type", "reason", "mode", "engine", "kind", "subscriber", "domain"} <= set(
        strings
    )
    filled(path, row(**strings))
    stored = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert b"patients" not in stored and b"clinic" not in stored and b"/example" not in stored


@pytest.mark.parametrize(
    "text", [PRIVATE[0], *PRIVATE[2:], "user@example.org", "example.org:8080", "a b.org", "x" * 300]
)
def test_a_domain_is_nothing_but_a_domain(text: str) -> None:
    assert domain(row(domain=text)) == ""


def test_names_are_kept_as_they_are() -> None:
    assert domain(row(domain="Example.co.uk")) == "example.co.uk"
    assert subscriber(row(subscriber="0123456789abcdef")) == "0123456789abcdef"
    assert subscriber(row(subscriber="192.0.2.7")) == subscriber(row(subscriber="ada")) == ""


def test_every_field_of_a_row_is_stored_somewhere() -> None:
    assert set(Facet._fields) | set(NUMBERS) | {"time_s", "subscriber", "domain"} == {f.name for f in fields(Row)}
    assert numbers(row()).keys() == {"time_ms", *NUMBERS} and {"time_ms", *NUMBERS} <= set(response.columns.keys())


@pytest.mark.parametrize("decision", DECISIONS)
def test_decisions_are_kept(decision: str) -> None:
    assert facet(row(decision=decision)).decision == decision


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("IMAGE/JPEG; charset=x", "image/jpeg"),
        ("text/html; charset=utf-8", "text/html"),
        ("", ""),
        ("image/x-new", "image/other"),
        ("video/x-new", "video/other"),
        ("application/x-secret-app", "other"),
        ("nonsense", "other"),
    ],
)
def test_media_types(header: str, kept: str) -> None:
    assert media_type(header) == kept


def test_a_row_is_immutable_and_has_no_address() -> None:
    assert not {"url", "host", "path", "query", "client", "address"} & {f.name for f in fields(Row)}
