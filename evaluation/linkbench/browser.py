"""Loads a page with a real Chromium: a fresh profile each time, nothing stored, nothing open.

In: a way to the site, a page. Out: `Load`, by the browser's own clock. Refuses: a page whose pictures are not all there
(`AssertionError`); a machine without Chromium (`FileNotFoundError`).

Times are Navigation Timing's and Paint Timing's (W3C), from the start of the navigation; the browser's own start is not
in them. Its first byte counts a redirect-free page only. What a browser asks besides, such as an icon, is in the bytes.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from evaluation.linkbench.loader import Load
from evaluation.linkbench.ways import Way
from tests.e2e.chromium import chromium

LIMIT_S = 600.0
_TIMES = """(async () => {
  const paint = () => performance.getEntriesByName('first-contentful-paint')[0];
  for (let n = 0; n < 100 && !paint(); n++) await new Promise(done => setTimeout(done, 50));
  const page = performance.getEntriesByType('navigation')[0];
  const pictures = performance.getEntriesByType('resource').filter(each => each.initiatorType === 'img');
  return JSON.stringify({
    ttfb: page.responseStart, fcp: paint() ? paint().startTime : null, load: page.loadEventStart,
    bytes: pictures.reduce((sum, each) => sum + each.encodedBodySize, 0)});
})()"""


async def load(way: Way, page: int, per_page: int) -> Load:
    """Load a page; by plain http no certificate is needed."""
    flags = [] if way.proxy is None else [f"--proxy-server={way.proxy}", "--proxy-bypass-list=<-loopback>"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        async with chromium(Path(profile), *flags) as browser:
            before, cpu_s = way.wire.wire(), way.wire.cpu_s()
            await browser.load(f"{way.base}/pages/{page}/index.html", LIMIT_S)
            told = json.loads(await browser.evaluate(_TIMES))
            crossed = way.wire.wire().total_bytes - before.total_bytes
            cpu_s = way.wire.cpu_s() - cpu_s
            shown = await browser.images()
    whole = [image for image in shown if image.width]
    assert len(whole) == per_page, f"{len(whole)} of {per_page} pictures came"
    fcp_s = None if told["fcp"] is None else told["fcp"] / 1000
    return Load(told["ttfb"] / 1000, fcp_s, told["load"] / 1000, crossed, int(told["bytes"]), cpu_s)
