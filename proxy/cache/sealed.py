"""What the HTTP cache keeps is unreadable without a key that lies in a file of its own.

In: heads as text, bodies piece by piece. Out: the same, sealed, and back. Refuses: heads that were altered or sealed
with another key (`ValueError`); a body's integrity is the index's matter, which holds its digest.

Heads: AES-256-GCM, the nonce first (NIST SP 800-38D). Bodies: AES-256 in counter mode (SP 800-38A), whose first block
is the body's own random name, so that a body can be read and written as it comes and no two share a key stream. Whoever
has the whole state folder has the key too: this is for backups, crash dumps and disks that leave without it, and
deleting the key deletes the cache at once.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from proxy.statefile import local_key

NONCE_BYTES, NAME_BYTES = 12, 16
KEY_FILE = "key"


class Seal:
    """Seals and unseals with `key`, 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._heads, self._bodies = AESGCM(key), AES(key[::-1])

    def head(self, text: str) -> bytes:
        """`text`, sealed."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._heads.encrypt(nonce, text.encode("utf-8", "surrogateescape"), None)

    def open_head(self, sealed: bytes) -> str:
        """What `head` sealed. Raises ValueError."""
        if not isinstance(sealed, bytes):
            raise ValueError("no sealed head")
        try:
            plain = self._heads.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except InvalidTag as error:
            raise ValueError("sealed with another key, or altered") from error
        return plain.decode("utf-8", "surrogateescape")

    def body(self, name: str) -> CipherContext:
        """What seals, and in the same way unseals, the body of this name: 2 × NAME_BYTES hexadecimal digits first."""
        return Cipher(self._bodies, CTR(bytes.fromhex(name[: 2 * NAME_BYTES]))).encryptor()


def seal_of(folder: Path) -> Seal:
    """The seal of the cache in `folder`. Its key is made where there is none, for this process alone if it cannot be
    kept; what was sealed is forgotten with it.
    """
    return Seal(local_key(folder / KEY_FILE))
