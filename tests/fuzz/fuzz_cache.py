"""Gives the HTTP cache's readers damaged and invented text: an entry or ValueError, directives, dates, decisions.

    python -m tests.fuzz.fuzz_cache [seconds]

In: seconds to run (60). Out: the number of inputs tried; stops at the first other exception, printing the input.
"""

from __future__ import annotations

import random
import sys
import time

from proxy.cache.control import read_control, read_date
from proxy.cache.entry import Stored, dump, load
from proxy.cache.invalidation import invalidated
from proxy.cache.lifetime import Fresh, Stale, judge
from proxy.cache.reply import reply
from proxy.cache.storable import Exchanged, Keep, Leave, judge_store
from proxy.cache.validation import confirms, freshened
from proxy.cache.vary import matches
from proxy.headers import Headers

SEED = dump(
    Stored(200, Headers((("ETag", '"a"'), ("Cache-Control", "max-age=60"))), (("accept", "+*/*"),), 1.5, 2.5, 3, False)
)
_NAMES = (
    "Cache-Control", "Pragma", "Expires", "Date", "Age", "Vary", "ETag", "Last-Modified", "Set-Cookie", "Range",
    "If-Range", "If-None-Match", "If-Modified-Since", "Content-Range", "Content-Type", "Cookie", "Location",
    "Connection", "Content-Length", "Authorization",
)  # fmt: skip
_PARTS = (
    "max-age", "s-maxage", "no-cache", "no-store", "private", "public", "must-revalidate", "stale-if-error",
    "stale-while-revalidate", "min-fresh", "max-stale", "=", ",", '"', "\\", ";", " ", "\t", "60", "-1", "1e9",
    "99999999999999999999", "bytes=", "0-", "-5", "5-2", "W/", '"a"', "*", "text/html", "image/png", "accept",
    "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
    "Sun, 06 Nov 9999 99:99:99 +9999", "http://a/", "//[", "\x7f", "é", "\udcff", "\0",
)  # fmt: skip


def text(choose: random.Random) -> str:
    """Invented text."""
    return "".join(choose.choice(_PARTS) for _ in range(choose.randint(0, 8)))


def heads(choose: random.Random) -> tuple[Headers, Headers]:
    """An invented request and answer."""
    made = [
        Headers(tuple((choose.choice(_NAMES), text(choose)) for _ in range(choose.randint(0, 7)))) for _ in range(2)
    ]
    return made[0], made[1]


def attempt_entry(written: str) -> bool:
    """Whether `written` is read as an entry; what is read is written and read alike."""
    try:
        found = load(written)
    except ValueError:
        return False
    assert load(dump(found)) == found
    attempt_heads(found.headers, found.headers, found)
    return True


def attempt_heads(request: Headers, answer: Headers, stored: Stored | None = None) -> None:
    """Run every decision on two heads and check what must always hold."""
    now_s = 800_000_000.0
    exchanged = Exchanged("GET", request, 200, answer, now_s - 1, now_s, False)
    shared, own = judge_store(exchanged, True), judge_store(exchanged, False)
    assert isinstance(own, Keep | Leave)
    if isinstance(shared, Keep):
        assert "set-cookie" not in answer and "authorization" not in request
        assert "private" not in read_control(answer) and "no-store" not in read_control(answer)
        stored = stored or shared.stored
    read_date(answer.get("date"))
    invalidated("POST", "http://a.test/b", 200, answer)
    if stored is None:
        return
    for later_s in (-10.0, 0.0, 1e6):
        verdict = judge(stored, read_control(request), now_s + later_s, True, 60.0)
        assert isinstance(verdict, Fresh | Stale)
        made = reply(stored, 1000, "GET", request, verdict.age_s)
        assert 0 <= made.first <= made.end <= 1000
    matches(stored.nominated, request)
    confirms(answer, stored)
    freshened(stored, answer, now_s, now_s)


def damaged(choose: random.Random) -> str:
    """The entry with some of its characters changed, or a part of it."""
    written = list(SEED)
    for _ in range(choose.randint(1, 4)):
        written[choose.randrange(len(written))] = choose.choice('[]{}",:0159aZ\\ue\x00é')
    end = choose.randint(0, len(written)) if choose.random() < 0.2 else len(written)
    return "".join(written[:end])


def main() -> None:
    """Try until the time is over."""
    until_s = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
    choose, tried, read = random.Random(1), 0, 0
    while time.monotonic() < until_s:
        written, pair = damaged(choose), heads(choose)
        try:
            read += attempt_entry(written)
            attempt_heads(*pair)
        except BaseException:
            print(repr(written), repr(pair))
            raise
        tried += 2
    print(f"{tried} inputs tried, {read} entries were read")


if __name__ == "__main__":
    main()
