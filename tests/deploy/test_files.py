"""The files for deployments, each through the validator of the program that reads it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "configs" / "deploy"
ROLES = ("upstream", "downstream", "runtime")
IMAGES = ("upstream", "downstream", "runtime-cpu", "runtime-cuda")


def program(name: str) -> str:
    """Where a validator is; the test is skipped without it."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def run(*command: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **more)


@pytest.mark.parametrize("role", ROLES)
def test_roles_configurations_load(role: str) -> None:
    config = load(DEPLOY / "roles" / f"{role}.toml")
    state_dir: str = getattr(config, role).state_dir
    assert state_dir == f"/var/lib/sketchwire/{role}"


@pytest.mark.parametrize("role", ROLES)
def test_what_kubernetes_mounts_loads_too(role: str, tmp_path: Path) -> None:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / f"10-{role}.yaml").read_text()))
    [text] = [d["data"][f"{role}.toml"] for d in documents if d["kind"] == "ConfigMap"]
    file = tmp_path / "role.toml"
    file.write_text(text)
    deployed, written = load(file), load(DEPLOY / "roles" / f"{role}.toml")
    differs = {"downstream": "downstream"}.get(role, "")
    for table in (*ROLES, "access", "ledger", "admin", "scale"):
        assert table == differs or getattr(deployed, table) == getattr(written, table)


def haproxy_check(text: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    return run(program("haproxy"), "-c", "-f", file)


def test_haproxy(tmp_path: Path) -> None:
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    checked = haproxy_check(text, tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert haproxy_check(text.replace("balance source", "balance sauce"), tmp_path).returncode != 0


def test_prometheus(tmp_path: Path) -> None:
    promtool = program("promtool")
    shutil.copy(ROOT / "configs" / "grafana" / "alerts.yml", tmp_path)
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    (tmp_path / "admin.token").write_text("a token for a test")
    file = tmp_path / "prometheus.yml"
    file.write_text(
        text.replace("/var/lib/sketchwire/secrets/", f"{tmp_path}/").replace("/etc/sketchwire/secrets/", f"{tmp_path}/")
    )
    checked = run(promtool, "check", "config", file)
    assert checked.returncode == 0, checked.stderr
    file.write_text(file.read_text().replace("scrape_configs", "scrap_configs"))
    assert run(promtool, "check", "config", file).returncode != 0


@pytest.mark.parametrize("role", ROLES)
def test_systemd(role: str, tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    unit = tmp_path / f"sketchwire-{role}.service"
    text = (DEPLOY / "systemd" / unit.name).read_text()
    # the program is not installed here; any other that exists does for the check
    unit.write_text(text.replace("/opt/sketchwire/bin/sketchwire", "/bin/true"))
    checked = run(analyze, "verify", "--man=no", unit)
    ours = [line for line in checked.stderr.splitlines() if "sketchwire" in line]
    assert not ours and checked.returncode == 0, checked.stderr
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=stricter"))
    assert "sketchwire" in run(analyze, "verify", "--man=no", unit).stderr


@pytest.mark.parametrize("role", ROLES)
def test_units_are_hardened(role: str, tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    unit = DEPLOY / "systemd" / f"sketchwire-{role}.service"
    checked = run(analyze, "security", "--offline=true", "--threshold=25", "--no-pager", unit)
    if "Unknown" in checked.stderr or "unrecognized" in checked.stderr:
        pytest.skip("this systemd-analyze cannot judge files")
    assert checked.returncode == 0, checked.stdout[-400:] + checked.stderr


def manifests() -> list[Path]:
    return sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def test_kubernetes(tmp_path: Path) -> None:
    validate = program("kubernetes-validate")
    checked = run(validate, "--strict", *manifests())
    assert checked.returncode == 0, checked.stdout + checked.stderr
    broken = tmp_path / "broken.yaml"
    broken.write_text(manifests()[1].read_text().replace("replicas: 2", "replicas: two"))
    assert run(validate, "--strict", broken).returncode != 0


def test_pods_run_as_nobody_in_particular_on_a_root_they_cannot_write() -> None:
    found = 0
    for path in manifests():
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] != "Deployment":
                continue
            pod = document["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert labels == document["spec"]["selector"]["matchLabels"]
            for container in pod["containers"]:
                guarded = container["securityContext"]
                assert guarded["readOnlyRootFilesystem"] and guarded["capabilities"] == {"drop": ["ALL"]}
                assert not guarded["allowPrivilegeEscalation"] and "memory" in container["resources"]["limits"]
                volumes = {volume["name"] for volume in pod["volumes"]}
                assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
                found += 1
    assert found == 4


def compose() -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return made


def test_compose_by_its_own_program() -> None:
    docker = program("docker")
    if run(docker, "compose", "version").returncode != 0:
        pytest.skip("this docker has no compose")
    checked = run(docker, "compose", "-f", DEPLOY / "compose.yaml", "config", "--quiet")
    assert checked.returncode == 0, checked.stderr


def test_compose() -> None:
    file = compose()
    services, volumes, networks = file["services"], file["volumes"], file["networks"]
    known = {
        "image",
        "build",
        "command",
        "user",
        "environment",
        "volumes",
        "ports",
        "networks",
        "depends_on",
        "restart",
    }
    known |= {"read_only", "cap_drop", "security_opt", "tmpfs", "stop_grace_period"}
    assert set(file) - {name for name in file if name.startswith("x-")} == {"name", "services", "networks", "volumes"}
    for name, service in services.items():
        assert set(service) <= known, name
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert set(service.get("depends_on", ())) <= set(services) and set(service["networks"]) <= set(networks), name
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in volumes if not source.startswith(".") else (
                "secrets" in source or (DEPLOY / source).exists()
            ), mount  # fmt: skip
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        else:
            assert "user" in service, f"{name}: an image of others must be told not to run as root"
    assert len(services) == 9


def test_names_in_the_files_agree() -> None:
    services = set(compose()["services"])
    haproxy = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    targets = [t for job in prometheus["scrape_configs"] for s in job["static_configs"] for t in s["targets"]]
    named = {target.split(":")[0] for target in targets}
    named |= set(re.findall(r"^\s+server \S+ ([\w-]+):", haproxy, re.MULTILINE))
    downstream = load(DEPLOY / "roles" / "downstream.toml").downstream
    urls = (downstream.runtime, *downstream.runtimes, downstream.upstream)
    named |= {url.split("//")[1].split(":")[0] for url in urls}
    shared = (load(DEPLOY / "roles" / "runtime.toml").runtime, load(DEPLOY / "roles" / "upstream.toml").upstream)
    named |= {each.shared_cache.split("//")[1].split(":")[0] for each in shared}
    assert len({each.shared_cache for each in shared}) == 2, "databases of their own"
    assert named <= services


@pytest.mark.parametrize("image", IMAGES)
def test_dockerfiles(image: str) -> None:
    file = DEPLOY / "docker" / f"Dockerfile.{image}"
    lines = [line for line in re.sub(r"\\\n", " ", file.read_text()).splitlines() if line and not line.startswith("#")]
    steps = [line.split(None, 1) for line in lines]
    assert {word for word, _ in steps} <= {
        "FROM",
        "RUN",
        "COPY",
        "USER",
        "VOLUME",
        "ENV",
        "EXPOSE",
        "ENTRYPOINT",
        "CMD",
    }
    assert [rest for word, rest in steps if word == "USER"][-1] == "10001:10001"
    assert [rest for word, rest in steps if word == "VOLUME"] == ["/var/lib/sketchwire"]
    assert any("install.sh " + image in rest for word, rest in steps if word == "RUN")
    for word, rest in steps:
        if word == "COPY" and not rest.startswith("--from"):
            assert (ROOT / rest.split()[0]).exists(), rest


@pytest.mark.parametrize("script", ["install.sh", "entry.sh"])
def test_scripts_are_sound_shell(script: str) -> None:
    path = DEPLOY / script
    assert path.stat().st_mode & stat.S_IXUSR
    checked = run("sh", "-n", path)
    assert checked.returncode == 0, checked.stderr


def test_install_names_its_roles() -> None:
    told = run(DEPLOY / "install.sh", "sidestream", "/nonexistent")
    assert told.returncode == 2 and "upstream downstream runtime-cpu runtime-cuda" in told.stderr


def test_entry_keeps_secrets_private_and_shares_the_authority(tmp_path: Path) -> None:
    program("openssl")
    mounted, home = tmp_path / "mounted", tmp_path / "home"
    mounted.mkdir()
    home.mkdir()
    ca = mounted / "upstream-ca.pem"
    made = run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=test", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    ca.write_text((tmp_path / "key.pem").read_text() + (tmp_path / "cert.pem").read_text())
    (mounted / "pair").write_text("token\n")
    (mounted / "pair").chmod(0o644)
    environment = {
        **os.environ,
        "HOME": str(home),
        "SKETCHWIRE_SECRETS": str(mounted),
        "SKETCHWIRE_PROGRAM": "/bin/echo",
    }
    for _ in range(2):  # a second start finds what the first left
        started = run(DEPLOY / "entry.sh", "upstream", "--config", "x.toml", env=environment)
        assert started.stdout == "upstream --config x.toml\n", started.stderr
    for file in (home / "secrets" / "pair", home / "upstream" / "mitmproxy-ca.pem"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (home / "upstream" / "mitmproxy-ca.pem").read_text() == ca.read_text()
    assert "PRIVATE" not in (home / "upstream" / "mitmproxy-ca-cert.pem").read_text()


@pytest.mark.skipif("SKETCHWIRE_DEPLOY_BUILD" not in os.environ, reason="takes minutes: set SKETCHWIRE_DEPLOY_BUILD=1")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("role", os.environ.get("SKETCHWIRE_DEPLOY_ROLES", "downstream").split(","))
def test_the_images_build_step_outside_docker(role: str, tmp_path: Path) -> None:
    made = subprocess.run([DEPLOY / "install.sh", role, tmp_path / "opt"], capture_output=True, text=True, timeout=1800)
    assert made.returncode == 0, made.stdout + made.stderr
    command = role.partition("-")[0]
    told = run(tmp_path / "opt" / "bin" / "sketchwire", command, "--help", cwd=tmp_path)
    assert told.returncode == 0 and "--config" in told.stdout
