"""Proof that a change was asked for by a person on our own page, and not by another site in their browser (CSRF).

In: a request's Origin and Sec-Fetch-Site, the token of the form. Out: None, or why the change is not made. Refuses:
requests from any other origin or none, tokens of another client, of another origin, or older than two days.

A token is a keyed digest of who it is for, so that none has to be stored; the key ends with the process.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from hashlib import blake2b
from urllib.parse import parse_qsl

MAX_FORM_BYTES = 8_192
FORM_TYPE = "application/x-www-form-urlencoded"
_DAY_S = 86_400


class Forms:
    """Makes and checks the tokens of one process."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def token(self, client: str, origin: str, now_s: float) -> str:
        """The token for a client's form on a page of `origin`."""
        return self._token(client, origin, int(now_s // _DAY_S))

    def why_not(
        self, client: str, origin: str, request_origin: str | None, site: str | None, token: str, now_s: float
    ) -> str | None:
        """Why a change is refused; None when it was asked for on our page.

        `request_origin` and `site` are the fields Origin and Sec-Fetch-Site; browsers leave the latter out over http.
        """
        if request_origin != origin:
            return "it does not come from this page"
        if site not in (None, "same-origin"):
            return "it comes from another site"
        day = int(now_s // _DAY_S)
        given = token.encode("utf-8", "surrogateescape")
        matches = [secrets.compare_digest(given, self._token(client, origin, each).encode()) for each in (day, day - 1)]
        return None if any(matches) else "the page is too old; reload it and try again"

    def _token(self, client: str, origin: str, day: int) -> str:
        text = f"{client}\0{origin}\0{day}".encode("utf-8", "surrogateescape")
        return blake2b(text, key=self._key, digest_size=16, person=b"form").hexdigest()


def parse_form(content_type: str, body: bytes) -> Mapping[str, str]:
    """A form's fields, the first of each name; none of a body that is no form or too large."""
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE or len(body) > MAX_FORM_BYTES:
        return {}
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=16)
    except ValueError:
        return {}
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields
