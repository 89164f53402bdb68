"""Attacks on an upstream proxy, one a line: a name, what is sent, which refusals count.

Placeholders: {trap} is the port of a server on this machine that nobody may reach, {site} that of `site.test`, which
may be reached, {auth} the field with a token that counts.
"""

from __future__ import annotations

from dataclasses import dataclass

BLOCKED = (403, 502)  # by its name alone, or once it is resolved
BAD = (400, 403, 502)  # or it cannot even be parsed


@dataclass(frozen=True)
class Attack:
    name: str
    sent: tuple[str, ...]
    refused: tuple[int, ...]


def get(name: str, url: str, refused: tuple[int, ...] = BLOCKED, host: str = "x") -> Attack:
    return Attack(name, (f"GET {url} HTTP/1.1\r\nHost: {host}\r\n{{auth}}\r\n",), refused)


def connect(name: str, target: str, refused: tuple[int, ...] = BLOCKED) -> Attack:
    """A tunnel, and a request inside it should it open."""
    inside = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    return Attack(name, (f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{{auth}}\r\n", inside), refused)


def raw(name: str, *sent: str, refused: tuple[int, ...]) -> Attack:
    return Attack(name, sent, refused)


def bare(
    name: str, fields: str = "", target: str = "http://site.test:{site}/", refused: tuple[int, ...] = (407,)
) -> Attack:
    """A request without the token that counts."""
    return Attack(name, (f"GET {target} HTTP/1.1\r\nHost: site.test\r\n{fields}\r\n",), refused)


INTO_THE_NETWORK = (
    # loopback, in every notation that some resolver understands
    get("loopback", "http://127.0.0.1:{trap}/"),
    get("loopback, another of its addresses", "http://127.8.8.8:{trap}/"),
    get("loopback, short", "http://127.1:{trap}/"),
    get("loopback, decimal", "http://2130706433:{trap}/"),
    get("loopback, hexadecimal", "http://0x7f000001:{trap}/"),
    get("loopback, hexadecimal parts", "http://0x7f.0x0.0x0.0x1:{trap}/"),
    get("loopback, octal", "http://017700000001:{trap}/"),
    get("loopback, octal parts", "http://0177.0.0.01:{trap}/"),
    get("loopback, trailing dot", "http://127.0.0.1.:{trap}/"),
    get("loopback, percent-encoded", "http://%31%32%37.0.0.1:{trap}/", BAD),
    get("loopback, encoded dots", "http://127%2e0%2e0%2e1:{trap}/", BAD),
    get("loopback by name", "http://localhost:{trap}/"),
    get("loopback by name with a trailing dot", "http://localhost.:{trap}/"),
    get("loopback by name, upper case", "http://LOCALHOST:{trap}/"),
    get("this host", "http://0.0.0.0:{trap}/"),
    get("this host, short", "http://0:{trap}/"),
    get("a name that resolves to loopback", "http://private.test:{trap}/"),
    get("the same with a trailing dot", "http://private.test.:{trap}/"),
    # IPv6, and IPv4 wrapped into it
    get("IPv6 loopback", "http://[::1]:{trap}/"),
    get("IPv6 unspecified", "http://[::]:{trap}/"),
    get("IPv6 loopback, long", "http://[0:0:0:0:0:0:0:1]:{trap}/"),
    get("IPv4-mapped", "http://[::ffff:127.0.0.1]:{trap}/"),
    get("IPv4-mapped, hexadecimal", "http://[::ffff:7f00:1]:{trap}/"),
    get("IPv4-compatible", "http://[::127.0.0.1]:{trap}/"),
    get("IPv4-translated", "http://[::ffff:0:127.0.0.1]:{trap}/"),
    get("NAT64", "http://[64:ff9b::127.0.0.1]:{trap}/"),
    get("NAT64, local prefix", "http://[64:ff9b:1::127.0.0.1]:{trap}/"),
    get("6to4", "http://[2002:7f00:1::]:{trap}/"),
    get("Teredo", "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/"),
    get("IPv6 link-local", "http://[fe80::1]/"),
    get("IPv6 link-local with a zone", "http://[fe80::1%25lo]:{trap}/", BAD),
    get("IPv6 unique local", "http://[fd12:3456:789a::1]/"),
    get("IPv6 multicast", "http://[ff02::1]/"),
    get("IPv6 documentation", "http://[2001:db8::1]/"),
    # private and special networks
    get("private, 10/8", "http://10.0.0.1/"),
    get("private, 172.16/12", "http://172.16.0.1/"),
    get("private, 192.168/16", "http://192.168.1.1/"),
    get("carrier-grade NAT", "http://100.64.0.1/"),
    get("link-local", "http://169.254.1.1/"),
    get("benchmarking", "http://198.18.0.1/"),
    get("multicast", "http://224.0.0.1/"),
    get("reserved", "http://240.0.0.1/"),
    get("broadcast", "http://255.255.255.255/"),
    # metadata services of clouds
    get("metadata: AWS, Google, Azure", "http://169.254.169.254/latest/meta-data/"),
    get("metadata, decimal", "http://2852039166/latest/meta-data/"),
    get("metadata, IPv4-mapped", "http://[::ffff:169.254.169.254]/"),
    get("metadata: AWS over IPv6", "http://[fd00:ec2::254]/latest/meta-data/"),
    get("metadata: Alibaba", "http://100.100.100.200/latest/meta-data/"),
    get("metadata: Oracle", "http://192.0.0.192/latest/"),
    get("metadata: Azure's host", "http://168.63.129.16/"),
    get("metadata by name", "http://metadata.google.internal/computeMetadata/v1/"),
    # names that are read differently by different parsers
    get("user information", "http://site.test:80@127.0.0.1:{trap}/", BAD),
    get("user information, the other way round", "http://127.0.0.1:{trap}@private.test:{trap}/", BAD),
    get("fragment", "http://127.0.0.1:{trap}#@site.test:{site}/", BAD),
    get("backslash", "http://127.0.0.1:{trap}\\@site.test:{site}/", BAD),
    get("another Host field than the address", "http://127.0.0.1:{trap}/", host="site.test:{site}"),
    get("no address, only a Host field", "/", host="127.0.0.1:{trap}"),
    get("the proxy itself", "http://127.0.0.1:{proxy}/"),
    get("the downstream proxy's own pages", "http://sketchwire.internal/"),
    get("below them", "http://x.sketchwire.internal./"),
    # ports and schemes
    get("ssh", "http://site.test:22/"),
    get("smtp", "http://site.test:25/"),
    get("redis", "http://site.test:6379/"),
    get("container control", "http://site.test:2375/"),
    get("an allowed name at another port", "http://site.test:{trap}/"),
    get("port 0", "http://site.test:0/", BAD),
    get("a port too large", "http://site.test:65616/", BAD),
    get("ftp", "ftp://127.0.0.1:{trap}/", BAD),
    get("file", "file:///etc/passwd", BAD),
    get("gopher", "gopher://127.0.0.1:{trap}/_x", BAD),
    get("https to loopback", "https://127.0.0.1:{trap}/"),
    # the same through tunnels
    connect("tunnel to loopback", "127.0.0.1:{trap}"),
    connect("tunnel to IPv6 loopback", "[::1]:{trap}"),
    connect("tunnel to loopback, decimal", "2130706433:{trap}", (0, *BLOCKED)),
    connect("tunnel to localhost", "localhost:{trap}", (0, *BLOCKED)),
    connect("tunnel to a name that resolves to loopback", "private.test:{trap}"),
    connect("tunnel to a metadata service", "169.254.169.254:80"),
    connect("tunnel to a private network", "10.0.0.1:443"),
    connect("tunnel to ssh", "site.test:22"),
    connect("tunnel to an allowed name at another port", "site.test:{trap}"),
    connect("tunnel that says to be left alone", "127.0.0.1:{trap} HTTP/1.1\r\nSketchwire-Tunnel: 1\r\nX:", BAD),
)

WITHOUT_A_TOKEN = (
    bare("no token"),
    bare("no token, https", target="https://site.test:{site}/"),
    bare("no token, only a Host field", target="/"),
    bare("no token, but our own field", "Sketchwire-Accept: v=1;engine=preview;nonce=0123456789abcdef\r\n"),
    bare("empty", "Proxy-Authorization:\r\n"),
    bare("scheme only", "Proxy-Authorization: Bearer\r\n"),
    bare("wrong", "Proxy-Authorization: Bearer {wrong}\r\n"),
    bare("first half", "Proxy-Authorization: Bearer {half}\r\n"),
    bare("one character more", "Proxy-Authorization: Bearer {token}x\r\n"),
    bare("another scheme", "Proxy-Authorization: Basic {token}\r\n"),
    bare("as a password", "Proxy-Authorization: Basic {basic}\r\n"),
    bare("as a bare value", "Proxy-Authorization: {token}\r\n"),
    bare("in the field for origins", "Authorization: Bearer {token}\r\n"),
    bare("in a field of ours", "Sketchwire-Token: {token}\r\n"),
    bare("in the query", target="http://site.test:{site}/?token={token}"),
    bare("in user information", target="http://x:{token}@site.test:{site}/", refused=(400, 407)),
    bare("twice, one of them wrong", "Proxy-Authorization: Bearer {wrong}\r\n{auth}"),
    bare("twice, the right one first", "{auth}Proxy-Authorization: Bearer {wrong}\r\n"),
    bare("one that was rotated out", "Proxy-Authorization: Bearer {old}\r\n"),
    bare("pretending to be this machine", "X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n"),
    raw("tunnel", "CONNECT site.test:{site} HTTP/1.1\r\n\r\n", refused=(407,)),
    raw("tunnel to port 443", "CONNECT site.test:443 HTTP/1.1\r\nHost: site.test\r\n\r\n", refused=(407,)),
    raw(
        "tunnel, then a request all the same",
        "CONNECT site.test:{site} HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n",
        refused=(0, 407),
    ),
    raw(
        "a right request first, then one without",
        "GET http://site.test:{site}/mine HTTP/1.1\r\nHost: site.test\r\n{auth}\r\n",
        "GET http://site.test:{site}/stolen HTTP/1.1\r\nHost: site.test\r\n\r\n",
        refused=(407,),
    ),
)

OUT_OF_BOUNDS = (
    raw("TRACE", "TRACE http://site.test:{site}/ HTTP/1.1\r\nHost: x\r\n{auth}\r\n", refused=(405,)),
    raw("TRACK", "TRACK http://site.test:{site}/ HTTP/1.1\r\nHost: x\r\n{auth}\r\n", refused=(405,)),
    raw("a method that is none", "G{{T http://site.test:{site}/ HTTP/1.1\r\nHost: x\r\n{auth}\r\n", refused=(400, 405)),
    get("an address of 20 kB", "http://site.test:{site}/" + "a" * 20_000, (414,)),
    raw(
        "300 fields",
        "GET http://site.test:{site}/ HTTP/1.1\r\n" + "X: y\r\n" * 300 + "{auth}\r\n",
        refused=(431,),
    ),
    raw(
        "a field of 140 kB",
        "GET http://site.test:{site}/ HTTP/1.1\r\nX: " + "y" * 140_000 + "\r\n{auth}\r\n",
        refused=(431,),
    ),
    raw("a head without an end", "GET http://site.test:{site}/ HTTP/1.1\r\nX: " + "y" * 400_000, refused=(0, 431)),
    raw(
        "two lengths",
        "POST http://site.test:{site}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 60\r\n{auth}\r\nx",
        refused=(400,),
    ),
    raw(
        "a length and chunks",
        "POST http://site.test:{site}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n{auth}\r\n0\r\n\r\n",
        refused=(400,),
    ),
    raw("HTTP/0.9", "GET /\r\n\r\n", refused=(0, 400)),
)
