"""Decides which addresses the upstream proxy may connect to, so that clients cannot reach into its own network (SSRF).

In: a host and port as the client named them, and what the name resolves to. Out: the addresses to use, or `Refused`.
Refuses: everything that is not a public unicast address, however it is wrapped (IPv4 in IPv6, NAT64, 6to4, Teredo),
cloud metadata services, names that are the proxies' own, and ports that no web server uses; an operator may open exact
host:port pairs.

Ports: 80, 443 and 1024 upwards, or what the operator says, except those on which services answer that must not hear a
stranger's HTTP request; only naming such a port by itself opens it.
Source: IANA special-purpose address registries; the WHATWG Fetch standard's list of bad ports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from proxy.onboarding.place import is_reserved

Address = IPv4Address | IPv6Address

WEB_PORTS = ("80", "443", "1024-65535")
# above 1023: WHATWG's bad ports, then databases, caches, container and cluster control planes, remote desktops
_FETCH_BAD = (1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080)
_SERVICES = (1433, 1521, 2375, 2376, 2379, 2380, 3306, 3389, 5432, 5900, 5984, 6379, 6443, 9042, 9200, 9300)
_CONTROL = (10250, 10255, 11211, 27017, 27018)
DANGEROUS_PORTS = frozenset((*_FETCH_BAD, *_SERVICES, *_CONTROL))
# Not ipaddress.is_global: its idea of these registries changed between patch releases of Python.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by its number, but a virtual machine's host answers there (Azure)
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
# protocol assignments (Teredo among them), documentation, 6to4
_NOT_PUBLIC_6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Refused:
    """No connection may be made; `why` is for the person who asked."""

    why: str


@dataclass(frozen=True, slots=True)
class Targets:
    """The operator's word: `allowed` (host, port) pairs on private networks, fixed addresses for `hosts`, `ports`."""

    allowed: frozenset[tuple[str, int]] = frozenset()
    hosts: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = WEB_PORTS

    @classmethod
    def configured(
        cls, allow_private_targets: Iterable[str], hosts: Iterable[str], ports: Iterable[str] = WEB_PORTS
    ) -> Targets:
        """From "host:port", "name=address" and "port" or "port-port" strings, checked by proxy.config."""
        pairs = (item.rpartition(":") for item in allow_private_targets)
        names = (item.partition("=") for item in hosts)
        return cls(
            frozenset((_canonical(host), int(port)) for host, _, port in pairs),
            {_canonical(name): address.strip() for name, _, address in names},
            tuple(ports),
        )

    def known_address(self, host: str) -> str | None:
        """The address to use without asking DNS: the operator's, or the host itself when it is one."""
        name = _canonical(host)
        if name in self.hosts:
            return self.hosts[name]
        address = _address(name)
        return None if address is None else str(address)

    def judge_port(self, host: str, port: int) -> Refused | None:
        """Whether a name and port may be connected to at all; None if so."""
        if is_reserved(host):
            return Refused("this name exists inside the downstream proxy only")
        if (_canonical(host), port) in self.allowed or str(port) in self.ports:
            return None
        if port not in DANGEROUS_PORTS and any(_within(port, item) for item in self.ports):
            return None
        return Refused(f"port {port} is not one that web servers use")

    def judge(self, host: str, port: int, resolved: Iterable[str]) -> tuple[str, ...] | Refused:
        """The addresses among `resolved` to which a connection for `host`:`port` may be made; at least one."""
        refused = self.judge_port(host, port)
        if refused is not None:
            return refused
        addresses = tuple(dict.fromkeys(resolved))
        if (_canonical(host), port) in self.allowed:
            return addresses or Refused("the name has no address")
        public = tuple(text for text in addresses if is_public(text))
        if public:
            return public
        return Refused("it is not on the public internet" if addresses else "the name has no address")


def is_public(text: str) -> bool:
    """Whether an address is one that anyone on the internet could reach, looking through every wrapping."""
    address = _address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None and address not in _NAT64:
            return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)
        address = IPv4Address(address.packed[-4:])
    return address is not None and not any(address in network for network in _NOT_PUBLIC_4)


def _within(port: int, item: str) -> bool:
    first, _, last = item.partition("-")
    return int(first) <= port <= int(last or first)


def _address(text: str) -> Address | None:
    try:
        return ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _canonical(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()
