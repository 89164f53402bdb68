"""A small web is collected over real sockets, killed in the middle, and collected again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.collect.chromium import find
from evaluation.collect.sites import read_sites
from evaluation.collect.walk import Plan, collect
from evaluation.sets.folder import items
from tests.evaluation.collect.small_web import Host, listed, page, picture, serving

PLAN = Plan("https://collector.example/about", per_category=3, per_site=2, pages=2, seed=7)
CC0 = '<link rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/">'


def _web() -> tuple[Host, Host, Host]:
    """Two sites of food, one of news; some of their images do not belong in the set."""
    first, second, third = Host(), Host(), Host(robots="User-agent: *\nDisallow: /closed\n")
    first.add("/", page("/a.jpg", "/small.jpg", "/alpha.png", "/gone.jpg", links=("/more",), head=CC0))
    first.add("/more", page("/a.jpg", "/b.jpg", "/c.jpg"))
    first.add("/small.jpg", picture(90, (300, 200)))
    first.add("/alpha.png", picture(91, kind="PNG", mode="RGBA"), "image/png")
    second.add("/", page("/a-again.jpg", "/d.jpg", "/e.jpg"))
    second.add("/a-again.jpg", picture(ord("a")))
    third.add("/", page("/closed/f.jpg", "/reserved.jpg", "/g.webp"))
    third.add("/closed/f.jpg", picture(ord("f")))
    third.add("/reserved.jpg", picture(92), X_Robots_Tag="noimageai")
    third.add("/g.webp", picture(ord("g"), kind="WEBP"), "image/webp")
    for host, names in ((first, "abc"), (second, "de")):
        for name in names:
            host.add(f"/{name}.jpg", picture(ord(name)))
    return first, second, third


def _sites(folder: Path, hosts: tuple[Host, Host, Host]) -> Path:
    first, second, third = hosts
    return listed(folder / "sites.csv", (first, 1000, "food"), (second, 5000, "food"), (third, 1000, "news"))


def _index(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "fetched_at"} for row in rows]


async def test_a_set_with_its_provenance_that_experiments_read(tmp_path: Path) -> None:
    hosts = _web()
    async with serving(*hosts):
        collected = await collect(read_sites(_sites(tmp_path, hosts)), PLAN, tmp_path / "set", delay_s=0)
    assert collected.images == {"food": 3, "news": 1}
    found = items(tmp_path / "set")
    assert {item.category for item in found} == {"food", "news"} and all(item.caption for item in found)
    first, _, third = hosts
    news = next(row for row in _index(tmp_path / "set") if row["set"] == "news")
    assert (news["url"], news["page"], news["site"]) == (f"{third.origin}/g.webp", f"{third.origin}/", third.origin)
    assert (news["width"], news["height"], news["displayed_px"]) == (640, 400, [320, 200])
    assert (news["licence"], news["media_type"], news["rank"]) == ("not stated", "image/webp", 1000)
    assert news["alt"] == "A river by the town of 2" and news["figcaption"].endswith("bridge 2")
    assert (tmp_path / "set" / news["file"]).read_bytes() == picture(ord("g"), kind="WEBP")
    stated = {r["licence"] for r in _index(tmp_path / "set") if r["page"] == f"{first.origin}/"}
    assert stated <= {"https://creativecommons.org/publicdomain/zero/1.0/"}
    reasons = collected.left_out["images"]
    assert reasons["robots.txt disallows it"] == 1 and reasons["its headers reserve it"] == 1
    assert "/closed/f.jpg" not in third.paths
    agents = {agent for host in hosts for _, agent in host.log}
    assert agents == {PLAN.user_agent} and "SketchwireCollect/" in PLAN.user_agent and PLAN.contact in PLAN.user_agent
    summary = json.loads((tmp_path / "set" / "collection.json").read_text())
    assert summary["user_agent"] == PLAN.user_agent and sum(summary["licences"].values()) == 4


async def test_balance_over_sites_and_the_same_bytes_once(tmp_path: Path) -> None:
    hosts = _web()
    async with serving(*hosts):
        for name, category, site in (("even", 4, 2), ("all", 9, 9)):
            plan = Plan("x", per_category=category, per_site=site, pages=2, seed=7)
            await collect(read_sites(_sites(tmp_path, hosts)), plan, tmp_path / name, delay_s=0)
    sites = [row["site"] for row in _index(tmp_path / "even") if row["set"] == "food"]
    assert {site: sites.count(site) for site in sites} == {hosts[0].origin: 2, hosts[1].origin: 2}
    everything = _index(tmp_path / "all")
    assert len({row["sha256"] for row in everything}) == len(everything) == 6  # a to e and g


async def test_what_is_recorded_is_not_asked_for_again(tmp_path: Path) -> None:
    hosts = _web()
    async with serving(*hosts):
        sites = read_sites(_sites(tmp_path, hosts))
        await collect(sites, PLAN, tmp_path / "set", delay_s=0)
        before, asked = _index(tmp_path / "set"), [len(host.log) for host in hosts]
        await collect(sites, PLAN, tmp_path / "set", delay_s=0)
        assert (_index(tmp_path / "set"), [len(host.log) for host in hosts]) == (before, asked)
        with pytest.raises(ValueError, match="per_site 2, not 1"):
            await collect(sites, Plan(PLAN.contact, 3, 1, 2, 7), tmp_path / "set")


async def test_passing_failures_are_tried_again_only_when_asked(tmp_path: Path) -> None:
    host = Host()
    host.add("/", page("/a.jpg"))
    host.add("/a.jpg", b"", Location="http://127.0.0.1:1/a.jpg")  # nobody answers there
    async with serving(host):
        sites = read_sites(listed(tmp_path / "sites.csv", (host, 1, "food")))
        assert (await collect(sites, PLAN, tmp_path / "set", 0)).images == {}
        host.add("/a.jpg", picture(1))
        assert (await collect(sites, PLAN, tmp_path / "set", 0)).images == {}
        assert (await collect(sites, PLAN, tmp_path / "set", 0, again=True)).images == {"food": 1}


async def test_killed_in_the_middle_and_resumed_it_is_the_same_set(tmp_path: Path) -> None:
    hosts = _web()
    async with serving(*hosts):
        sites = _sites(tmp_path, hosts)
        plan = Plan("https://collector.example", per_category=4, per_site=2, pages=2, seed=7)
        await collect(read_sites(sites), plan, tmp_path / "whole", delay_s=0)
        options = ("--contact", plan.contact, "--per-category", "4", "--per-site", "2", "--pages", "2", "--seed", "7")
        command = ("-m", "proxy", "evaluate", "collect", "--sites", str(sites), *options, "--delay", "0")
        process: asyncio.subprocess.Process | None = None
        asked = 0

        def kill(path: str) -> None:
            nonlocal asked
            asked += path.endswith(".jpg")
            if path.endswith(".jpg") and asked == 4 and process is not None and process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)

        for host in hosts:
            host.before = kill
        for expected in (-signal.SIGKILL, 0):
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, "--out", str(tmp_path / "cut"),
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            assert await process.wait() == expected
            if expected:
                assert not (tmp_path / "cut" / "index.jsonl").exists()
    assert _index(tmp_path / "cut") == _index(tmp_path / "whole")


@pytest.mark.skipif(find() is None, reason="needs Chromium")
async def test_rendered_pages_give_what_chromium_shows(tmp_path: Path) -> None:
    host = Host(robots="User-agent: *\nDisallow: /closed\n")
    late = '<img src="/late.jpg" style="width:200px">'
    script = f"<script>document.body.insertAdjacentHTML('beforeend', '{late}')</script>"
    mill = '<img srcset="/b.jpg 640w, /large.jpg 4000w" sizes="640px" style="width:400px" alt="A mill by the river">'
    frame = '<iframe src="/frame"></iframe>'
    host.add("/", page("/closed/a.jpg").replace("</body>", f"{mill}{frame}{script}</body>"))
    for number, name in enumerate(("closed/a", "b", "large", "late")):
        host.add(f"/{name}.jpg", picture(number))
    async with serving(host):
        sites = read_sites(listed(tmp_path / "sites.csv", (host, 1, "food")))
        plan = Plan("https://collector.example", per_category=9, per_site=9, pages=1, render=True)
        collected = await collect(sites, plan, tmp_path / "set", delay_s=0)
    assert collected.images == {"food": 2}
    rows = {row["url"].rsplit("/", 1)[1]: row for row in _index(tmp_path / "set")}
    assert rows["b.jpg"]["displayed_px"] == [400, 250] and rows["late.jpg"]["displayed_px"] == [200, 125]
    assert rows["b.jpg"]["alt"] == "A mill by the river" and "mill" in rows["b.jpg"]["caption"]
    assert not {"/closed/a.jpg", "/large.jpg", "/frame"} & set(host.paths)
    assert all("SketchwireCollect/" in agent for _, agent in host.log)


@pytest.mark.skipif("SKETCHWIRE_SITES" not in os.environ, reason="needs a folder of real pages")
async def test_real_pages(tmp_path: Path) -> None:
    """SKETCHWIRE_SITES names a folder of sites; it is served as it is."""
    from aiohttp import web

    root = Path(os.environ["SKETCHWIRE_SITES"])
    app = web.Application()
    pages = "".join(f'<a href="/{p.relative_to(root).as_posix()}">on</a>' for p in sorted(root.rglob("*.html")))

    async def home(_: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html>{pages}", content_type="text/html")

    app.router.add_get("/", home)
    app.router.add_static("/", root)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        (tmp_path / "sites.csv").write_text(f"origin,rank,category\nhttp://127.0.0.1:{port},1000,cooking\n")
        plan = Plan("https://collector.example", per_category=12, per_site=12, pages=60, seed=1)
        collected = await collect(read_sites(tmp_path / "sites.csv"), plan, tmp_path / "set", delay_s=0)
    finally:
        await runner.cleanup()
    print(json.dumps(collected.left_out), collected.images)
    rows = _index(tmp_path / "set")
    assert rows and all(row["width"] >= 512 and row["height"] >= 256 for row in rows)
    assert sum(bool(row["caption"]) for row in rows) > len(rows) / 2
