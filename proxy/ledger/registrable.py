"""The registrable domain of a host: `example.co.uk` of `cdn.img.example.co.uk`.

In: a host name. Out: the part that somebody registered, by the public suffix list that comes with tldextract, used as
it is: no network, no cache on disk. Refuses (as ""): addresses, names without a public suffix, and everything else that
is no name; a proxy without tldextract knows no domains.
"""

from __future__ import annotations

import functools
from collections.abc import Callable


@functools.lru_cache(maxsize=4_096)
def registrable_domain(host: str) -> str:
    """The registrable domain in lower case, internationalised names as punycode; "" when there is none."""
    return _extract()(host.strip().rstrip(".").lower())


@functools.cache
def _extract() -> Callable[[str], str]:
    try:
        import tldextract
    except ImportError:
        return lambda host: ""
    known = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    def extract(host: str) -> str:
        try:
            return known.extract_str(host).top_domain_under_public_suffix.encode("idna").decode("ascii")
        except UnicodeError:
            return ""

    return extract
