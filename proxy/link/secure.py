"""TLS 1.3 without sockets: both ends show a certificate, and each knows exactly which one it will accept.

In: raw bytes from the socket, plaintext to send. Out: plaintext, raw bytes for the socket. Refuses: TLS below 1.3, and
certificates that are not pinned (`ssl.SSLError`).

The bytes pass through here as they are on the wire, so that they can be counted; asyncio's own TLS hides them.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import Iterable
from pathlib import Path

LINK_PROTOCOL = "sketchwire-link/1"
PAIR_PROTOCOL = "sketchwire-pair/1"
_READ_BYTES = 256 * 1024


def fingerprint(certificate_der: bytes) -> str:
    """A certificate's name: SHA-256 of its DER form, in hexadecimal."""
    return hashlib.sha256(certificate_der).hexdigest()


def server_context(certificate: Path, key: Path, clients_pem: Iterable[str]) -> ssl.SSLContext:
    """The far end's side. Who shows no certificate comes through as well, and can do nothing but pair."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 1
    return _prepared(context, certificate, key, clients_pem, [LINK_PROTOCOL, PAIR_PROTOCOL])


def client_context(certificate: Path, key: Path, servers_pem: Iterable[str]) -> ssl.SSLContext:
    """The near end's side of the link."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate itself is pinned
    context.verify_mode = ssl.CERT_REQUIRED
    return _prepared(context, certificate, key, servers_pem, [LINK_PROTOCOL])


def rotation_context(certificate: Path, key: Path, servers_pem: Iterable[str]) -> ssl.SSLContext:
    """For replacing a key: the old one is shown, the pairing protocol is spoken."""
    context = client_context(certificate, key, servers_pem)
    context.set_alpn_protocols([PAIR_PROTOCOL])
    return context


def stranger_context() -> ssl.SSLContext:
    """For pairing: nothing is known yet; the pairing messages themselves prove who is at the other end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([PAIR_PROTOCOL])
    return context


def _prepared(
    context: ssl.SSLContext, certificate: Path, key: Path, trusted_pem: Iterable[str], protocols: list[str]
) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a pinned certificate needs no authority above it
    for pem in trusted_pem:
        context.load_verify_locations(cadata=pem)
    context.set_alpn_protocols(protocols)
    return context


class Secured:
    """One TLS connection. `session` continues an earlier one, which spares the certificates."""

    def __init__(
        self, context: ssl.SSLContext, server_side: bool, session: ssl.SSLSession | None = None, name: str | None = None
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=name, session=session
        )
        self.established = False
        self.closed = False

    def start(self) -> None:
        """Begin the handshake; the client's first bytes are then in `outgoing`."""
        self._handshake()

    def receive(self, raw: bytes) -> bytes:
        """The plaintext that `raw` completes. Raises ssl.SSLError; what then is in `outgoing` should still be sent."""
        self._incoming.write(raw)
        if not self.established and not self._handshake():
            return b""
        plain = bytearray()
        try:
            while piece := self._tls.read(_READ_BYTES):
                plain += piece
            self.closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.closed = True
        return bytes(plain)

    def send(self, plain: bytes) -> None:
        """Encrypt `plain`."""
        view = memoryview(plain)
        while view:
            view = view[self._tls.write(view) :]

    def close(self) -> None:
        """Say goodbye; the peer's goodbye is not awaited."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()

    def outgoing(self) -> bytes:
        """Raw bytes for the socket, handed out once."""
        return self._outgoing.read()

    @property
    def peer(self) -> str | None:
        """The fingerprint of the peer's certificate, when it showed one."""
        der = self._tls.getpeercert(binary_form=True)
        return fingerprint(der) if der else None

    @property
    def peer_der(self) -> bytes | None:
        """The peer's certificate."""
        return self._tls.getpeercert(binary_form=True)

    @property
    def protocol(self) -> str | None:
        """The application protocol both agreed on."""
        return self._tls.selected_alpn_protocol()

    @property
    def session(self) -> ssl.SSLSession | None:
        """What continues this connection later; complete only after the server's first bytes."""
        return self._tls.session

    @property
    def resumed(self) -> bool:
        """Whether this connection continued an earlier one."""
        return bool(self._tls.session_reused)

    def _handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.established = True
        return True
