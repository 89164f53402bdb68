"""The runner from beginning to end with a plain tunnel in place of the pair; and the seams to pair and browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import typer
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from proxy.config import load
from proxy.demo import commands
from proxy.demo import run as run_module
from proxy.demo.browser import find_chromium, look_yourself, public_key_hash, screenshot_pages
from proxy.demo.certificates import make_certificates
from proxy.demo.origin import HOST, Origin
from proxy.demo.pair import Pair, PairFailed, configuration, running_pair
from proxy.demo.results import Totals, totals
from proxy.demo.run import Options, run
from proxy.demo.site import DemoPage
from proxy.ledger.row import Row
from proxy.targets import Targets

ORIGIN = Origin(HOST, 1111, 2222, Path("ca.pem"), Path("leaf.pem"))
QUIET = Console(quiet=True)


@dataclass(frozen=True, slots=True)
class TunnelPair(Pair):
    """A pair that passes everything; its ledger says so."""

    images: Path

    def rows(self, after_id: int = 0) -> list[tuple[int, Row]]:
        sizes = [file.stat().st_size for file in self.images.iterdir()]
        skipped = [
            Row(time_s=0.0, role="downstream", decision="skipped", reason="no-gain", origin_bytes=n, link_bytes=n + 100)
            for n in sizes * len(sizes)  # whatever the order of the visit, it is in here
        ]
        return list(enumerate(skipped, 1))


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer CONNECT and pass bytes on to that port of this machine, whatever the name."""
    head = await reader.readuntil(b"\r\n\r\n")
    port = int(head.split()[1].rpartition(b":")[2])
    origin_reader, origin_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    await asyncio.gather(pump(reader, origin_writer), pump(origin_reader, writer))


@pytest.fixture
def tunnelled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[asyncio.subprocess.Process]:
    processes: list[asyncio.subprocess.Process] = []

    @contextlib.asynccontextmanager
    async def fake(origin: Origin, state: Path, port: int, mode: str) -> AsyncIterator[Pair]:
        server = await asyncio.start_server(tunnel, "127.0.0.1", port)
        process = await asyncio.create_subprocess_exec("sleep", "60")
        processes.append(process)
        listening = server.sockets[0].getsockname()[1]
        yield TunnelPair(listening, origin.ca, state / "none", process, tmp_path / "site" / "images")
        server.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    monkeypatch.setattr(run_module, "running_pair", fake)
    return processes


@pytest.mark.usefixtures("tunnelled")
async def test_once_writes_gallery_and_report_and_charges_the_heads(tmp_path: Path) -> None:
    sums = await run(Options(tmp_path, once=True, screenshots=False), QUIET)
    assert sums.images >= 12 and sums.eligible >= 8 and sums.broken == 0
    assert sums.skipped == sums.images and sums.reconstructed == 0
    assert sums.link_bytes == sums.origin_bytes + 100 * sums.images and sums.saved_percent < 0
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["totals"]["images"] == sums.images == len(told["images"])
    assert (tmp_path / "gallery" / "index.html").is_file()


@pytest.mark.usefixtures("tunnelled")
async def test_fewer_pages_have_fewer_images(tmp_path: Path) -> None:
    sums = await run(Options(tmp_path, once=True, max_pages=1, screenshots=False), QUIET)
    assert 4 <= sums.images < 12


async def test_it_keeps_running_until_interrupted(
    tmp_path: Path, tunnelled: list[asyncio.subprocess.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    invited = asyncio.Event()
    monkeypatch.setattr(run_module, "_invite", lambda *_: invited.set())
    task = asyncio.create_task(run(Options(tmp_path, max_pages=1, screenshots=False), QUIET))
    await asyncio.wait_for(invited.wait(), 30)
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    assert (await asyncio.wait_for(task, 10)).broken == 0
    assert tunnelled[0].returncode is not None, "the pair is stopped"


async def test_it_says_so_when_the_pair_goes_away(
    tmp_path: Path, tunnelled: list[asyncio.subprocess.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_invite", lambda *_: tunnelled[0].kill())
    with pytest.raises(PairFailed, match="ended with status"):
        await run(Options(tmp_path, max_pages=1, screenshots=False), QUIET)


def test_the_pairs_configuration_is_valid_and_opens_the_origin_only(tmp_path: Path) -> None:
    file = tmp_path / "demo.toml"
    file.write_text(configuration(ORIGIN, 8123, "edges"), encoding="utf-8")
    config = load(file)
    assert config.downstream.listen_port == 8123 and config.upstream.mode == "edges"
    assert config.upstream.listen_port == config.runtime.listen_port == 0
    targets = Targets.configured(config.upstream.allow_private_targets, config.upstream.hosts)
    assert targets.known_address(HOST) == "127.0.0.1"
    assert {port for _, port in targets.allowed} == {1111, 2222}


async def test_a_pair_that_does_not_start_ends_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no port is free >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(PairFailed, match=r"status 3:\s+no port is free"):
        async with running_pair(ORIGIN, tmp_path / "state"):
            pass
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


async def test_a_started_pair_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.dumps({"downstream": {"port": 8123, "ca": "/ca.pem", "pid": 1}})
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\necho '{told}' >\"$1\"\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    async with running_pair(ORIGIN, tmp_path / "state") as pair:
        assert pair.url == "http://127.0.0.1:8123" and pair.ca == Path("/ca.pem") and pair.rows() == []
        assert pair.process.returncode is None
    assert pair.process.returncode is not None


def _browser(folder: Path, body: str) -> str:
    program = folder / "chromium"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nargs = dict(a.partition('=')[::2] for a in sys.argv)\n{body}\n"
    )
    program.chmod(0o755)
    return str(program)


async def _shots(tmp_path: Path, body: str) -> list[Path]:
    certificates = make_certificates(tmp_path / "certificates", HOST)
    origin = Origin(HOST, 1, 2, certificates.ca, certificates.leaf)
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    pair = Pair(8123, certificates.ca, tmp_path / "none", process)
    pages = [DemoPage("/index.html", "Front")]
    shots = await screenshot_pages(_browser(tmp_path, body), origin, pair, pages, tmp_path / "pages")
    return [file for shot in shots for file in (shot.before, shot.after)]


async def test_screenshots_are_taken_without_and_with_the_pair_and_trimmed(tmp_path: Path) -> None:
    files = await _shots(
        tmp_path,
        "from PIL import Image\n"
        "image = Image.new('RGB', (100, 400), 'white')\n"
        "colour, height = ('red', 90) if '--proxy-server' in args else ('blue', 60)\n"
        "image.paste(colour, (0, 0, 100, height))\n"
        "assert '--ignore-certificate-errors-spki-list' in args and '--user-data-dir' in args\n"
        "image.save(args['--screenshot'])",
    )
    before, after = (Image.open(file).convert("RGB") for file in files)
    assert before.getpixel((1, 1)) == (0, 0, 255) and after.getpixel((1, 1)) == (255, 0, 0)
    assert before.size == after.size == (100, 130)


async def test_a_browser_that_fails_leaves_no_screenshot(tmp_path: Path) -> None:
    assert await _shots(tmp_path, "sys.exit(1)") == []


def test_chromium_is_looked_for_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_chromium() is None
    program = _browser(tmp_path, "")
    assert find_chromium() == program


async def test_the_command_to_look_yourself_is_complete(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, HOST)
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    line = look_yourself(Pair(8123, certificates.ca, tmp_path, process), ORIGIN, None)
    for part in ("chromium", "--proxy-server=http://127.0.0.1:8123", "'--proxy-bypass-list=<-loopback>'", HOST):
        assert part in line
    assert public_key_hash(certificates.ca) in line


def _command(monkeypatch: pytest.MonkeyPatch, outcome: Totals | Exception, *arguments: str) -> tuple[int, str, Options]:
    seen: list[Options] = []

    async def fake(options: Options, console: Console) -> Totals:
        seen.append(options)
        console.print("a table")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(run_module, "run", fake)
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.register(app)
    result = CliRunner().invoke(app, ["demo", *arguments])
    return result.exit_code, result.stdout, seen[0] if seen else Options(Path())


def test_json_is_the_last_line_and_alone_on_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output, options = _command(monkeypatch, totals([], 1.0), "--once", "--json", "--pages", "2", "--port", "9")
    assert code == 0 and options.once and options.max_pages == 2 and options.port == 9
    told = json.loads(output)
    for key in ("images", "eligible", "reconstructed", "skipped", "broken", "origin_bytes", "link_bytes",
                "delivered_bytes", "eligible_origin_bytes", "eligible_link_bytes", "ms"):  # fmt: skip
        assert key in told


def test_a_broken_image_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output, _ = _command(monkeypatch, replace(totals([], 1.0), broken=1), "--once", "--json")
    assert code == 1 and json.loads(output)["broken"] == 1


def test_what_the_user_can_do_is_said_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output, _ = _command(monkeypatch, PairFailed("port 8080 is taken"), "--once")
    assert code == 1 and "Traceback" not in output


def test_an_unknown_mode_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, _ = _command(monkeypatch, totals([], 1.0), "--mode", "magic")
    assert code == 2
