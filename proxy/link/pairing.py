"""How two installations get to know each other: one question and one answer inside TLS, proved with a shared code.

In: each side's messages as JSON lines. Out: the other's certificate, and upstream's authority for https. Refuses: a
wrong, used or late code; proofs made for another connection, which is what somebody in the middle would have.

    near → far   {"v": 1, "name": …, "pem": …, "nonce": …, "proof": …, "signature": …}
    far  → near  {"v": 1, "pem": …, "ca": …, "proof": …}                     or nothing and a closed connection

    near → far   {"v": 1, "rotate": …, "signature": …}                       with a paired certificate: a new key
    far  → near  {"v": 1, "rotated": …}

The near end shows no certificate to TLS here, but signs with its key. A proof is an HMAC with the code's secret over
both certificates and the nonce, and over `ca`; the certificate of the far end is the one that TLS was made with.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.link import codes
from proxy.link.keys import Key, fingerprint_of, load_or_make, verified
from proxy.link.peers import Peers

VERSION = 1
MAX_MESSAGE_BYTES = 64 * 1024
NAME_CHARS = 64


class PairingFailed(Exception):
    """Not paired; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the near end learned: the far end's certificate, and the authority that signs https answers."""

    pem: str
    ca: str


class Asking:
    """The near end's side, for one connection to `server_der`."""

    def __init__(self, key: Key, name: str, code: str, server_der: bytes) -> None:
        self._secret = codes.derive(code)
        self._server = hashlib.sha256(server_der).hexdigest()
        self._key = key
        self._nonce = secrets.token_hex(16)
        self._name = name[:NAME_CHARS]

    def question(self) -> bytes:
        """The message to send."""
        context = _context(self._server, self._key.fingerprint, self._nonce)
        message = {
            "v": VERSION,
            "name": self._name,
            "pem": self._key.pem,
            "nonce": self._nonce,
            "proof": _proof(self._secret, b"near", context),
            "signature": self._key.sign(context).hex(),
        }
        return json.dumps(message).encode() + b"\n"

    def welcome(self, line: bytes) -> Welcome:
        """What the far end answered. Raises PairingFailed."""
        if not line:
            raise PairingFailed("the upstream proxy closed the connection: ask for a new code, and mind its time")
        message = _parsed(line)
        pem, ca = str(message.get("pem", "")), str(message.get("ca", ""))
        context = _context(self._server, self._key.fingerprint, self._nonce)
        proof = _proof(self._secret, b"far", context + ca.encode())
        if not hmac.compare_digest(str(message.get("proof", "")).encode(), proof.encode()):
            raise PairingFailed("the other end does not know the code: somebody may be in between; nothing was paired")
        try:
            matches = fingerprint_of(pem) == self._server
        except ValueError:
            matches = False
        if not matches:
            raise PairingFailed("the other end showed a certificate that is not the connection's; nothing was paired")
        return Welcome(pem, ca)


class Rotating:
    """The near end's side of replacing its key; the connection is made with the old one."""

    def __init__(self, old: Key, new: Key, server_der: bytes) -> None:
        self._old, self._new = old, new
        self._server = hashlib.sha256(server_der).hexdigest()

    def question(self) -> bytes:
        """The message to send: the new certificate, signed with its own key for this pairing."""
        context = _context(self._server, self._old.fingerprint, self._new.fingerprint)
        message = {"v": VERSION, "rotate": self._new.pem, "signature": self._new.sign(context).hex()}
        return json.dumps(message).encode() + b"\n"

    def accepted(self, line: bytes) -> None:
        """Whether the far end took it. Raises PairingFailed."""
        if not line or _parsed(line).get("rotated") != self._new.fingerprint:
            raise PairingFailed("the upstream proxy did not take the new key; the old one stays")


class Guest:
    """The far end's side of one such connection: reads one line, and answers only a right one.

    `peer` is the fingerprint of a paired client that wants to replace its key; a stranger has none.
    """

    def __init__(self, folder: Path, key: Key, peers: Peers, ca: str, peer: str = "") -> None:
        self._folder, self._key, self._peers, self._ca, self._peer = folder, key, peers, ca, peer
        self._line = bytearray()

    def receive(self, plain: bytes) -> bytes | None:
        """What to answer before closing; empty to close without a word, None to wait for the rest."""
        self._line += plain
        if b"\n" not in self._line:
            return None if len(self._line) <= MAX_MESSAGE_BYTES else b""
        try:
            line = bytes(self._line).partition(b"\n")[0]
            return self._rotate(line) if self._peer else self._answer(line)
        except (PairingFailed, ValueError):
            return b""

    def _rotate(self, line: bytes) -> bytes:
        message, peer = _parsed(line), self._peers.all().get(self._peer)
        pem = str(message.get("rotate", ""))
        mark = fingerprint_of(pem)
        signature = bytes.fromhex(str(message.get("signature", "")))
        if peer is None or not verified(pem, signature, _context(self._key.fingerprint, self._peer, mark)):
            return b""
        self._peers.add(peer.name, pem, replaces=self._peer)
        return json.dumps({"v": VERSION, "rotated": mark}).encode() + b"\n"

    def _answer(self, line: bytes) -> bytes:
        pending = codes.pending(self._folder)
        if not pending:
            return b""
        message = _parsed(line)
        pem, nonce = str(message.get("pem", "")), str(message.get("nonce", ""))
        context = _context(self._key.fingerprint, fingerprint_of(pem), nonce)
        code = _matching(pending, str(message.get("proof", "")), context)
        if code is None:
            codes.missed(self._folder)
            return b""
        signature = bytes.fromhex(str(message.get("signature", "")))
        if message.get("v") != VERSION or not verified(pem, signature, context) or not codes.spend(self._folder, code):
            return b""
        self._peers.add(code.name or str(message.get("name", ""))[:NAME_CHARS] or "unnamed", pem)
        proof = _proof(bytes.fromhex(code.secret), b"far", context + self._ca.encode())
        answer = {"v": VERSION, "pem": self._key.pem, "ca": self._ca, "proof": proof}
        return json.dumps(answer).encode() + b"\n"


def _matching(pending: Iterable[codes.Code], proof: str, context: bytes) -> codes.Code | None:
    found = None
    for code in pending:  # all of them, so that the time tells nothing
        if hmac.compare_digest(_proof(bytes.fromhex(code.secret), b"near", context).encode(), proof.encode()):
            found = code
    return found


def _proof(secret: bytes, role: bytes, context: bytes) -> str:
    return hmac.new(secret, role + b"\0" + context, hashlib.sha256).hexdigest()


def _context(server: str, client: str, nonce: str) -> bytes:
    return f"sketchwire pairing 1\0{server}\0{client}\0{nonce}\0".encode()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PairingFailed("the other end does not speak the pairing protocol") from error
    if not isinstance(message, dict):
        raise PairingFailed("the other end does not speak the pairing protocol")
    return message


def pair_here(upstream_folder: Path, downstream_folder: Path) -> None:
    """Pair two installations whose state is on this machine, without a code; nothing happens when they are paired."""
    far, near = load_or_make(upstream_folder), load_or_make(downstream_folder)
    if near.fingerprint not in Peers(upstream_folder).all():
        Peers(upstream_folder).add("this machine", near.pem)
    if far.fingerprint not in Peers(downstream_folder).all():
        Peers(downstream_folder).add("upstream", far.pem)
