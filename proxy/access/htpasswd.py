"""Users and their passwords, from a file in Apache's htpasswd layout: `name:hash`, one a line.

In: a password file, names and passwords from strangers. Out: whether they belong together. Refuses: files that others
may write, and hashes that are guessed quickly: plain text, crypt, MD5 and SHA-1 (`PasswordFileError`, with the line).

Known hashes: scrypt, written by `sketchwire access password` and checked by Python itself (RFC 7914), and bcrypt,
written by `htpasswd -B`, where the `bcrypt` package is installed. Both take long on purpose: check in a thread.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from proxy.statefile import write_bytes

MAX_PASSWORD_BYTES = 256
_LOG_N, _R, _P = 14, 8, 1  # 16 MiB and some 50 ms
_SCRYPT = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{16,64})\$([A-Za-z0-9+/]{43})\Z")
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}\Z")
_NAME = re.compile(r"[^:\s\x00-\x1f\x7f]{1,64}\Z")


class PasswordFileError(ValueError):
    """The password file cannot be used; the message says which line, why, and what to do."""


@dataclass(frozen=True, slots=True, repr=False)
class Users:
    """Names and hashes."""

    hashes: dict[str, str] = field(default_factory=dict)

    def check(self, name: str, password: str) -> bool:
        """Whether the password is the user's. Takes as long for a name that does not exist."""
        known = self.hashes.get(name)
        given = password.encode("utf-8", "surrogateescape")
        if len(given) > MAX_PASSWORD_BYTES or "\0" in password:
            return False
        return _matches(known or next(iter(self.hashes.values()), ""), given) and known is not None


def read_users(path: Path) -> Users:
    """The users of a file. Raises PasswordFileError."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read ({error}); make it with `sketchwire access password NAME {path}`"
        raise PasswordFileError(message) from None
    if mode & 0o022:
        raise PasswordFileError(f"{path} can be written by others ({mode:o}); chmod 600 {path}")
    hashes: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, hashed = line.strip().partition(":")
        problem = None if _NAME.match(name) else "no user name before the colon"
        problem = problem or _problem(hashed)
        if problem:
            raise PasswordFileError(f"{path}, line {number}: {problem}")
        hashes[name] = hashed
    if not hashes:
        raise PasswordFileError(f"{path} holds no user; add one with `sketchwire access password NAME {path}`")
    return Users(hashes)


def hashed(password: str) -> str:
    """A password's hash, with a salt of its own."""
    salt = secrets.token_bytes(16)
    made = _scrypt(password.encode("utf-8", "surrogateescape"), salt, 1 << _LOG_N, _R, _P)
    return f"$scrypt$ln={_LOG_N},r={_R},p={_P}${_text(salt)}${_text(made)}"


def set_password(path: Path, name: str, password: str) -> None:
    """Add a user to the file, or give one a new password. Raises PasswordFileError, ValueError, OSError."""
    if not _NAME.match(name):
        raise ValueError("a user name has 1 to 64 characters, none of them a colon or a space")
    if not 8 <= len(password.encode()) <= MAX_PASSWORD_BYTES:
        raise ValueError(f"a password has 8 to {MAX_PASSWORD_BYTES} bytes")
    users = dict(read_users(path).hashes) if path.exists() else {}
    users[name] = hashed(password)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_bytes(path, "".join(f"{each}:{value}\n" for each, value in users.items()).encode())


def _problem(value: str) -> str | None:
    if _SCRYPT.match(value):
        log_n, r, p = (int(number) for number in value.split("$")[2].replace("=", ",").split(",")[1::2])
        return None if 10 <= log_n <= 17 and 1 <= r <= 8 and 1 <= p <= 4 else "scrypt parameters out of bounds"
    if _BCRYPT.match(value):
        if int(value[4:6]) > 14:
            return "this bcrypt hash takes seconds to check; use a cost of at most 14"
        installed = importlib.util.find_spec("bcrypt") is not None
        return None if installed else "checking bcrypt needs a package: pip install bcrypt"
    return "this hash is unknown or too weak; use `sketchwire access password NAME` or `htpasswd -B`"


def _matches(known: str, given: bytes) -> bool:
    found = _SCRYPT.match(known)
    if found:
        log_n, r, p = (int(found[i]) for i in (1, 2, 3))
        salt, wanted = (base64.b64decode(found[i] + "=" * (-len(found[i]) % 4)) for i in (4, 5))
        return secrets.compare_digest(_scrypt(given, salt, 1 << log_n, r, p), wanted)
    if _BCRYPT.match(known):
        bcrypt = importlib.import_module("bcrypt")
        return bool(bcrypt.checkpw(given[:72], known.encode()))
    return False


def _scrypt(password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r + (1 << 20), dklen=32)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")
