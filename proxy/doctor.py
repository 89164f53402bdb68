"""Finds out what works on this machine.

In: a configuration. Out: `Check`s, each with what was found and, where that is not good, what to do about it. Refuses:
nothing; a check that itself goes wrong is reported as broken. Nothing is changed and nothing is started.

Other packages (torch, the engines) are asked in a process of their own: they are slow to import and may crash.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import ssl
import stat
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from proxy import __version__, ports
from proxy.access.admission import AdmissionError, Role, why_readable
from proxy.config import Config
from proxy.onboarding.certificate import read_certificate
from proxy.statefile import read_object
from proxy.subscribers.admission import read as read_admission
from proxy.tunnel.refusals import in_force

PROBE_S = 90.0
LOW_DISK_BYTES, NO_DISK_BYTES = 2 * 1024**3, 100 * 1024**2
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "firefox", "msedge")
REQUIRED = ("aiohttp", "brotli", "numpy", "opencv-python-headless", "pillow", "rich", "typer")
OPTIONAL = {
    "mitmproxy": ("the proxies cannot run", "downstream"),
    "beautifulsoup4": ("no prompts from page text", "downstream"),
    "torch": ("reconstructions are previews only", "runtime"),
    "diffusers": ("no diffusion engine", "runtime"),
    "openai": ("no captions from a language model", "upstream"),
    "imagecodecs": ("no JPEG XL baselines in evaluations", "evaluate"),
}
TORCH_PROBE = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({"cuda": torch.cuda.get_device_name(0) if cuda else None, "threads": torch.get_num_threads(),
                  "bf16": cuda and torch.cuda.is_bf16_supported(), "cpu": torch.backends.cpu.get_cpu_capability()}))
"""
ENGINES_PROBE = """
import importlib.util, json
if importlib.util.find_spec("client_runtime") is None:
    print(json.dumps({"absent": True}))
    raise SystemExit
from client_runtime.engines import available, best_available
print(json.dumps({"engines": {each.engine: each.reason for each in available()}, "best": best_available()}))
"""


class State(StrEnum):
    """How a check ended. Only `BROKEN` stands for something needed that does not work."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; `remedy` says what to do when `state` is not ok."""

    area: str
    name: str
    state: State
    detail: str
    remedy: str = ""


def examine(config: Config) -> Iterator[Check]:
    """All checks, one after another; the slow ones come last."""
    areas: dict[str, Callable[[Config], Iterable[Check]]] = {
        "installation": _installation,
        "codecs": _codecs,
        "detectors": _detectors,
        "folders": _folders,
        "certificates": _certificates,
        "access": _access,
        "bypass": _bypass,
        "network": _network,
        "browser": _browser,
        "engines": _engines,
    }
    for area, check in areas.items():
        try:
            yield from check(config)
        except Exception as error:  # one broken check must not hide the others
            yield Check(
                area, "check", State.BROKEN, f"could not be made: {type(error).__name__}: {error}", "report this"
            )


def _installation(config: Config) -> Iterator[Check]:
    area = "installation"
    good = sys.version_info >= (3, 11)
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Check(area, "python", State.OK if good else State.BROKEN, detail, "" if good else "use Python 3.11 or later")
    yield Check(area, "sketchwire", State.OK, __version__)
    for package in REQUIRED:
        found = _version(package)
        if found is None:
            yield Check(area, package, State.BROKEN, "not installed", "pip install sketchwire")
        else:
            yield Check(area, package, State.OK, found)
    for package, (without, extra) in OPTIONAL.items():
        found = _version(package)
        if found is None:
            state = State.BROKEN if package == "mitmproxy" else State.NOTE
            yield Check(area, package, state, f"not installed: {without}", f"pip install 'sketchwire[{extra}]'")
        else:
            yield Check(area, package, State.OK, found)


def _codecs(config: Config) -> Iterator[Check]:
    import numpy as np
    from PIL import features

    from proxy.bundle import jbig2

    for name in ("avif", "webp"):
        works = features.check(name)
        detail = f"Pillow {'has' if works else 'lacks'} it"
        remedy = "" if works else "install Pillow's own wheel: pip install --force-reinstall 'pillow>=11.3'"
        yield Check("codecs", name, State.OK if works else State.BROKEN, detail, remedy)
    bitmap = np.zeros((32, 32), dtype=np.bool_)
    bitmap[8, 4:28] = bitmap[4:28, 8] = True
    same = bool(np.array_equal(jbig2.decode(jbig2.encode(bitmap), 32, 32), bitmap))
    compiled = jbig2.IMPLEMENTATION == "c"
    if not same:
        yield Check("codecs", "jbig2", State.BROKEN, "does not give back what it was given", "report this")
    elif compiled:
        yield Check("codecs", "jbig2", State.OK, "compiled (C)")
    else:
        remedy = "install a C compiler and reinstall sketchwire"
        yield Check("codecs", "jbig2", State.WARNING, "pure Python: edge maps take many times longer", remedy)


def _detectors(config: Config) -> Iterator[Check]:
    from proxy.encode.salient import available

    for name, works in available().items():
        if works:
            yield Check("detectors", name, State.OK, "found and sent as real pixels")
        else:
            remedy = "on the upstream machine: pip install 'sketchwire[detect]'"
            yield Check("detectors", name, State.WARNING, "not looked for: its package is missing", remedy)


def _folders(config: Config) -> Iterator[Check]:
    for role in ("upstream", "downstream", "runtime"):
        folder = Path(getattr(config, role).state_dir).expanduser()
        existing = next(each for each in (folder, *folder.parents) if each.exists())
        name = f"{role} state"
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            remedy = f"make it writable, or set state_dir in [{role}]"
            yield Check("folders", name, State.BROKEN, f"{existing} is no folder that can be written to", remedy)
            continue
        free = shutil.disk_usage(existing).free
        space = f"{free / 1e9:.1f} GB free"
        if free < NO_DISK_BYTES:
            yield Check("folders", name, State.BROKEN, f"{folder}: {space}", "free some disk space")
        elif folder.exists() and stat.S_IMODE(folder.stat().st_mode) & 0o077:
            mode = stat.S_IMODE(folder.stat().st_mode)
            yield Check("folders", name, State.WARNING, f"{folder} is open to others ({mode:o})", f"chmod 700 {folder}")
        elif free < LOW_DISK_BYTES:
            yield Check("folders", name, State.WARNING, f"{folder}: {space}", "free some disk space")
        else:
            yield Check(
                "folders", name, State.OK, f"{folder}{'' if folder.exists() else ' (made at first start)'}: {space}"
            )


def _certificates(config: Config) -> Iterator[Check]:
    file = Path(config.downstream.upstream_ca).expanduser()
    if file.exists():
        yield _certificate(
            "upstream's CA", file, "copy it again from the upstream machine, or set upstream_ca in [downstream]"
        )
    else:
        remedy = "it is made when upstream first starts; if that is another machine, copy the file from there"
        yield Check("certificates", "upstream's CA", State.NOTE, f"{file} is not there yet", remedy)
    own = Path(config.downstream.state_dir).expanduser() / "mitmproxy-ca-cert.pem"
    if own.exists():
        yield _certificate("browser's CA", own, f"remove {own.parent} and let browsers trust the new CA")
        yield Check(
            "certificates", "its fingerprint", State.OK, f"SHA-256 {read_certificate(own.read_bytes()).fingerprint}"
        )
    else:
        yield Check("certificates", "browser's CA", State.NOTE, f"{own} is made when downstream first starts")
    if config.upstream.origin_ca:
        extra = Path(config.upstream.origin_ca).expanduser()
        yield _certificate("origins' CA", extra, "correct origin_ca in [upstream], or leave it empty")


def _certificate(name: str, file: Path, remedy: str) -> Check:
    area = "certificates"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=file)
        ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        return Check(area, name, State.BROKEN, f"{file}: {error}", remedy)
    if not ends:
        return Check(area, name, State.BROKEN, f"{file} holds no CA certificate", remedy)
    days = (min(ends) - time.time()) / 86_400
    if days < 0:
        return Check(area, name, State.BROKEN, f"{file} ended {-days:.0f} days ago", remedy)
    return Check(area, name, State.OK if days > 30 else State.WARNING, f"{file}, good for {days:.0f} days", "")


def _access(config: Config) -> Iterator[Check]:
    roles: tuple[Role, ...] = ("upstream", "downstream")
    for role in roles:
        host = getattr(config, role).listen_host
        try:
            admitted = read_admission(config, role)
        except AdmissionError as error:
            yield Check("access", f"{role} access", State.BROKEN, str(error), "it does not start like this")
            continue
        if role == "upstream":
            marks = admitted.tokens.marks if admitted.tokens else ()
            known = f"downstreams with the token {' or '.join(marks)}" if marks else "everybody on this machine"
        else:
            known = f"{len(admitted.users.hashes)} users with passwords" if admitted.users else "everybody who connects"
        yield Check("access", f"{role} access", State.OK, f"{host} serves {known}")
    readable = why_readable(config)
    if readable is not None:
        remedy = "use the h2 link, an https:// upstream, or a VPN between the machines"
        yield Check("access", "the link", State.WARNING, readable, remedy)


def _bypass(config: Config) -> Iterator[Check]:
    try:
        hosts = read_admission(config, "downstream").bypass
    except AdmissionError:
        return  # told above
    counts = ", ".join(f"{count} {group}" for group, count in hosts.counts().items())
    origin = config.access.bypass_file or "the shipped list"
    yield Check("bypass", "left alone", State.OK, f"{origin}: {counts or 'nothing'}")
    learnt = read_object(Path(config.downstream.state_dir).expanduser() / "refusals.json", move_aside=False)
    until = in_force(learnt, time.time())
    if until:
        last = time.strftime("%Y-%m-%d %H:%M", time.localtime(until[-1]))
        detail = f"{len(until)} hosts whose clients refuse our certificate (kept as digests), the last until {last}"
        yield Check("bypass", "learnt", State.OK, detail)
    else:
        yield Check("bypass", "learnt", State.OK, "no host whose clients refuse our certificate")


def _network(config: Config) -> Iterator[Check]:
    for role in ("downstream", "upstream", "runtime"):
        part = getattr(config, role)
        yield _port(role, part.listen_host, part.listen_port)
    runtime = config.downstream.runtime
    if not runtime:
        yield Check("network", "runtime", State.NOTE, "not used: previews only", "set runtime in [downstream]")
    else:
        try:
            told = _fetch_json(f"{runtime.rstrip('/')}/v1/capabilities")
            yield Check(
                "network", "runtime", State.OK, f"{runtime} answers: {told.get('engine')}@{told.get('fingerprint')}"
            )
        except (OSError, ValueError) as error:
            remedy = "start it with `sketchwire up` or `sketchwire runtime`"
            yield Check("network", "runtime", State.NOTE, f"{runtime} does not answer ({_short(error)})", remedy)
    upstream = urllib.parse.urlsplit(config.downstream.upstream)
    port = upstream.port or (443 if upstream.scheme == "https" else 80)
    if ports.connectable(upstream.hostname or "", port, timeout_s=3.0):
        yield Check("network", "upstream", State.OK, f"{config.downstream.upstream} accepts connections")
    else:
        remedy = "start it with `sketchwire up` or `sketchwire upstream`, or correct upstream in [downstream]"
        yield Check("network", "upstream", State.NOTE, f"{config.downstream.upstream} does not answer", remedy)


def _port(role: str, host: str, port: int) -> Check:
    name = f"{role} port"
    if port == 0:
        return Check("network", name, State.OK, "any free one")
    problem = ports.why_not_bindable(host, port)
    if problem is None:
        return Check("network", name, State.OK, f"{host}:{port} is free")
    holder = ports.holder(port)
    if holder is not None and holder.ours:
        return Check("network", name, State.OK, f"{host}:{port} is in use by Sketchwire, {holder}")
    state = State.WARNING if holder is None and problem.startswith("in use") else State.BROKEN
    return Check("network", name, state, f"{host}:{port}: {problem}", f"stop that, or set listen_port in [{role}]")


def _browser(config: Config) -> Iterator[Check]:
    found = [name for name in BROWSERS if shutil.which(name)]
    if found:
        yield Check("browser", "browser", State.OK, ", ".join(found))
    else:
        yield Check(
            "browser", "browser", State.NOTE, "none on this machine", "browse from another, or install chromium"
        )


def _engines(config: Config) -> Iterator[Check]:
    if _version("torch") is not None:
        found = _probe(TORCH_PROBE)
        if "error" in found:
            remedy = "pip install --force-reinstall torch==2.13.0"
            yield Check("engines", "torch", State.WARNING, f"cannot be imported: {found['error']}", remedy)
        else:
            device = found["cuda"] or f"CPU ({found['cpu']}), {found['threads']} threads"
            bf16 = found["bf16"] or "amx_bf16" in _cpu_flags()
            yield Check("engines", "torch", State.OK, f"{device}, bf16 {'fast' if bf16 else 'not faster than fp32'}")
    found = _probe(ENGINES_PROBE)
    if "absent" in found:
        yield Check("engines", "runtime", State.NOTE, "not part of this installation")
        return
    if "error" in found:
        yield Check("engines", "runtime", State.BROKEN, f"cannot be imported: {found['error']}", "reinstall sketchwire")
        return
    for engine, reason in found["engines"].items():
        chosen = " (what auto takes)" if engine == found["best"] else ""
        if reason is None:
            yield Check("engines", engine, State.OK, f"works here{chosen}")
        else:
            wanted = config.runtime.engine == engine
            yield Check("engines", engine, State.BROKEN if wanted else State.NOTE, f"does not work here: {reason}")


def _probe(script: str) -> dict[str, Any]:
    """What `script` prints as JSON; {"error": …} when it fails."""
    try:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PROBE_S)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {PROBE_S:g} s"}
    try:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    except (ValueError, IndexError):
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1] if lines else f"ended with {done.returncode}"}


def _fetch_json(address: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=3.0) as answer:
        found = json.loads(answer.read(65_536))
    if not isinstance(found, dict):
        raise ValueError("not a runtime's answer")
    return found


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _short(error: Exception) -> str:
    return str(getattr(error, "reason", error))
