"""The doctor: each kind of trouble is found, named, and comes with what to do."""

from __future__ import annotations

import datetime
import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy import doctor
from proxy.cli import app
from proxy.config import Config
from proxy.doctor import Check, State, examine
from proxy.statefile import write_object
from proxy.tunnel.refusals import Refusals

ENGINES = json.dumps({"engines": {"preview": None, "sketch": "torch is not installed"}, "best": "preview"})


@pytest.fixture
def config(tmp_path: Path, fast_probes: None) -> Config:
    """Everything below a folder of the test's, with free ports."""
    default = Config()
    return replace(
        default,
        upstream=replace(default.upstream, listen_port=0, state_dir=str(tmp_path / "u")),
        downstream=replace(
            default.downstream,
            listen_port=0,
            state_dir=str(tmp_path / "d"),
            upstream="http://127.0.0.1:9",
            upstream_ca=str(tmp_path / "u" / "mitmproxy-ca-cert.pem"),
            runtime="",
        ),
        runtime=replace(default.runtime, listen_port=0, state_dir=str(tmp_path / "r")),
    )


@pytest.fixture
def fast_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers at once what torch and the engines would say."""
    torch = {"cuda": None, "threads": 2, "bf16": False, "cpu": "AVX2"}
    monkeypatch.setattr(doctor, "_probe", lambda script: torch if "torch" in script else json.loads(ENGINES))


def find(config: Config, area: str, name: str) -> Check:
    return next(check for check in examine(config) if (check.area, check.name) == (area, name))


def certificate(path: Path, days: int) -> Path:
    """A self-signed CA certificate that is good for `days` (negative: it ended)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(built.public_bytes(Encoding.PEM))
    return path


def test_a_fresh_machine_has_nothing_broken(config: Config) -> None:
    broken = [check for check in examine(config) if check.state is State.BROKEN]
    assert broken == []


def test_every_area_is_covered(config: Config) -> None:
    areas = {check.area for check in examine(config)}
    known = {"installation", "codecs", "detectors", "folders", "certificates", "network", "browser", "engines"}
    assert areas >= known | {"access", "bypass"}


def test_an_open_proxy_is_broken_and_a_readable_link_is_told(config: Config) -> None:
    opened = replace(
        config,
        upstream=replace(config.upstream, listen_host="0.0.0.0"),
        downstream=replace(config.downstream, upstream="http://up.example.org:8081"),
    )
    found = {check.name: check for check in examine(opened) if check.area == "access"}
    assert found["upstream access"].state is State.BROKEN and "open proxy" in found["upstream access"].detail
    assert found["downstream access"].state is State.OK
    assert found["the link"].state is State.WARNING and "pairing token" in found["the link"].detail


def test_what_is_left_alone_is_listed(config: Config, tmp_path: Path) -> None:
    def learnt() -> str:
        return {check.name: check.detail for check in examine(config) if check.area == "bypass"}["learnt"]

    assert learnt().startswith("no host")
    refusals = Refusals(b"key")
    refusals.accepted("client", "other.test")
    for _ in range(2):
        refusals.refused("client", "app.test", time.time())
    file = tmp_path / "d" / "refusals.json"
    file.parent.mkdir()
    write_object(file, refusals.saved(time.time()))
    assert learnt().startswith("1 hosts")
    file.write_text("broken")
    assert learnt().startswith("no host") and file.read_text() == "broken", "the doctor changes nothing"


def test_every_problem_says_what_to_do(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: None)
    missing = [check for check in examine(config) if check.area == "installation" and check.state is not State.OK]
    assert {"numpy", "mitmproxy", "torch"} <= {check.name for check in missing}
    assert all("pip install" in check.remedy for check in missing)
    states = {check.name: check.state for check in missing}
    assert (states["numpy"], states["mitmproxy"], states["torch"]) == (State.BROKEN, State.BROKEN, State.NOTE)


def test_the_python_version_of_jbig2_is_a_warning(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.bundle.jbig2.IMPLEMENTATION", "python")
    assert find(config, "codecs", "jbig2").state is State.WARNING


def test_a_codec_that_is_missing_is_broken(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda name: name != "avif")
    assert find(config, "codecs", "avif").state is State.BROKEN
    assert find(config, "codecs", "webp").state is State.OK


def test_folders(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "made at first start" in find(config, "folders", "upstream state").detail
    (tmp_path / "u").mkdir(mode=0o755)
    (tmp_path / "u").chmod(0o755)
    open_to_others = find(config, "folders", "upstream state")
    assert open_to_others.state is State.WARNING and open_to_others.remedy == f"chmod 700 {tmp_path / 'u'}"
    (tmp_path / "u").chmod(0o700)
    assert find(config, "folders", "upstream state").state is State.OK
    (tmp_path / "r").write_text("a file")
    assert find(config, "folders", "runtime state").state is State.BROKEN
    full = type("Usage", (), {"free": 5_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    assert find(config, "folders", "upstream state").state is State.BROKEN


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights(config: Config, tmp_path: Path) -> None:
    (tmp_path / "u").mkdir(mode=0o500)
    assert find(config, "folders", "upstream state").state is State.BROKEN


@pytest.mark.parametrize(("days", "state"), [(300, State.OK), (10, State.WARNING), (-3, State.BROKEN)])
def test_certificates_by_age(config: Config, days: int, state: State) -> None:
    certificate(Path(config.downstream.upstream_ca), days)
    assert find(config, "certificates", "upstream's CA").state is state


@pytest.mark.parametrize("content", ["", "rubbish", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_no_certificate_is_broken(config: Config, content: str) -> None:
    file = Path(config.downstream.upstream_ca)
    file.parent.mkdir()
    file.write_text(content)
    found = find(config, "certificates", "upstream's CA")
    assert found.state is State.BROKEN and found.remedy


def test_an_extra_ca_that_is_missing_is_broken(config: Config, tmp_path: Path) -> None:
    config = replace(config, upstream=replace(config.upstream, origin_ca=str(tmp_path / "none.pem")))
    assert find(config, "certificates", "origins' CA").state is State.BROKEN


def test_ports(config: Config) -> None:
    assert find(config, "network", "upstream port").detail == "any free one"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = replace(config, upstream=replace(config.upstream, listen_port=port))
        found = find(taken, "network", "upstream port")
        assert (
            found.state is State.BROKEN
            and str(os.getpid()) in found.detail
            and "listen_port in [upstream]" in found.remedy
        )
        config = replace(config, downstream=replace(config.downstream, upstream=f"http://127.0.0.1:{port}"))
        assert find(config, "network", "upstream").state is State.OK
    assert find(taken, "network", "upstream port").state is State.OK
    assert find(config, "network", "upstream").state is State.NOTE


@pytest.fixture
def runtime() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"engine": "sketch", "fingerprint": "0123abcd"}' if self.path == "/v1/capabilities" else b"[]"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_runtime_is_asked(config: Config, runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # must not be used for our own parts
    config = replace(config, downstream=replace(config.downstream, runtime=runtime))
    found = find(config, "network", "runtime")
    assert found.state is State.OK and "sketch@0123abcd" in found.detail
    wrong = replace(config, downstream=replace(config.downstream, runtime=f"{runtime}/elsewhere"))
    assert find(wrong, "network", "runtime").state is State.NOTE


def test_engines(config: Config) -> None:
    assert "what auto takes" in find(config, "engines", "preview").detail
    assert find(config, "engines", "sketch").state is State.NOTE
    wanted = replace(config, runtime=replace(config.runtime, engine="sketch"))
    assert find(wanted, "engines", "sketch").state is State.BROKEN


def test_a_probe_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._probe("import no_such_module_anywhere")["error"].startswith("ModuleNotFoundError")
    assert doctor._probe("import os; os.abort()")["error"].startswith("ended with -")
    assert doctor._probe("print('{\"a\": 1}')") == {"a": 1}
    monkeypatch.setattr(doctor, "PROBE_S", 0.2)
    assert "no answer" in doctor._probe("import time; time.sleep(60)")["error"]


def test_the_engines_really_answer() -> None:
    found = doctor._probe(doctor.ENGINES_PROBE)
    assert found["engines"]["preview"] is None


def test_one_check_that_breaks_does_not_hide_the_others(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: Config) -> Any:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(doctor, "_folders", broken)
    checks = list(examine(config))
    assert any(check.area == "folders" and "ZeroDivisionError: oh" in check.detail for check in checks)
    assert any(check.area == "engines" for check in checks)


def settings(tmp_path: Path, text: str = "") -> Path:
    file = tmp_path / "c.toml"
    parts = [f'[{r}]\nstate_dir = "{tmp_path / r}"\nlisten_port = 0\n' for r in ("upstream", "downstream", "runtime")]
    file.write_text("".join(parts) + text)
    return file


def test_the_command_says_all_is_well(tmp_path: Path, fast_probes: None) -> None:
    result = CliRunner().invoke(app, ["doctor", "-c", str(settings(tmp_path))])
    assert result.exit_code == 0 and "Everything needed works" in result.stdout and "✓" in result.stdout


def test_the_command_exits_1_when_something_needed_is_broken(tmp_path: Path, fast_probes: None) -> None:
    (tmp_path / "upstream").write_text("in the way")
    result = CliRunner().invoke(app, ["doctor", "-c", str(settings(tmp_path))])
    assert result.exit_code == 1 and "upstream state" in result.stdout and "→" in result.stdout
    as_json = CliRunner().invoke(app, ["doctor", "--json", "-c", str(settings(tmp_path))])
    found = json.loads(as_json.stdout)
    assert as_json.exit_code == 1 and found["ok"] is False
    assert {"area": "folders", "name": "upstream state", "state": "broken"}.items() <= next(
        check for check in found["checks"] if check["name"] == "upstream state"
    ).items()
