"""No configuration makes an open proxy: what would is refused before anything listens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from addons.run import StartError, run_downstream, run_upstream
from proxy.access.admission import AdmissionError, read_admission, why_readable
from proxy.access.exposure import is_loopback
from proxy.access.htpasswd import set_password
from proxy.access.pairing import rotate
from proxy.config import load

EVERYWHERE = (
    "0.0.0.0",
    "::",
    "",
    "[::]",
    "192.168.1.5",
    "10.0.0.1",
    "fe80::1%eth0",
    "203.0.113.7",
    "proxy.example.org",
)


@pytest.mark.parametrize("host", EVERYWHERE)
@pytest.mark.parametrize("role", ["upstream", "downstream"])
def test_nobody_starts_an_open_proxy(tmp_path: Path, role: str, host: str) -> None:
    ca = str(tmp_path / "none.pem")
    tables: dict[str, Any] = {role: {"listen_host": host, "listen_port": 0, "state_dir": str(tmp_path / "state")}}
    if role == "downstream":
        tables[role]["upstream_ca"] = ca
    start = run_upstream if role == "upstream" else run_downstream
    with pytest.raises(StartError, match=r"would be an open proxy.*sketchwire access"):
        start(load(None, tables))
    assert not (tmp_path / "state").exists(), "nothing was begun"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"])
def test_loopback_is_no_danger(host: str) -> None:
    assert is_loopback(host)
    for role in ("upstream", "downstream"):
        read_admission(load(None, {role: {"listen_host": host}}), role)  # type: ignore[arg-type]


def test_tokens_guard_upstream_and_passwords_downstream_and_not_the_other_way_round(tmp_path: Path) -> None:
    tokens, users = tmp_path / "tokens", tmp_path / "users"
    rotate(tokens)
    set_password(users, "alice", "correct horse")
    both = {"upstream": {"listen_host": "0.0.0.0"}, "downstream": {"listen_host": "0.0.0.0"}}
    paired = load(None, {**both, "access": {"pair_file": str(tokens)}})
    known = load(None, {**both, "access": {"proxyauth": str(users)}})
    assert read_admission(paired, "upstream").tokens is not None
    assert read_admission(known, "downstream").users is not None
    with pytest.raises(AdmissionError, match="downstream would be an open proxy"):
        read_admission(paired, "downstream")
    with pytest.raises(AdmissionError, match="upstream would be an open proxy"):
        read_admission(known, "upstream")


@pytest.mark.parametrize(
    ("key", "role"), [("pair_file", "upstream"), ("proxyauth", "downstream"), ("bypass_file", "downstream")]
)
def test_files_that_are_named_must_be_there(tmp_path: Path, key: str, role: str) -> None:
    with pytest.raises(AdmissionError, match=r"none"):
        read_admission(load(None, {"access": {key: str(tmp_path / "none")}}), role)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "readable"),
    [
        ("http://127.0.0.1:8081", False),
        ("http://[::1]:8081", False),
        ("https://up.example.org", False),
        ("http://up.example.org:8081", True),
        ("http://203.0.113.7", True),
    ],
)
def test_a_link_that_others_can_read_is_told(url: str, readable: bool) -> None:
    assert (why_readable(load(None, {"downstream": {"upstream": url}})) is not None) is readable
