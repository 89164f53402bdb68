"""The report and the dashboard in a browser: desktop and phone, light and dark, with scripts and without.

Accessibility is checked where SKETCHWIRE_AXE names a file of axe-core (axe.min.js).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.admin.dashboard import Dashboard
from proxy.admin.live import Live
from proxy.admin.server import AdminServer, Metered
from proxy.admin.telling import Told, told
from proxy.config import ReportConfig
from proxy.ledger import Ledger
from proxy.ledger.read import Scope
from proxy.report.content import DAY_S, Wanted, gather
from proxy.report.document import render
from proxy.report.numbers import percent
from tests.e2e.chromium import BINARY, Browser, chromium
from tests.proxy.ledger.rows import row
from tests.proxy.report.synthetic import week

pytestmark = pytest.mark.skipif(BINARY is None, reason="chromium is not installed")

AXE = os.environ.get("SKETCHWIRE_AXE", "")
LOOKS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
_AXE = """axe.run(document, {resultTypes: ['violations']}).then(found => JSON.stringify(
  found.violations.map(one => [one.impact, one.id, one.nodes.map(node => node.html.slice(0, 120))])))"""
_CUT_OFF = """JSON.stringify([...document.querySelectorAll('h1,h2,p,dt,dd,b,strong,small,figcaption')]
  .filter(one => one.getClientRects().length && one.getBoundingClientRect().right > innerWidth + 1)
  .map(one => one.textContent.slice(0, 60)))"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Its URL, and the percentage it must show."""
    folder, now_s = tmp_path_factory.mktemp("report"), time.time()
    ledger = Ledger(folder / "l.sqlite", queue_rows=10_000, domains=True)
    for each in week(800, now_s, days=14.0):
        ledger.record(each)
    ledger.close(60)
    prices = ReportConfig(link_kbit_s=256, price_per_mb=0.02, drawing_price=0.05)
    now, then = (
        gather(folder / "l.sqlite", Wanted(now_s + 1, scope, prices, 3, quality_place=folder / "l.sqlite"))
        for scope in (Scope(now_s - 7 * DAY_S), Scope(now_s - 14 * DAY_S, now_s - 7 * DAY_S))
    )
    (folder / "r.html").write_text(render(now, then), encoding="utf-8")
    return (folder / "r.html").as_uri(), percent(now.summary.totals.saved_percent)


class Served:
    """A dashboard of a proxy that has just begun."""

    def __init__(self) -> None:
        self.live = Live(time.monotonic())
        for _ in range(30):
            self.live.observe(row(), time.monotonic())
        self.dashboard = Dashboard("downstream", self.tell, every_s=0.1)
        metered = Metered("text/plain", lambda: b"")
        self.server = AdminServer("127.0.0.1", 0, metered, routes=self.dashboard.routes())

    async def tell(self) -> Told:
        return told(self.live.now(time.monotonic()), None, [("engine", "sketch@0123abcd")])


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    await made.server.start()
    yield made
    made.dashboard.close()
    await made.server.stop()


async def dress(browser: Browser, width_px: int, scheme: str) -> None:
    size = {"width": width_px, "height": 900, "deviceScaleFactor": 1, "mobile": width_px < 500}
    await browser.call("Emulation.setDeviceMetricsOverride", **size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    await browser.call("Emulation.setEmulatedMedia", features=features)


async def looked_at(browser: Browser, url: str) -> None:
    """In every dress: nothing in the console, nothing cut off, colours that follow, no accessibility findings."""
    papers = set()
    for width_px, scheme in LOOKS:
        await dress(browser, width_px, scheme)
        await browser.load(url)
        assert browser.errors() == []
        assert await browser.evaluate("document.documentElement.scrollWidth") <= width_px
        assert json.loads(await browser.evaluate(_CUT_OFF)) == []
        papers.add((scheme, await browser.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert len(papers) == 2


async def test_the_report(report: tuple[str, str], tmp_path: Path) -> None:
    url, saved = report
    async with chromium(tmp_path) as browser:
        await looked_at(browser, url)
        await browser.call("Emulation.setScriptExecutionDisabled", value=True)
        await browser.load(url)
        text = await _text_without_scripts(browser)
    assert saved in text and "Money saved" in text and "crossed the link" in text


async def test_the_dashboard(served: Served, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{served.server.port}/"
    async with chromium(tmp_path) as browser, asyncio.timeout(100):
        await looked_at(browser, url)
        served.live.observe(row(origin_bytes=99_000_000), time.monotonic())
        while await browser.evaluate("document.getElementById('saved').textContent") != "100.0 %":
            await asyncio.sleep(0.05)
        assert await browser.evaluate("document.getElementById('state').textContent") == "live"
        await browser.call("Emulation.setScriptExecutionDisabled", value=True)
        await browser.load(url)
        text = await _text_without_scripts(browser)
    assert "100.0 %" in text and "sketch@0123abcd" in text


@pytest.mark.skipif(not Path(AXE).is_file(), reason="SKETCHWIRE_AXE does not name a file of axe-core")
async def test_accessibility(report: tuple[str, str], served: Served, tmp_path: Path) -> None:
    """No serious findings of axe-core, in every dress."""
    library = Path(AXE).read_text(encoding="utf-8") + "\n;0"
    async with chromium(tmp_path) as browser:
        for url in (report[0], f"http://127.0.0.1:{served.server.port}/"):
            for width_px, scheme in LOOKS:
                await dress(browser, width_px, scheme)
                await browser.load(url)
                await browser.evaluate(library)  # through the debugger, past the page's policy
                found = json.loads(await browser.evaluate(_AXE))
                assert [one for one in found if one[0] in ("serious", "critical")] == [], (url, width_px, scheme)


async def test_the_dashboard_loads_little(served: Served, tmp_path: Path) -> None:
    """What the browser itself counts on the wire, until the first event has come."""
    async with chromium(tmp_path) as browser, asyncio.timeout(60):
        await browser.call("Network.enable")
        await browser.load(f"http://127.0.0.1:{served.server.port}/")
        while await browser.evaluate("document.getElementById('state').textContent") != "live":
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        names = ("Network.responseReceived", "Network.dataReceived", "Network.loadingFinished")
        seen = [event for event in browser._events if event["method"] in names]
        heads = [event["params"]["response"] for event in seen if event["method"] == names[0]]
        loaded = sum(event["params"]["encodedDataLength"] for event in seen if event["method"] == names[2])
        streamed = sum(event["params"]["dataLength"] for event in seen if event["method"] == names[1])
    on_wire = [head for head in heads if head["url"].startswith("http")]
    assert sorted(head["url"].rpartition("/")[2] for head in on_wire) == [
        "", "dashboard.css", "dashboard.js", "events"
    ]  # fmt: skip
    assert 2_000 < loaded < 30_000 and streamed < 30_000  # the latter is unpacked, and has the stream


async def _text_without_scripts(browser: Browser) -> str:
    """The page's text by the debugger's own means: with scripts off, nothing of the page may run."""
    tree = await browser.call("DOM.getDocument", depth=-1)
    body = tree["root"]

    def texts(node: dict[str, object]) -> str:
        if node.get("nodeName") in ("SCRIPT", "STYLE", "NOSCRIPT"):
            return ""
        children = node.get("children", [])
        assert isinstance(children, list)
        return str(node.get("nodeValue", "")) + " ".join(texts(child) for child in children)

    return texts(body)
