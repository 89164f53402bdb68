"""Pseudonyms of clients and users: keyed digests that only who holds the key can make again.

In: an address, or the name a user signed in with. Out: 16 hexadecimal digits. Refuses: a key file that others can read
(`KeyUnsafe`).

The key lies in a file of its own, 0600, not in the ledger: a copy of the ledger alone names nobody. A new key
(`rotate`) makes new pseudonyms; who had the old one can no longer be told from the ledger, nor be found in it by name.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
import stat
import threading
import time
from hashlib import sha256
from pathlib import Path

from proxy.config import LedgerConfig

KEY_BYTES = 32
LOOK_EVERY_S = 5.0
_DIGITS = 16


class KeyUnsafe(OSError):
    """The key file cannot be used; the message says why, and what to do."""


def key_file(config: LedgerConfig, state_dir: str | Path) -> Path:
    """Where a role's key is: what the configuration says, else `ledger.key` in the role's state folder."""
    return Path(config.key_file).expanduser() if config.key_file else Path(state_dir).expanduser() / "ledger.key"


def pseudonym(key: bytes, who: str) -> str:
    """The pseudonym of an address or a user."""
    return hmac.new(key, who.encode("utf-8", "surrogateescape"), sha256).hexdigest()[:_DIGITS]


def named(client: str) -> str:
    """A client as the proxies name it, `address …` or `user …`, from an address or a user's name."""
    try:
        ipaddress.ip_address(client)
    except ValueError:
        return client if client.startswith(("address ", "user ")) else f"user {client}"
    return f"address {client}"


def load_key(path: Path) -> bytes:
    """The key in `path`, made at need. Raises KeyUnsafe, OSError."""
    try:
        with path.open("rb") as file:
            mode, key = os.fstat(file.fileno()).st_mode, file.read(KEY_BYTES + 1)
    except FileNotFoundError:
        return _write(path, replacing=False)
    if stat.S_IMODE(mode) & 0o077:
        raise KeyUnsafe(f"{path} can be read by others; run: chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise KeyUnsafe(f"{path} is no key of {KEY_BYTES} bytes; `sketchwire ledger rotate-key` makes a new one")
    return key


def rotate(path: Path) -> None:
    """Replace the key by a new one; the old one is gone. Raises OSError."""
    _write(path, replacing=True)


def _write(path: Path, replacing: bool) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    key = secrets.token_bytes(KEY_BYTES)
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        if replacing:
            draft.replace(path)
            return key
        try:
            os.link(draft, path)
        except FileExistsError:  # another process made one a moment ago
            return load_key(path)
        return key
    finally:
        draft.unlink(missing_ok=True)


class Pseudonyms:
    """Names clients for a running proxy; a key that was rotated is noticed within seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = load_key(path)
        self._seen = self._stamp()
        self._look_after = time.monotonic() + LOOK_EVERY_S
        self._lock = threading.Lock()

    def __call__(self, who: str) -> str:
        """The pseudonym; empty when the key has become unusable. Never raises."""
        with self._lock:
            if time.monotonic() >= self._look_after:
                self._look_after = time.monotonic() + LOOK_EVERY_S
                self._look()
            return pseudonym(self._key, who) if self._key else ""

    def _look(self) -> None:
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._key, self._seen = load_key(self._path), stamp
        except OSError:
            self._key, self._seen = b"", None

    def _stamp(self) -> tuple[int, int] | None:
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns
