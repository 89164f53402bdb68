"""One-time pairing codes: short ones to be read out, long ones for a file.

In: a folder. Out: a code, and later whether a code is still good. Refuses: a second use, late use, and after a few
wrong guesses any use at all.

A short code has 50 bits. Guessing it at the far end stops after `MAX_TRIES` tries. Who tricks a near end into sending
its proof to the wrong machine has the code's lifetime for 2^50 scrypt computations of 32 MiB each.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from proxy.link.keys import write_private

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing in it looks like something else
SHORT_CHARS, LONG_CHARS = 10, 26
MAX_TRIES = 5
MAX_CODES = 16
FILE = "codes.json"


@dataclass(frozen=True, slots=True)
class Code:
    """A code that was given out; `secret` is what both ends derive from it."""

    name: str
    secret: str
    expires_s: float
    tries: int = 0


def derive(code: str) -> bytes:
    """The 32-byte secret of a code, however it was typed."""
    plain = "".join(normal(code))
    return hashlib.scrypt(
        plain.encode("ascii", "replace"),
        salt=b"sketchwire pairing 1",
        n=2**15,
        r=8,
        p=1,
        maxmem=64 * 1024 * 1024,
        dklen=32,
    )


def normal(code: str) -> str:
    """A code in capital letters, without separators, look-alikes replaced."""
    kept = "".join(each for each in code.upper() if each.isalnum())
    return kept.translate(str.maketrans("OIL", "011"))


def make(folder: Path, name: str, lifetime_s: float, long: bool = False) -> str:
    """A new code for a client that will be called `name`."""
    count = LONG_CHARS if long else SHORT_CHARS
    code = "".join(secrets.choice(ALPHABET) for _ in range(count))
    with _changing(folder) as codes:
        codes.append(Code(name, derive(code).hex(), time.time() + lifetime_s))
        del codes[:-MAX_CODES]
    return code if long else f"{code[:5]}-{code[5:]}"


def pending(folder: Path) -> list[Code]:
    """The codes that are still good."""
    now = time.time()
    return [code for code in _read(folder / FILE) if code.expires_s > now and code.tries < MAX_TRIES]


def spend(folder: Path, code: Code) -> bool:
    """Use a code up; False when somebody else just did."""
    with _changing(folder) as codes:
        left = [each for each in codes if each.secret != code.secret]
        found = len(left) < len(codes)
        codes[:] = left
    return found


def missed(folder: Path) -> None:
    """Somebody tried with a wrong code: every pending code has one try less."""
    with _changing(folder) as codes:
        codes[:] = [Code(each.name, each.secret, each.expires_s, each.tries + 1) for each in codes]


def _read(file: Path) -> list[Code]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return [Code(str(e["name"]), str(e["secret"]), float(e["expires_s"]), int(e["tries"])) for e in entries]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        return []  # no code is good; the next one starts the file anew


@contextmanager
def _changing(folder: Path) -> Iterator[list[Code]]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "codes.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        now = time.time()
        codes = [code for code in _read(folder / FILE) if code.expires_s > now and code.tries < MAX_TRIES]
        yield codes
        write_private(folder / FILE, json.dumps([asdict(code) for code in codes]).encode() + b"\n")
