"""Registrable domains, from the list that comes with the library: no network, no cache on disk."""

from __future__ import annotations

import socket

import pytest

from proxy.ledger.registrable import _extract, registrable_domain
from proxy.ledger.row import domain
from tests.proxy.ledger.rows import row


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("cdn.img.example.co.uk", "example.co.uk"),
        ("WWW.Example.COM.", "example.com"),
        ("example.com", "example.com"),
        ("co.uk", ""),
        ("localhost", ""),
        ("192.0.2.7", ""),
        ("[2001:db8::1]", ""),
        ("2001:db8::1", ""),
        ("bücher.example.de", "example.de"),
        ("www.bücher.de", "xn--bcher-kva.de"),
        ("", ""),
        ("..", ""),
        ("a" * 300 + ".com", ""),
    ],
)
def test_domains(host: str, wanted: str) -> None:
    assert domain(row(domain=registrable_domain(host))) == wanted


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    _extract.cache_clear()
    registrable_domain.cache_clear()
    assert registrable_domain("www.example.org") == "example.org"
