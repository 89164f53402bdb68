"""Who is paired with this installation: a small JSON file, read again whenever it changes.

In: a folder; peers to add and to forget. Out: peers by fingerprint. Refuses: a file that is not ours or damaged
(`PeersUnreadable`), rather than to trust nobody or everybody by mistake.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from proxy.link.keys import fingerprint_of, write_private

FILE = "peers.json"


def ca_file(folder: Path) -> Path:
    """Where a near end keeps its upstream proxy's authority for https."""
    return folder / "upstream-ca.pem"


class PeersUnreadable(ValueError):
    """The list of peers cannot be used; the message names the file."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A paired installation. `replaces` is the fingerprint of its older key, valid until the new one is first used."""

    name: str
    pem: str
    added_s: float = 0.0
    replaces: str = ""

    @property
    def fingerprint(self) -> str:
        """The name of its key."""
        return fingerprint_of(self.pem)


class Peers:
    """The paired installations below a state folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._stamp: tuple[int, int] | None = None
        self._peers: dict[str, Peer] = {}

    def all(self) -> dict[str, Peer]:
        """Peers by fingerprint, as the file has them now. Raises PeersUnreadable."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            self._peers, self._stamp = {}, None
            return self._peers
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if stamp != self._stamp:
            self._peers = self._read()
            self._stamp = stamp
        return self._peers

    def add(self, name: str, pem: str, replaces: str = "") -> Peer:
        """Pair with the holder of `pem`; its place is taken when it is known already."""
        peer = Peer(name, pem, time.time(), replaces)
        with self._changing() as peers:
            peers[peer.fingerprint] = peer
        return peer

    def settle(self, fingerprint: str) -> None:
        """A rotated key was used: the one it replaces is no longer accepted."""
        with self._changing() as peers:
            peer = peers.get(fingerprint)
            if peer is not None and peer.replaces:
                peers.pop(peer.replaces, None)
                peers[fingerprint] = replace(peer, replaces="")

    def forget(self, which: str) -> list[Peer]:
        """Revoke by name or by the beginning of a fingerprint (8 digits at least); returns who was forgotten."""
        with self._changing() as peers:
            gone = [
                peer
                for mark, peer in peers.items()
                if peer.name == which or (len(which) >= 8 and mark.startswith(which.lower()))
            ]
            for peer in gone:
                del peers[peer.fingerprint]
        return gone

    def _read(self) -> dict[str, Peer]:
        try:
            entries = json.loads(self._file.read_text(encoding="utf-8"))
            found = [Peer(str(e["name"]), str(e["pem"]), float(e["added_s"]), str(e["replaces"])) for e in entries]
            return {peer.fingerprint: peer for peer in found}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PeersUnreadable(f"{self._file}: {error}; pair again after removing it") from error

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Peer]]:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._file.with_suffix(".lock")).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._stamp = None
            peers = dict(self.all())
            yield peers
            text = json.dumps([asdict(peer) for peer in peers.values()], indent=1)
            write_private(self._file, text.encode() + b"\n")
            self._stamp = None
