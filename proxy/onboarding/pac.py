"""The proxy auto-configuration file: browsers that are given its address set themselves up.

In: the proxy's host and port as the client reaches it. Out: a PAC file. Refuses: hosts that are none (`ValueError`).

Private and plain names go direct. When the proxy is gone, browsers go direct too: browsing goes on, nothing is saved.
"""

from __future__ import annotations

import ipaddress
import re

from proxy.onboarding.place import HOST

MEDIA_TYPE = "application/x-ns-proxy-autoconfig"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")
_FILE = """\
function FindProxyForURL(url, host) {
  if (dnsDomainIs(host, "%(ours)s")) return "PROXY %(where)s";
  if (isPlainHostName(host) || shExpMatch(host, "*.local") || shExpMatch(host, "localhost.*") ||
      shExpMatch(host, "10.*") || shExpMatch(host, "127.*") || shExpMatch(host, "192.168.*") ||
      shExpMatch(host, "169.254.*") || /^172\\.(1[6-9]|2\\d|3[01])\\./.test(host)) return "DIRECT";
  return "PROXY %(where)s; DIRECT";
}
"""


def pac_file(host: str, port: int) -> str:
    """The file for a proxy at `host`:`port`."""
    bare = host.strip("[]")
    try:
        where = f"[{bare}]" if ipaddress.ip_address(bare).version == 6 else bare
    except ValueError:
        where = bare
        if not _NAME.match(bare):
            raise ValueError("no host name") from None
    return _FILE % {"ours": HOST, "where": f"{where}:{int(port)}"}


def reached_as(host_header: str | None, address: str, port: int) -> tuple[str, int]:
    """How a client reaches this proxy: as it wrote in its Host field, else at the connection's own address."""
    name, _, number = (host_header or "").rpartition(":")
    if number.isascii() and number.isdigit() and len(number) < 6 and 0 < int(number) < 65_536 and name:
        bare = name.strip("[]")
        if _NAME.match(bare) or _is_address(bare):
            return bare, int(number)
    return address, port


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
