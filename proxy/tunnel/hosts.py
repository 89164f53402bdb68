"""The list of hosts whose TLS connections pass untouched, because nobody should look into them or nobody can.

In: a TOML file of groups, each a list of names. Out: the group that a host belongs to. Refuses: files with anything but
such groups, and names that would leave a whole top-level domain alone by mistake (`BypassFileError`).

`example.org` stands for itself and everything below it. A name of one label, such as `gov` or `bank`, must be written
with a leading dot to show that it is meant: `.bank`. `.gov.*` stands for `gov` as the second level of any country.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SHIPPED = Path(__file__).with_name("bypass.toml")
MAX_NAMES = 100_000
_LABEL = r"(?:xn--)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}\Z|\.{_LABEL}\Z|\.{_LABEL}\.\*\Z")
_ADDRESS = re.compile(r"[0-9.]+\Z|.*:")


class BypassFileError(ValueError):
    """The file cannot be used; the message says which entry, why, and what to write instead."""


@dataclass(frozen=True, slots=True)
class BypassList:
    """Names and the group each belongs to."""

    groups: Mapping[str, str] = field(default_factory=dict)

    def group(self, host: str) -> str | None:
        """The group of the longest entry that `host` (without port) belongs to, or None."""
        labels = canonical(host).split(".")
        if _ADDRESS.match(host) or not labels[0]:
            return None
        for start in range(len(labels)):
            name = ".".join(labels[start:])
            found = self.groups.get(name if start < len(labels) - 1 else f".{name}")
            if found is not None:
                return found
        country = len(labels[-1]) == 2 and len(labels) > 2
        return self.groups.get(f".{labels[-2]}.*") if country else None

    def counts(self) -> dict[str, int]:
        """How many names each group has."""
        found: dict[str, int] = {}
        for group in self.groups.values():
            found[group] = found.get(group, 0) + 1
        return found


def canonical(host: str) -> str:
    """A host's name as it is compared: lower case, without the root's dot."""
    return host.strip().rstrip(".").lower()


def read_list(path: Path) -> BypassList:
    """The list in a file. Raises BypassFileError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BypassFileError(f"{path}: {error}") from error
    groups: dict[str, str] = {}
    for group, names in tables.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BypassFileError(f'{path}: {group} must be a list of names, written {group} = ["example.org"]')
        for name in names:
            if not _NAME.match(name):
                hint = f'; write ".{name}" for all of it' if re.fullmatch(_LABEL, name) else ""
                raise BypassFileError(f"{path}: {group}: {name!r} is no host name in lower case{hint}")
            groups.setdefault(name, group)
    if len(groups) > MAX_NAMES:
        raise BypassFileError(f"{path}: more than {MAX_NAMES} names")
    return BypassList(groups)


@cache
def shipped() -> BypassList:
    """The list that comes with this package."""
    return read_list(SHIPPED)
