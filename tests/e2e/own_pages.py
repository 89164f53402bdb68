"""A pair for tests of what the proxies themselves answer: paired by a token, over real sockets, with previews only.

In: a folder. Out: processes, an origin over http and https. Refuses: to wait for ever.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.access.pairing import rotate
from tests.attacks.proxies import Process, start
from tests.e2e.certificates import make_authority, make_leaf
from tests.e2e.conftest import Loop
from tests.e2e.origin import Origin

SITE = "news.demo.test"
BANK = "www.paypal.com"  # on the shipped list; here it resolves to this machine
PINNED = "app.pinned.test"


@dataclass
class OwnPages:
    """What runs."""

    folder: Path
    origin: Origin
    upstream: Process
    downstream: Process
    http_port: int
    https_port: dict[str, int]
    origin_ca: Path

    @property
    def site(self) -> str:
        return f"http://{SITE}:{self.http_port}"


@contextlib.contextmanager
def running(folder: Path, **access: object) -> Iterator[OwnPages]:
    """Start everything; `access` is more for downstream's [access]."""
    with contextlib.ExitStack() as stack:
        loop, origin = Loop(), Origin()
        stack.callback(loop.close)
        ca = folder / "origin-ca.pem"
        authority = make_authority(ca)
        http_port = loop.serve(origin.app())
        names = (SITE, BANK, PINNED)
        https = {name: loop.serve(origin.app(), make_leaf(authority, name, folder / f"{name}.pem")) for name in names}
        tokens = folder / "pair.tokens"
        rotate(tokens)
        upstream = start(
            "upstream",
            folder,
            upstream={
                "hosts": [f"{name}=127.0.0.1" for name in names],
                "allow_private_targets": [f"{SITE}:{http_port}", *(f"{n}:{p}" for n, p in https.items())],
                "origin_ca": str(ca),
                "encode_deadline_s": 20.0,
            },
            access={"pair_file": str(tokens)},
        )
        stack.callback(upstream.stop)
        downstream = start(
            "downstream",
            folder,
            downstream={"upstream": upstream.url, "upstream_ca": str(upstream.ca), "runtime": ""},
            access={"pair_file": str(tokens), **access},
        )
        stack.callback(downstream.stop)
        yield OwnPages(folder, origin, upstream, downstream, http_port, https, ca)
