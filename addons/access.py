"""Keeps strangers out: of the upstream proxy by its downstreams' tokens, of the downstream proxy by users' passwords.

In: requests and CONNECTs. Out: the same without the credentials that were for this proxy, or 407, 405, 414, 431.
Refuses: whoever proves nothing, what is larger or other than a request may be, and large bodies without reading them.

A tunnel that was opened with credentials needs none inside. Credentials never go on: whatever comes with a
Proxy-Authorization field leaves without it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import secrets
import time
from collections import OrderedDict
from hashlib import blake2b
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy import connection, http

from addons import adapt
from addons.errorpage import page
from proxy.access.htpasswd import Users
from proxy.access.limits import RequestLimits
from proxy.access.pairing import HEADER, Tokens
from proxy.headers import Headers

logger = logging.getLogger("sketchwire.access")

USER = "sketchwire-user"  # of a flow's metadata
LARGE_BODY_BYTES = 64 * 1024
_PAIRING_ADVICE = "This proxy serves its own downstream proxies only: set your browser to one of those."
_CHECKS_AT_ONCE = 2
_REMEMBER_S = 600.0
_MAX_REMEMBERED = 4_096
_FAILURES, _FAILURES_WITHIN_S = 8, 60.0


def turn_away(flow: http.HTTPFlow, status: int, why: str, advice: str = "", *more: tuple[str, str]) -> None:
    """Answer with an error page; a request whose large body would have to be read first is cut off instead."""
    if adapt.large_or_unknown_body(flow.request, LARGE_BODY_BYTES):
        cut(flow)
        return
    fields = (("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store"), *more)
    adapt.answer(flow, status, Headers(fields), page(status, why, advice))


def cut(flow: http.HTTPFlow) -> None:
    """End a flow without an answer."""
    flow.kill()  # type: ignore[no-untyped-call]


class Bounds:
    """Refuses requests that are larger or other than a request may be; comes before everything else."""

    def __init__(self, limits: RequestLimits) -> None:
        self.limits = limits  # may be replaced while flows pass

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Judge a request by its head."""
        self._judge(flow)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """The same for a tunnel."""
        self._judge(flow)

    def _judge(self, flow: http.HTTPFlow) -> None:
        if flow.response is not None:
            return
        try:
            refused = self.limits.judge(flow.request.method, flow.request.url, adapt.headers_of(flow.request))
        except Exception:
            logger.exception("a request could not be judged and is refused")
            turn_away(flow, 400, "The request could not be read.")
            return
        if refused is not None:
            turn_away(flow, refused.status, f"Sketchwire does not pass this on: {refused.why}.")


class PairedOnly:
    """At the upstream proxy: serves who carries a token. `tokens` None serves everybody (on loopback)."""

    def __init__(self, tokens: Tokens | None) -> None:
        self.tokens = tokens  # may be replaced while flows pass
        self._admitted: WeakSet[connection.Client] = WeakSet()

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Admit a tunnel, or not."""
        if self._admits(flow):
            self._admitted.add(flow.client_conn)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Admit a request, or not."""
        if flow.client_conn in self._admitted:
            flow.request.headers.pop(HEADER, None)
        else:
            self._admits(flow)

    def _admits(self, flow: http.HTTPFlow) -> bool:
        shown = flow.request.headers.get_all(HEADER)
        flow.request.headers.pop(HEADER, None)
        if flow.response is not None:
            return False
        if self.tokens is None or (len(shown) == 1 and self.tokens.accepts(shown[0])):
            return True
        turn_away(flow, 407, "No token of a paired proxy came with the request.", _PAIRING_ADVICE, _CHALLENGE_TOKEN)
        return False


_CHALLENGE_TOKEN = ("Proxy-Authenticate", 'Bearer realm="Sketchwire"')
_CHALLENGE_PASSWORD = ("Proxy-Authenticate", 'Basic realm="Sketchwire", charset="UTF-8"')


class ShowToken:
    """At the downstream proxy: shows its token to upstream, on what upstream itself reads and on nothing else.

    Must come after the addon that writes the request's fields.
    """

    def __init__(self, tokens: Tokens | None) -> None:
        self.tokens = tokens  # may be replaced while flows pass
        self._tunnels: WeakSet[connection.Client] = WeakSet()

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """A tunnel opens: what is inside goes to origins."""
        self._tunnels.add(flow.client_conn)

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """A tunnel through upstream opens: upstream reads its head."""
        flow.request.headers.pop(HEADER, None)
        if self.tokens is not None:
            flow.request.headers[HEADER] = self.tokens.header

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A request goes to upstream as it is only over plain http and outside of tunnels."""
        flow.request.headers.pop(HEADER, None)
        inside = flow.client_conn in self._tunnels
        if self.tokens is not None and flow.response is None and flow.request.scheme == "http" and not inside:
            flow.request.headers[HEADER] = self.tokens.header


class Passwords:
    """At the downstream proxy: serves its users. `users` None serves everybody (on loopback).

    Checking a password takes long on purpose, so it is done in a thread, a few at a time, and a right one is remembered
    for minutes (as a digest with a key of this process). Who fails often waits.
    """

    def __init__(self, users: Users | None) -> None:
        self._users = users
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._checking = asyncio.Semaphore(_CHECKS_AT_ONCE)
        self._admitted: WeakKeyDictionary[connection.Client, str] = WeakKeyDictionary()

    def set_users(self, users: Users | None) -> None:
        """Serve other users from now on; who opened a tunnel keeps it."""
        if self._users is None or users is None or users.hashes != self._users.hashes:
            self._known.clear()
        self._users = users

    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """Admit a tunnel, or not."""
        name = await self._admits(flow)
        if name is not None:
            self._admitted[flow.client_conn] = name

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Admit a request, or not."""
        name = self._admitted.get(flow.client_conn)
        if name is not None:
            flow.metadata[USER] = name
        elif flow.response is None:
            await self._admits(flow)

    def who(self, client: connection.Client, flow: http.HTTPFlow | None = None) -> str:
        """Whose connection or flow this is: a user's name where there are users, else the client's address."""
        name = self._admitted.get(client) or (flow.metadata.get(USER) if flow is not None else None)
        return f"user {name}" if name else f"address {client.peername[0] if client.peername else 'unknown'}"

    async def _admits(self, flow: http.HTTPFlow) -> str | None:
        shown = flow.request.headers.get_all(HEADER)
        flow.request.headers.pop(HEADER, None)
        if self._users is None or flow.response is not None:
            return None
        address, now_s = adapt.client_address(flow), time.monotonic()
        credentials = _basic(shown[0]) if len(shown) == 1 else None
        if credentials is not None and await self._right(address, *credentials, now_s):
            flow.metadata[USER] = credentials[0]
            return credentials[0]
        turn_away(flow, 407, "A name and a password are needed.", "Ask who runs this proxy.", _CHALLENGE_PASSWORD)
        return None

    async def _right(self, address: str, name: str, password: str, now_s: float) -> bool:
        digest = blake2b(f"{name}\0{password}".encode("utf-8", "surrogateescape"), key=self._key).digest()
        if self._known.get(digest, 0.0) > now_s:
            return True
        count, last_s = self._failed.get(address, (0, now_s))
        if count >= _FAILURES and now_s - last_s < _FAILURES_WITHIN_S:
            return False
        users = self._users
        assert users is not None
        async with self._checking:
            right = await asyncio.to_thread(users.check, name, password)
        if right and users is self._users:
            self._known[digest] = now_s + _REMEMBER_S
            self._failed.pop(address, None)
        elif not right:
            count = count + 1 if now_s - last_s < _FAILURES_WITHIN_S else 1
            self._failed[address] = (count, now_s)
            if count == _FAILURES:
                logger.warning("a client failed to give a password %d times; its next tries are not checked", count)
        for kept in (self._known, self._failed):
            while len(kept) > _MAX_REMEMBERED:
                kept.popitem(last=False)
        return right


def _basic(value: str) -> tuple[str, str] | None:
    """Name and password of a Basic Proxy-Authorization (RFC 7617), or None."""
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    name, colon, password = decoded.partition(":")
    return (name, password) if colon else None
