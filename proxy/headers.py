"""A read-only, case-insensitive view of HTTP header fields that keeps duplicates and order.

In: (name, value) pairs. Out: first values, all values, comma-separated tokens, and copies without or with some fields.
Refuses nothing: odd values stay as they came, and numbers that are none read as None.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in the order they came; names keep their spelling and compare without case."""

    fields: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Headers:
        """A view of `pairs`."""
        return cls(tuple(pairs))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> str | None:
        """The first value of `name`, stripped, or None."""
        wanted = name.lower()
        return next((value.strip() for field, value in self.fields if field.lower() == wanted), None)

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        wanted = name.lower()
        return [value.strip() for field, value in self.fields if field.lower() == wanted]

    def tokens(self, name: str) -> list[str]:
        """The comma-separated elements of every field called `name`, in lower case, empty ones dropped."""
        return [token.strip().lower() for value in self.get_all(name) for token in value.split(",") if token.strip()]

    def directives(self, name: str) -> dict[str, str]:
        """Elements of `name` such as `max-age=5, no-store` as {"max-age": "5", "no-store": ""}; quotes are removed."""
        parts = (token.partition("=") for token in self.tokens(name))
        return {key.strip(): value.strip().strip('"') for key, _, value in parts}

    def number(self, name: str) -> int | None:
        """The value of `name` if it is one non-negative decimal number (repeated equal values count as one)."""
        values = set(self.get_all(name))
        value = values.pop() if len(values) == 1 else ""
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None

    def media_type(self) -> str:
        """The type and subtype of Content-Type, in lower case and without parameters; empty when there is none."""
        return (self.get("content-type") or "").partition(";")[0].strip().lower()

    def without(self, names: Container[str], prefix: str | None = None) -> Headers:
        """A copy that lacks fields whose lower-case name is in `names` or starts with `prefix`."""
        return Headers(
            tuple(
                (name, value)
                for name, value in self.fields
                if name.lower() not in names and not (prefix and name.lower().startswith(prefix))
            )
        )

    def only(self, names: Container[str]) -> Headers:
        """A copy that keeps only fields whose lower-case name is in `names`."""
        return Headers(tuple((name, value) for name, value in self.fields if name.lower() in names))

    def adding(self, *pairs: tuple[str, str]) -> Headers:
        """A copy with `pairs` appended."""
        return Headers(self.fields + pairs)

    def size_bytes(self) -> int:
        """What the fields weigh as HTTP/1.1 text, line ends included."""
        return sum(len(f"{name}{value}".encode("utf-8", "surrogateescape")) + 4 for name, value in self.fields)
