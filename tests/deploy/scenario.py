"""The whole deployment on one machine, under load, while each part is killed once.

In: a folder of a site's files. Out: a JSON report; exit status 0 when nothing stayed broken and the bytes add up.
Refuses: to run without redis-server (or valkey-server), haproxy and Ray.

Two downstream and two upstream proxies, two runtimes on Ray Serve, Redis and HAProxy with the shipped configuration, as
processes. Clients, each a subscriber with a password and a loopback address of its own, fetch the site's files through
HAProxy; between each downstream proxy and HAProxy a forwarder counts bytes. A request that fails is tried again, as a
browser's user would; a page is broken when a body is still wrong then.

    python -m tests.deploy.scenario --sites ../shared/sites --clients 20 --requests 400
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.deploy.deployment import Deployment
from tests.deploy.load import Told, browse, site_of
from tests.e2e.conftest import HOST

DEAD_S = 2.0  # how long a killed part stays dead
TOLERANCE = 0.01


def _off(counted: int, booked: int) -> float:
    return abs(booked - counted) / max(1, counted)


async def load_and_kill(
    deployment: Deployment, site: Any, clients: int, requests: int, kills: bool, gentle: bool
) -> Told:
    """The clients' requests; a part is killed each time another share of them was answered."""
    told = Told()
    chance = random.Random(7)
    images = [name for name, (kind, _) in site.items() if kind.startswith("image/")]
    each = max(1, requests // clients)
    lists = [
        [chance.choice(images if chance.random() < 0.6 else list(site)) for _ in range(each)] for _ in range(clients)
    ]
    proxy, base = f"http://127.0.0.1:{deployment.ports['subscribers']}", f"http://{HOST}:{deployment.origin_port}"
    load = [asyncio.create_task(browse(told, number, proxy, base, wanted, site)) for number, wanted in enumerate(lists)]
    parts = deployment.parts(gentle) if kills else []
    for number, part in enumerate(parts, 1):
        while told.answers < each * clients * number / (len(parts) + 1) and not all(task.done() for task in load):
            await asyncio.sleep(0.05)
        print(f"kill {part.name} after {told.answers} answers", file=sys.stderr, flush=True)
        await asyncio.to_thread(part.kill)
        await asyncio.sleep(DEAD_S)
        await asyncio.to_thread(part.restart)
    await asyncio.gather(*load)
    return told


def main() -> int:
    """Run it and print the report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sites", type=Path, required=True, help="folder of a site's files")
    options.add_argument("--clients", type=int, default=20)
    options.add_argument("--requests", type=int, default=400, help="of all clients together")
    options.add_argument("--engine", default="sketch", help="engine of the runtimes")
    options.add_argument("--no-kills", action="store_true", help="kill nothing")
    options.add_argument("--gentle", action="store_true", help="downstream proxies get SIGTERM instead of SIGKILL")
    options.add_argument("--keep", type=Path, help="folder for state and logs; else one that is removed")
    given = options.parse_args()
    site = site_of(given.sites)
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scenario-")))
        folder.mkdir(parents=True, exist_ok=True)
        deployment = Deployment(folder, site, given.clients, given.engine)
        try:
            deployment.start()
            began_s = time.monotonic()
            work = load_and_kill(deployment, site, given.clients, given.requests, not given.no_kills, given.gentle)
            told = asyncio.run(work)
            took_s = time.monotonic() - began_s
            shared = deployment.shared_entries()
        finally:
            deployment.stop()
        by_client = sum((wire.bytes for wire in deployment.wires.values()), Counter[str]())
        by_subscriber = deployment.ledger_bytes()
        names, charged = deployment.pseudonyms(given.clients), deployment.used_bytes()
    counted, booked = by_client.total(), sum(by_subscriber.values())
    off = abs(booked - counted) / max(1, counted)
    people = {
        client: {"counted": by_client[client], "booked": by_subscriber.get(name, 0)} for client, name in names.items()
    }
    told.seconds.sort()
    report = {
        "clients": given.clients,
        "answers": told.answers,
        "drawn_or_recoded_images": told.drawn,
        "retries": dict(told.retries),
        "broken": told.broken,
        "seconds": round(took_s, 1),
        "p50_s": round(told.seconds[len(told.seconds) // 2], 2),
        "p95_s": round(told.seconds[int(len(told.seconds) * 0.95)], 2),
        "subscribers_in_ledger": len([name for name in by_subscriber if name]),
        "ledger_link_bytes": booked,
        "counted_link_bytes": counted,
        "off": round(off, 5),
        "largest_off_of_a_subscriber": round(max(_off(**each) for each in people.values()), 5),
        "subscribers": people,
        "charged_to_quotas_bytes": sum(charged.values()),
        "shared_entries": shared,
        "counted_for_nobody": by_client[""],
        "booked_for_nobody": booked - sum(each["booked"] for each in people.values()),
        "kills": not given.no_kills,
        "gentle": given.gentle,
    }
    print(json.dumps(report, indent=2))
    return 0 if not told.broken and off <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
