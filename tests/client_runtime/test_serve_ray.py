"""The runtime on a real Ray Serve of this machine: the same API, copies that share the work, a full queue.

Its engine sleeps for as long as a picture "costs", so that the processor is not what limits it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from client_runtime.engines.base import Capabilities
from proxy.bundle import MEDIA_TYPE
from proxy.config import DownstreamConfig, RuntimeConfig, ScaleConfig
from proxy.policy import Reason
from proxy.restore import Restored, Restorer
from proxy.runtime_client import RuntimeBusy, RuntimeClient
from proxy.runtimes.pool import RuntimePool

pytest.importorskip("ray", reason="Ray Serve is in the extra `scale`")
pytest.importorskip("starlette", reason="Ray Serve is in the extra `scale`")
from tests.client_runtime.ray_here import start_ray

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("ray")]

COST_S = 0.3
PATIENCE_S = 60.0


def engine_that_costs(cost_s: float, fingerprint: str = "0123456789abcdef") -> Callable[[RuntimeConfig], Any]:
    """A factory of engines that sleep; made here, in a function, so that it travels to Ray's processes by value."""

    class Costly:
        def __init__(self, config: RuntimeConfig) -> None:
            self.config = config

        def capabilities(self) -> Capabilities:
            return Capabilities("costly", fingerprint, ("thumbnail",))

        def reconstruct(self, tasks: Sequence[Any]) -> list[Any]:
            import numpy as np

            time.sleep(cost_s * len(tasks))
            return [np.full((t.bundle.height_px, t.bundle.width_px, 3), t.bundle.seed % 256, np.uint8) for t in tasks]

        def close(self) -> None:
            pass

    return Costly


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[int]:
    """A small Ray of this machine; the port where Serve will listen."""
    import ray
    from ray import serve

    start_ray(cpus=4)
    yield free_port()
    serve.shutdown()
    ray.shutdown()


@pytest.fixture
async def deploy(cluster: int, tmp_path: Path) -> Any:
    """Deploys at a route: `await deploy("/a", cost_s, replicas=…)` gives its URL."""
    from ray import serve

    from client_runtime import serve_ray

    names: list[str] = []

    async def start(route: str, cost_s: float, fingerprint: str = "0123456789abcdef", **settings: Any) -> str:
        scale = {"replicas": settings.pop("replicas", 1), "cpus": 0.0, "ongoing": settings.pop("ongoing", 8)}
        defaults = {"batch_size": 1, "batch_wait_ms": 0.0, "cache_bytes": 0, "deadline_s": PATIENCE_S}
        config = RuntimeConfig(listen_port=cluster, state_dir=str(tmp_path / "state"), **{**defaults, **settings})
        names.append(route.strip("/"))
        where = ScaleConfig(route=route, application=names[-1], **scale)
        return await asyncio.to_thread(serve_ray.start, config, where, engine_that_costs(cost_s, fingerprint))

    yield start
    for name in names:
        await asyncio.to_thread(serve.delete, name)


async def draw_all(url: str, bundles: Sequence[bytes]) -> float:
    """Seconds until all bundles were drawn, all asked for at once."""
    async with RuntimeClient(url) as client:
        began_s = time.monotonic()
        made = await asyncio.gather(*(client.reconstruct(b, None, "image/png", PATIENCE_S) for b in bundles))
        assert all(each.engine == "costly@01234567" for each in made)
        return time.monotonic() - began_s


async def test_the_same_api(deploy: Any, bundle: Callable[..., bytes]) -> None:
    url = await deploy("/api", 0.0, cache_bytes=2**20)
    async with aiohttp.ClientSession() as session:

        async def ask(method: str, path: str, **more: Any) -> tuple[int, Any, Any]:
            async with session.request(method, url + path, **more) as answer:
                return answer.status, answer.headers, await answer.read()

        status, headers, body = await ask("GET", "/v1/capabilities")
        assert status == 200 and headers["Content-Type"].startswith("application/json") and b"costly" in body
        assert (await ask("GET", "/healthz"))[0] == 200
        status, _, body = await ask("GET", "/metrics")
        assert status == 200 and b"sketchwire_runtime_events_total" in body
        typed = {"Content-Type": MEDIA_TYPE, "Accept": "image/png"}
        for hit in ("miss", "hit"):
            status, headers, body = await ask("POST", "/v1/reconstruct", data=bundle(seed=7), headers=typed)
            assert (status, headers["Content-Type"], headers["Sketchwire-Cache"]) == (200, "image/png", hit)
            assert body.startswith(b"\x89PNG") and headers["Sketchwire-Engine"] == "costly@01234567"
        assert (await ask("POST", "/v1/reconstruct", data=b"no bundle", headers=typed))[0] == 400
        assert (await ask("POST", "/v1/reconstruct", data=bundle(), headers={**typed, "Accept": "text/html"}))[0] == 406
        assert (await ask("POST", "/v1/reconstruct", data=bundle(), headers={"Origin": "http://evil.test"}))[0] == 403
        assert (await ask("GET", "/v1/reconstruct"))[0] == 405
        assert (await ask("GET", "/v1/other"))[0] == 404


async def test_two_copies_draw_nearly_twice_as_much(deploy: Any, bundle: Callable[..., bytes]) -> None:
    """1.7 times on a machine that does nothing else; other work takes from it, so the best of three rounds counts."""
    urls = {replicas: await deploy(f"/copies{replicas}", COST_S, replicas=replicas, ongoing=2) for replicas in (1, 2)}
    for replicas, url in urls.items():
        await draw_all(url, [bundle(seed=seed) for seed in range(2 * replicas)])  # all is connected and imported
    gains = []
    for attempt in range(3):
        bundles = [bundle(seed=1000 * attempt + seed + 100) for seed in range(24)]
        took_s = {replicas: await draw_all(url, bundles) for replicas, url in urls.items()}
        assert took_s[1] >= len(bundles) * COST_S
        gains.append(took_s[1] / took_s[2])
        print(f"one copy {took_s[1]:.2f} s, two copies {took_s[2]:.2f} s: {gains[-1]:.2f} times")
        if gains[-1] >= 1.7:
            break
    assert max(gains) >= (1.7 if os.getloadavg()[0] < 3 else 1.3)


async def test_a_full_queue_is_busy_and_the_user_sees_a_preview(deploy: Any, bundle: Callable[..., bytes]) -> None:
    url = await deploy("/full", 1.0, queue_size=1, ongoing=2)
    async with RuntimeClient(url) as client:
        assert await client.capabilities() is not None
        asked = (client.reconstruct(bundle(seed=n), None, "image/png", PATIENCE_S) for n in range(8))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(answer, RuntimeBusy) for answer in answers) >= 3
        assert {type(answer).__name__ for answer in answers} == {"RuntimeBusy", "Reconstructed"}
    async with RuntimePool([url]) as pool:
        restorer = Restorer(DownstreamConfig(reconstruct_deadline_s=PATIENCE_S), pool)
        wanted = (restorer.restore(bundle(seed=n), None, "image/png", "image/png", "anna") for n in range(8))
        restored = await asyncio.gather(*wanted)
        assert all(isinstance(each, Restored) for each in restored)
        assert {each.reason for each in restored} == {None, Reason.BUSY}


async def test_two_versions_are_alive_while_models_are_replaced(deploy: Any, bundle: Callable[..., bytes]) -> None:
    old, new = await deploy("/old", 0.0), await deploy("/new", 0.0, fingerprint="fedcba9876543210")
    async with RuntimePool([old, new]) as pool:
        about = await pool.capabilities()
        assert about is not None and about.label == "costly@01234567"  # a tie: the first listed
        assert (await pool.reconstruct(bundle(), None, "image/png", PATIENCE_S)).engine == about.label
        from ray import serve

        await asyncio.to_thread(serve.delete, "old")
        made = await pool.reconstruct(bundle(), None, "image/png", PATIENCE_S)
        assert made.engine == "costly@fedcba98"
