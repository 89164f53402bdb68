"""The demonstration from beginning to end.

In: options. Out: a table, a gallery, sums; then a pair that keeps running for a person to browse. Refuses: to call a
run with a broken or wrongly drawn image a success.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from proxy.demo.browser import Screenshots, find_chromium, look_yourself, screenshot_pages
from proxy.demo.certificates import make_certificates
from proxy.demo.gallery import write_gallery
from proxy.demo.origin import HOST, Origin, serve
from proxy.demo.pair import Pair, PairFailed, running_pair
from proxy.demo.results import ImageResult, Totals, image_result, match_rows, totals
from proxy.demo.site import DemoSite, build_site
from proxy.demo.table import results_table
from proxy.demo.visit import Delivered, visit

_LEDGER_LIMIT_S = 5.0
_LEDGER_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """What to do. `out` gets the site, the gallery and report.json; `max_pages` None visits all pages."""

    out: Path
    once: bool = False
    max_pages: int | None = None
    screenshots: bool = True
    port: int = 0
    mode: str = "auto"


async def run(options: Options, console: Console) -> Totals:
    """Run the demonstration; unless `once`, return only after SIGINT or SIGTERM. Raises DemoIncomplete, PairFailed."""
    _end_on_sigterm()
    site = await asyncio.to_thread(build_site, options.out / "site")
    with tempfile.TemporaryDirectory(prefix="sketchwire-demo-", ignore_cleanup_errors=True) as private:
        certificates = make_certificates(Path(private) / "origin", HOST)
        async with serve(site, certificates) as origin:
            console.print("starting both proxies and the runtime", style="dim")
            async with running_pair(origin, Path(private) / "state", options.port, options.mode) as pair:
                sums = await _show(options, console, site, origin, pair)
                if not options.once:
                    _invite(console, pair, origin)
                    await _until_interrupted(pair)
    return sums


async def _show(options: Options, console: Console, site: DemoSite, origin: Origin, pair: Pair) -> Totals:
    delivered: list[Delivered] = []
    started_s = time.perf_counter()
    with console.status("loading the newspaper through the pair") as status:
        async for item in visit(origin, site, ca=pair.ca, proxy=pair.url, max_pages=options.max_pages):
            delivered.append(item)
            status.update(f"loading the newspaper through the pair: {item.image.name}")
    visit_ms = (time.perf_counter() - started_s) * 1000
    results = await _with_rows(site, pair, delivered)
    sums = totals(results, visit_ms)
    console.print(results_table(results, sums))
    for result in results:
        if result.problem:
            console.print(f"[red]broken[/] {result.image.name}: {escape(result.problem)}")
    shots = await _screenshots(options, console, site, origin, pair)
    page = write_gallery(options.out / "gallery", site, results, sums, shots)
    (options.out / "report.json").write_text(report(results, sums), encoding="utf-8")
    console.print(f"before and after: [bold]{escape(page.absolute().as_uri())}[/]", soft_wrap=True)
    return sums


async def _with_rows(site: DemoSite, pair: Pair, delivered: list[Delivered]) -> list[ImageResult]:
    """Wait for the ledger, which is written a moment later, and put both sides together."""
    deadline_s = time.monotonic() + _LEDGER_LIMIT_S
    while True:
        rows = match_rows(delivered, [row for _, row in pair.rows()])
        if all(rows) or time.monotonic() > deadline_s:
            break
        await asyncio.sleep(_LEDGER_POLL_S)
    return [image_result(item, row, site.file(item.image.path)) for item, row in zip(delivered, rows, strict=True)]


async def _screenshots(
    options: Options, console: Console, site: DemoSite, origin: Origin, pair: Pair
) -> list[Screenshots]:
    chromium = find_chromium() if options.screenshots else None
    if chromium is None:
        if options.screenshots:
            console.print("no Chromium found: the gallery has no screenshots of whole pages", style="dim")
        return []
    with console.status("taking screenshots of the pages, without and with the pair"):
        pages = [page for page in site.pages[: options.max_pages] if page.path != "/credits.html"]
        return await screenshot_pages(chromium, origin, pair, pages, options.out / "gallery" / "pages")


def report(results: list[ImageResult], sums: Totals) -> str:
    """All results as JSON, for machines; no image bytes."""
    images = [
        {
            "name": r.image.name,
            "kind": r.image.kind,
            "must_stay_real": r.image.must_stay_real,
            "decision": r.decision,
            "reason": r.reason,
            "mode": r.mode,
            "engine": r.engine,
            "origin_bytes": r.image.size_bytes,
            "link_bytes": r.link_bytes,
            "delivered_bytes": len(r.body),
            "ms": round(r.elapsed_ms, 1),
            "encode_ms": r.encode_ms,
            "reconstruct_ms": r.reconstruct_ms,
            "problem": r.problem,
        }
        for r in results
    ]
    return json.dumps({"totals": sums.as_json(), "images": images}, indent=1) + "\n"


def _invite(console: Console, pair: Pair, origin: Origin) -> None:
    console.print()
    console.print("[bold]Look for yourself.[/] The pair keeps running until Ctrl-C.")
    console.print(f"  newspaper        {origin.url('/')}  (or {origin.url('/', 'http')})")
    console.print(f"  HTTP and HTTPS proxy of your browser   [bold]127.0.0.1:{pair.port}[/]")
    console.print(f"  CA certificate to trust, for as long as you try   {escape(str(pair.ca))}", soft_wrap=True)
    console.print("  or a Chromium with a profile of its own, nothing to set:")
    console.print(f"  {escape(look_yourself(pair, origin, find_chromium()))}", soft_wrap=True, highlight=False)


async def _until_interrupted(pair: Pair) -> None:
    """Return when this task is cancelled, which Ctrl-C and SIGTERM do; raise PairFailed when the pair goes away."""
    task = asyncio.current_task()
    try:
        status = await pair.process.wait()
    except asyncio.CancelledError:
        if task is not None:
            task.uncancel()
        return
    raise PairFailed(f"`sketchwire up` ended with status {status}")


def _end_on_sigterm() -> None:
    """Let SIGTERM do what asyncio.run lets Ctrl-C do: cancel this task, so that the pair is stopped on the way out."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
