"""Every attack of `cases` against a running upstream proxy: refused, and what it aimed at has heard nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from proxy.access.pairing import rotate
from tests.attacks.cases import INTO_THE_NETWORK, OUT_OF_BOUNDS, WITHOUT_A_TOKEN, Attack
from tests.attacks.proxies import Process, Server, exchange, start, status


@dataclass
class Target:
    """An upstream proxy, a server that it may reach and one that it must not."""

    upstream: Process
    site: Server
    trap: Server
    words: dict[str, object]

    def attack(self, attack: Attack) -> bytes:
        return exchange(self.upstream.port, *(piece.format(**self.words).encode() for piece in attack.sent))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("attacks")
    file = folder / "pair.tokens"
    old, _, token = (rotate(file).values[0] for _ in range(3))
    with Server("site") as site, Server("trap") as trap:
        upstream = start(
            "upstream",
            folder,
            upstream={
                "hosts": ["site.test=127.0.0.1", "private.test=127.0.0.1"],
                "allow_private_targets": [f"site.test:{site.port}"],
            },
            access={"pair_file": str(file)},
        )
        words: dict[str, object] = {
            "site": site.port,
            "trap": trap.port,
            "proxy": upstream.port,
            "token": token,
            "auth": f"Proxy-Authorization: Bearer {token}\r\n",
            "half": token[:32],
            "wrong": token[:-1] + ("a" if token[-1] != "a" else "b"),
            "basic": base64.b64encode(f"x:{token}".encode()).decode(),
            "old": old,
        }
        yield Target(upstream, site, trap, words)
        assert upstream.stop() == 0
        log = upstream.log.read_text()
        assert "Traceback" not in log and token not in log, "nothing went wrong inside, and the token is in no log"


def test_the_site_is_reached_with_a_token_and_hears_nothing_of_it(target: Target) -> None:
    request = "GET http://site.test:{site}/ HTTP/1.1\r\nHost: site.test\r\n{auth}\r\n"
    came = target.attack(Attack("control", (request,), ()))
    assert status(came) == 200 and b"reached site" in came
    tunnel = ("CONNECT site.test:{site} HTTP/1.1\r\n{auth}\r\n", "GET / HTTP/1.1\r\nHost: site.test\r\n{auth}\r\n")
    came = target.attack(Attack("control", tunnel, ()))
    assert status(came) == 200 and b"reached site" in came
    for head in target.site.seen[-2:]:
        assert b"proxy-authorization" not in head.lower() and str(target.words["token"]).encode() not in head


@pytest.mark.parametrize("attack", INTO_THE_NETWORK, ids=lambda attack: attack.name)
def test_nobody_gets_into_the_network(target: Target, attack: Attack) -> None:
    before = len(target.trap.seen)
    came = target.attack(attack)
    assert len(target.trap.seen) == before, target.trap.seen[before:]
    assert status(came) in attack.refused and b"reached trap" not in came, came[:300]


@pytest.mark.parametrize("attack", WITHOUT_A_TOKEN, ids=lambda attack: attack.name)
def test_nobody_is_served_without_a_token(target: Target, attack: Attack) -> None:
    before = len([head for head in target.site.seen if b"/mine" not in head])
    came = target.attack(attack)
    assert status(came) in attack.refused, came[:300]
    after = [head for head in target.site.seen if b"/mine" not in head]
    assert len(after) == before and target.trap.seen == []


@pytest.mark.parametrize("attack", OUT_OF_BOUNDS, ids=lambda attack: attack.name)
def test_nobody_asks_for_what_no_page_needs(target: Target, attack: Attack) -> None:
    before = len(target.site.seen)
    came = target.attack(attack)
    assert status(came) in attack.refused, came[:300]
    assert len(target.site.seen) == before


def test_there_are_enough_attacks() -> None:
    names = [attack.name for attack in (*INTO_THE_NETWORK, *WITHOUT_A_TOKEN, *OUT_OF_BOUNDS)]
    assert len(names) >= 100 and len(set(names)) == len(names)
