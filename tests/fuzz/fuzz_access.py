"""Random and mutated text for everything that reads what strangers write to the proxies' own pages and doors.

`python tests/fuzz/fuzz_access.py [COUNT] [SEED]` prints how many inputs each reader took; anything but the errors that
the readers name is a finding, and so is a token that counts, or a host on the list that is not.
"""

from __future__ import annotations

import random
import sys
import time

from proxy.access.pairing import Tokens
from proxy.onboarding.choices import NotAnAddress, OpenPages, page_of, read_page, read_site
from proxy.onboarding.forms import FORM_TYPE, Forms, parse_form
from proxy.onboarding.pac import pac_file, reached_as
from proxy.onboarding.place import is_reserved
from proxy.tunnel.hosts import shipped

SEEDS = (
    "https://www.example.org:8443/a/b?c=d#e", "http://[2001:db8::1]:80/", "example.org", "sketchwire.internal",
    "token=0&do=off&address=http%3A%2F%2Fa.test%2F", "Bearer " + "a" * 43, "192.168.1.5:8080", "paypal.com", "x.gov.uk",
)  # fmt: skip
PIECES = (
    ":",
    "/",
    "@",
    "%",
    "..",
    ".",
    "[",
    "]",
    "\\",
    "#",
    "?",
    "&",
    "=",
    "\0",
    "\udc80",
    "ü",
    "xn--",
    "9" * 12,
    " ",
    "\n",
)


def mutate(text: str, chance: random.Random) -> str:
    """`text` with a few characters changed, removed, repeated or pieces put in."""
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at, kind = chance.randrange(len(text) + 1), chance.randrange(4)
        if kind == 0:
            text = text[:at] + chance.choice(PIECES) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + chance.randint(1, 4) :]
        elif kind == 2:
            text = text[:at] + text[at : at + 12] + text[at:]
        else:
            text = text[:at] + chr(chance.randrange(1, 0x2FF)) + text[at + 1 :]
    return text


def read(text: str, tokens: Tokens, forms: Forms) -> int:
    """Give the text to every reader; how many made something of it."""
    taken = 0
    assert not tokens.accepts(text)
    assert forms.why_not("me", "http://x", text, None, text, 0.0) is not None
    taken += bool(parse_form(FORM_TYPE, text.encode("utf-8", "surrogateescape")))
    taken += page_of(text) is not None
    OpenPages().opened("me", text)
    for reader in (read_page, read_site):
        try:
            assert reader(text).isascii() or reader is read_page
            taken += 1
        except NotAnAddress:
            pass
    host, port = reached_as(text, "10.0.0.1", 8080)
    assert f"PROXY {host}:{port}" in pac_file(host, port) or ":" in host
    is_reserved(text)
    taken += shipped().group(text) is not None
    return taken


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    chance = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    tokens, forms = Tokens(("b" * 43,)), Forms(b"key")
    start, taken = time.monotonic(), 0
    for _ in range(count):
        taken += read(mutate(chance.choice(SEEDS), chance), tokens, forms)
    print(f"{count} inputs: taken {taken} times, no crash; {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
