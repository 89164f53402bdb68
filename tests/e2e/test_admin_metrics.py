"""`/metrics` of the running parts: both proxies' admin ports, and the runtime's own API."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from client_runtime.engines import create
from client_runtime.service.server import serving
from proxy.config import RuntimeConfig
from tests.e2e.certificates import make_authority
from tests.e2e.conftest import HOST, Loop, start_proxy
from tests.e2e.origin import Origin
from tests.proxy.metrics.lint import problems


def free_port() -> int:
    """A port that nobody used a moment ago."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def scraped(session: aiohttp.ClientSession, port: int, **headers: str) -> dict[str, float]:
    async with session.get(f"http://127.0.0.1:{port}/metrics", headers=headers) as answer:
        assert answer.status == 200
        text = await answer.text()
    assert problems(text) == []
    families = text_string_to_metric_families(text)
    sums: dict[str, float] = {}
    for family in families:
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


async def test_both_proxies_tell_what_they_did(tmp_path: Path) -> None:
    loop, origin = Loop(), Origin()
    http_port = loop.serve(origin.app())
    make_authority(tmp_path / "origin-ca.pem")
    target = {"hosts": [f"{HOST}=127.0.0.1"], "allow_private_targets": [f"{HOST}:{http_port}"]}
    up_port, down_port = free_port(), free_port()
    upstream = start_proxy("upstream", tmp_path, target, tables={"admin": {"upstream_port": up_port}})
    settings = {"upstream": upstream.url, "upstream_ca": str(upstream.ca), "runtime": ""}
    tables: dict[str, Any] = {"admin": {"downstream_port": down_port, "ask_on_loopback": True}}
    downstream = start_proxy("downstream", tmp_path, settings, tables=tables)
    try:
        token = (tmp_path / "downstream" / "admin.token").read_text().strip()
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{HOST}:{http_port}/", proxy=downstream.url) as answer:
                assert answer.status == 200
                await answer.read()
            told = json.loads((tmp_path / "downstream.json").read_text())
            assert told["admin_port"] == down_port
            async with session.get(f"http://127.0.0.1:{down_port}/metrics") as refused:
                assert refused.status == 401
            down = await scraped(session, down_port, Authorization=f"Bearer {token}")
            up = await scraped(session, up_port)
    finally:
        assert downstream.stop() == 0 and upstream.stop() == 0
        loop.close()
    for found in (down, up):
        assert found["sketchwire_responses_total"] == 1 and found["sketchwire_origin_bytes_total"] > 100
        assert found["process_resident_memory_bytes"] > 10_000_000
    assert down["sketchwire_runtime_up"] == 0


async def test_the_runtime_tells_what_it_did(tmp_path: Path) -> None:
    config = RuntimeConfig(listen_port=0, state_dir=str(tmp_path / "runtime"), engine="preview")
    async with serving(config, lambda: create(config)) as (ready, _), aiohttp.ClientSession() as session:
        async with session.post(f"http://127.0.0.1:{ready.port}/v1/reconstruct", data=b"no bundle") as answer:
            assert answer.status == 400
        found = await scraped(session, ready.port)
    assert found["sketchwire_runtime_events_total"] == 1 and found["sketchwire_runtime_queued_bundles"] == 0
