"""The near end's first and last words: pairs with a far end, and replaces its own key there.

In: an address and a code, or an existing pairing. Out: what was learned, written to the folder. Refuses: whatever
`pairing` refuses; then nothing is written (`PairingFailed`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from proxy.link import keys
from proxy.link.pairing import MAX_MESSAGE_BYTES, Asking, PairingFailed, Rotating
from proxy.link.peers import Peer, Peers, ca_file
from proxy.link.secure import fingerprint, rotation_context, stranger_context

T = TypeVar("T")
DEADLINE_S = 20.0
NEXT = "next"  # the name of a key that is not in force yet


async def join(folder: Path, host: str, port: int, code: str, name: str, pinned_pem: str = "") -> Peer:
    """Pair with the far end; `pinned_pem` is its certificate where a file told it. Raises PairingFailed."""
    key = keys.load_or_make(folder)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server_der: bytes) -> Peer:
        if pinned_pem and keys.fingerprint_of(pinned_pem) != fingerprint(server_der):
            raise PairingFailed("the other end is not the one that made the file; nothing was paired")
        asking = await asyncio.to_thread(Asking, key, name, code, server_der)
        writer.write(asking.question())
        welcome = asking.welcome(await reader.readline())
        if welcome.ca:
            keys.write_private(ca_file(folder), welcome.ca.encode())
        return Peers(folder).add(host, welcome.pem)

    return await _talking(host, port, stranger_context(), talk)


async def replace_key(folder: Path, host: str, port: int) -> str:
    """Make a new key and have the far end accept it; returns its fingerprint. Raises PairingFailed."""
    old, peers = keys.load_or_make(folder), Peers(folder).all()
    if not peers:
        raise PairingFailed("not paired: there is nobody to tell")
    keys.make(folder, NEXT)
    new = keys.load_or_make(folder, NEXT)
    context = rotation_context(old.certificate, old.private, [peer.pem for peer in peers.values()])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server_der: bytes) -> str:
        if fingerprint(server_der) not in peers:
            raise PairingFailed("the other end is not the paired one; the key stays")
        rotating = Rotating(old, new, server_der)
        writer.write(rotating.question())
        rotating.accepted(await reader.readline())
        keys.replace_with(folder, NEXT)
        return new.fingerprint

    return await _talking(host, port, context, talk)


async def _talking(
    host: str,
    port: int,
    context: ssl.SSLContext,
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[T]],
) -> T:
    try:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=MAX_MESSAGE_BYTES)
            try:
                tls = writer.get_extra_info("ssl_object")
                server_der = tls.getpeercert(binary_form=True)
                assert server_der is not None
                return await talk(reader, writer, server_der)
            finally:
                writer.transport.abort()
    except (OSError, ssl.SSLError, ValueError) as error:  # TimeoutError and ConnectionError are OSErrors
        raise PairingFailed(f"{host} port {port}: {error or type(error).__name__}") from error
