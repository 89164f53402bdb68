from __future__ import annotations

import pytest

from proxy.targets import Refused, Targets, is_public

PUBLIC = "93.184.215.14"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.5.4",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:a00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fc00::1",
        "ff02::1",
        "not an address",
        "",
    ],
)
def test_private_addresses_however_wrapped(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "port", [0, 22, 25, 79, 81, 110, 445, 1023, 2049, 3306, 5432, 6000, 6379, 6667, 9200, 11211, 65536]
)
def test_ports_that_no_web_server_uses(port: int) -> None:
    assert isinstance(Targets().judge_port("example.org", port), Refused)


@pytest.mark.parametrize("port", [80, 443, 1024, 3000, 8000, 8080, 8443, 65535])
def test_ports_of_web_servers(port: int) -> None:
    assert Targets().judge_port("example.org", port) is None


def test_only_public_ones_of_mixed_addresses_are_used() -> None:
    assert Targets().judge("example.org", 80, ["10.0.0.1", PUBLIC, PUBLIC]) == (PUBLIC,)
    assert isinstance(Targets().judge("example.org", 80, ["10.0.0.1"]), Refused)
    assert isinstance(Targets().judge("example.org", 80, []), Refused)
    assert isinstance(Targets().judge("example.org", 22, [PUBLIC]), Refused)


def test_exceptions_are_for_exactly_one_host_and_port() -> None:
    targets = Targets.configured(("Site.test:6379", "[::1]:8000"), ("site.test=127.0.0.1",))
    assert targets.judge("site.test.", 6379, ["127.0.0.1"]) == ("127.0.0.1",)
    assert targets.judge("::1", 8000, ["::1"]) == ("::1",)
    assert isinstance(targets.judge("site.test", 6380, ["127.0.0.1"]), Refused)
    assert isinstance(targets.judge("127.0.0.1", 6379, ["127.0.0.1"]), Refused)


def test_known_addresses_need_no_resolver() -> None:
    targets = Targets.configured((), ("news.test=127.0.0.1",))
    assert targets.known_address("NEWS.test") == "127.0.0.1"
    assert targets.known_address("[::1]") == "::1"
    assert targets.known_address("example.org") is None
    assert targets.known_address("2130706433") is None, "the resolver decides what that is, and it is judged then"
