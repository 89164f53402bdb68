"""Small files of a proxy's state folder: a JSON object that is there whole or not at all, and a secret key.

In: a path, an object. Out: the object as it was last saved. Refuses: files that are no JSON object or too large (they
are moved aside, and what was in them is forgotten); a disk that takes nothing is an `OSError` for the caller to log.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

MAX_BYTES = 16 * 1024 * 1024
KEY_BYTES = 32


def read_object(path: Path, move_aside: bool = True) -> dict[str, Any]:
    """What `write_object` saved; {} when there is nothing, or nothing that can be used, which then is moved aside."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("too large")
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("no object")
        return found
    except OSError:
        return {}
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        if move_aside:
            with contextlib.suppress(OSError):
                path.replace(path.with_name(f"{path.name}.broken"))
        return {}


def write_object(path: Path, value: dict[str, Any]) -> None:
    """Replace the file by `value`, for its owner only. Raises OSError; the old file stays then."""
    write_bytes(path, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step, for its owner only, and on the disk before it is there. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def local_key(path: Path) -> bytes:
    """The secret of this installation, made at its first use; one for this process alone if it cannot be kept."""
    with contextlib.suppress(OSError):
        found = path.read_bytes()
        if len(found) == KEY_BYTES:
            return found
    made = secrets.token_bytes(KEY_BYTES)
    with contextlib.suppress(OSError):
        write_bytes(path, made)
    return made
