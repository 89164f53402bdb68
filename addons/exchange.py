"""What each side knows about one request while its answer is awaited.

In: a request's facts. Out: a record that the later hooks of the same flow fill in and read. Refuses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from addons.passing import Tally
from proxy.headers import Headers
from proxy.negotiation import Accept, Info
from proxy.policy import RequestFacts, ResponseFacts, Verdict

KEY = "sketchwire"  # of a flow's metadata


@dataclass(slots=True, kw_only=True)
class UpstreamExchange:
    """At the upstream proxy; `request` and `origin` are without our fields."""

    request: RequestFacts
    url: str
    client: str  # downstream's address, and its name for its own client
    key: bytes
    accept: Accept | None  # None: nothing may be rewritten
    reads_pages: bool
    words_digest: bytes | None
    back: Mapping[str, str]  # the origin's entity tags to ours
    forced_original: bool
    request_bytes: int
    started_s: float = field(default_factory=time.monotonic)
    origin: ResponseFacts | None = None
    verdict: Verdict | None = None
    tally: Tally | None = None
    from_cache: str = ""  # how the HTTP cache answered: hit, stale, validated; or it did not


@dataclass(slots=True, kw_only=True)
class DownstreamExchange:
    """At the downstream proxy; `request` is the browser's without our fields, `sent` is as it crossed the link."""

    request: RequestFacts
    url: str
    client: str
    key: bytes
    forced_original: bool
    accept: Accept | None = None  # what we told upstream; None: nothing
    words: str | None = None
    sent: Headers = field(default_factory=Headers)
    request_bytes: int = 0
    started_s: float = field(default_factory=time.monotonic)
    came: ResponseFacts | None = None
    response_bytes: int = 0
    info: Info | None = None
    is_bundle: bool = False
    is_file: bool = False  # a classical file that upstream made
    tally: Tally | None = None
    from_cache: str = ""  # how the HTTP cache answered: hit, stale, validated; or it did not
