from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import certifi
import pytest

from addons.run import StartError, run_downstream, run_upstream
from proxy.config import Config, load


def config(tmp_path: Path, **upstream: object) -> Config:
    return load(None, {"upstream": {"state_dir": str(tmp_path / "up")} | upstream})


def test_a_port_in_use_names_it_and_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port}: in use.*--port"):
            run_upstream(config(tmp_path, listen_port=port))


def test_a_missing_upstream_ca_says_where_to_get_it(tmp_path: Path) -> None:
    settings = load(None, {"downstream": {"state_dir": str(tmp_path), "upstream_ca": str(tmp_path / "none.pem")}})
    with pytest.raises(StartError, match=r"none\.pem cannot be used.*copy mitmproxy-ca-cert\.pem"):
        run_downstream(settings)


def test_origin_ca_must_hold_certificates(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(StartError, match="origin_ca"):
        run_upstream(config(tmp_path, origin_ca=str(file)))


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "up").write_text("")
    with pytest.raises(StartError, match="state_dir"):
        run_upstream(config(tmp_path))


def test_trust_is_public_plus_own_and_state_is_private(tmp_path: Path) -> None:
    extra = tmp_path / "extra.pem"
    extra.write_bytes(Path(certifi.where()).read_bytes()[:50_000].rpartition(b"-----END CERTIFICATE-----")[0])
    extra.write_bytes(extra.read_bytes() + b"-----END CERTIFICATE-----\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = config(tmp_path, origin_ca=str(extra), listen_port=taken.getsockname()[1])
        with pytest.raises(StartError, match="in use"):
            run_upstream(replace(settings))
    combined = tmp_path / "up" / "origin-trust.pem"
    assert combined.read_bytes() == Path(certifi.where()).read_bytes() + b"\n" + extra.read_bytes()
    assert combined.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "up").stat().st_mode & 0o777 == 0o700
