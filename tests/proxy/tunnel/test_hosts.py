from __future__ import annotations

from pathlib import Path

import pytest

from proxy.tunnel.hosts import BypassFileError, BypassList, read_list, shipped


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("paypal.com", "banking"),
        ("www.PayPal.com.", "banking"),
        ("my.branch.bank", "banking"),
        ("www.nhs.uk", "health"),
        ("www.irs.gov", "government"),
        ("www.gov.uk", "government"),
        ("tax.gov.pk", "government"),
        ("service.gov.au", "government"),
        ("accounts.google.com", "sign-in"),
        ("login.microsoftonline.com", "sign-in"),
        ("fe2.update.microsoft.com", "updates"),
        ("play.googleapis.com", "pinned"),
        ("www.google.com", None),
        ("notpaypal.com", None),
        ("paypal.com.evil.test", None),
        ("gov.evil.test", None),
        ("bank.evil.test", None),
        ("example.org", None),
        ("203.0.113.7", None),
        ("2001:db8::1", None),
        ("", None),
        ("uk", None),
    ],
)
def test_the_shipped_list(host: str, group: str | None) -> None:
    assert shipped().group(host) == group


def test_it_covers_what_it_says() -> None:
    counts = shipped().counts()
    assert set(counts) == {"banking", "health", "government", "sign-in", "updates", "pinned"}
    assert min(counts.values()) >= 20


def test_the_longest_entry_counts() -> None:
    hosts = BypassList({"example.org": "a", "private.example.org": "b"})
    assert hosts.group("x.private.example.org") == "b" and hosts.group("x.example.org") == "a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('own = ["com"]', r'write "\.com" for all of it'),
        ('own = ["Example.org"]', "lower case"),
        ('own = ["https://example.org"]', "no host name"),
        ('own = ["*.example.org"]', "no host name"),
        ("own = [1]", "list of names"),
        ("[own]\na = 1", "list of names"),
        ("own = ", "Invalid"),
    ],
)
def test_files_with_mistakes(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bypass.toml"
    file.write_text(text)
    with pytest.raises(BypassFileError, match=said):
        read_list(file)


def test_an_own_list(tmp_path: Path) -> None:
    file = tmp_path / "bypass.toml"
    file.write_text('own = ["example.org", ".test", "xn--bcher-kva.example"]\n')
    hosts = read_list(file)
    assert hosts.group("www.example.org") == hosts.group("a.test") == hosts.group("test") == "own"
    assert hosts.group("paypal.com") is None
