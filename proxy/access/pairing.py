"""The tokens by which an upstream proxy knows its downstream proxies.

In: a token file, header values from strangers. Out: whether a value carries a token that counts now, and the value to
send. Refuses: files that others may read, tokens that are too short, more than two tokens (`TokenFileError`).

A file has one token a line, the newest first; `#` starts a comment. The first one is sent, each of them is accepted. To
change a token without a gap: `rotate` at upstream (new and old count), copy the file to downstream (it sends the new
one), and `rotate` again some day, which ends the old one.
"""

from __future__ import annotations

import re
import secrets
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from proxy.statefile import write_bytes

HEADER = "Proxy-Authorization"
SCHEME = "Bearer"  # RFC 6750
MAX_TOKENS = 2
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}\Z")
_HEAD = "# Sketchwire pairing tokens, the newest first. Who has one may use the upstream proxy.\n"


class TokenFileError(ValueError):
    """The token file cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """One or two tokens, the newest first. They appear in no representation, so that no log shows them."""

    values: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Tokens({', '.join(self.marks)})"

    @property
    def marks(self) -> tuple[str, ...]:
        """A few digits of each token's digest: enough to see whether two machines have the same."""
        return tuple(sha256(value.encode()).hexdigest()[:8] for value in self.values)

    @property
    def header(self) -> str:
        """What to send as Proxy-Authorization."""
        return f"{SCHEME} {self.values[0]}"

    def accepts(self, header: str | None) -> bool:
        """Whether a Proxy-Authorization value carries a token of ours; takes as long for a wrong one as for a right."""
        scheme, _, given = (header or "").partition(" ")
        offered = sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
        matches = [secrets.compare_digest(offered, sha256(value.encode()).digest()) for value in self.values]
        return any(matches) and scheme.lower() == SCHEME.lower()


def read_tokens(path: Path) -> Tokens:
    """The tokens of a file. Raises TokenFileError."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenFileError(
            f"{path} cannot be read ({error}); make it with `sketchwire access rotate {path}`"
        ) from None
    if mode & 0o077:
        raise TokenFileError(f"{path} can be read by others ({mode:o}); chmod 600 {path}, then rotate the token")
    values = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not values:
        raise TokenFileError(f"{path} holds no token; make one with `sketchwire access rotate {path}`")
    if len(values) > MAX_TOKENS:
        raise TokenFileError(f"{path} holds {len(values)} tokens; {MAX_TOKENS} at most, the newest first")
    if not all(_TOKEN.match(value) for value in values):
        raise TokenFileError(
            f"{path}: a token is 32 to 128 letters, digits, - or _; `sketchwire access rotate` makes one"
        )
    return Tokens(values)


def rotate(path: Path) -> Tokens:
    """Put a new token in front of the file's newest one, and drop the older. Raises TokenFileError, OSError."""
    kept = read_tokens(path).values[:1] if path.exists() else ()
    tokens = Tokens((secrets.token_urlsafe(32), *kept))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_bytes(path, (_HEAD + "".join(f"{value}\n" for value in tokens.values)).encode())
    return tokens
