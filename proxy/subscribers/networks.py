"""Finds whose network an address is in.

In: subscribers with their networks; an address. Out: the subscriber of the smallest network around it, or None.
Refuses: one network for two subscribers (`SubscriberError`).

IPv4 addresses in IPv6 clothes (::ffff:192.0.2.1) are looked up as IPv4. A look-up costs one dictionary access for each
length of prefix in use.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from proxy.subscribers.account import Subscriber, SubscriberError


class NetworkMap:
    """From addresses to subscribers."""

    def __init__(self, subscribers: Iterable[Subscriber] = ()) -> None:
        """Raises SubscriberError."""
        self._names: dict[tuple[int, int], dict[int, str]] = {}  # by version and prefix length: first address to name
        for subscriber in subscribers:
            for network in subscriber.networks:
                known = self._names.setdefault((network.version, network.prefixlen), {})
                owner = known.setdefault(int(network.network_address), subscriber.name)
                if owner != subscriber.name:
                    raise SubscriberError(f"{network} is {owner}'s; {subscriber.name} cannot have it, too")
        self._lengths = sorted(self._names, key=lambda key: -key[1])

    def name(self, address: str) -> str | None:
        """Whose address it is; None for nobody's, and for what is no address."""
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        mapped = getattr(found, "ipv4_mapped", None)
        found = mapped or found
        bits = found.max_prefixlen
        for version, length in self._lengths:
            if version == found.version:
                first = int(found) >> (bits - length) << (bits - length)
                name = self._names[version, length].get(first)
                if name is not None:
                    return name
        return None
