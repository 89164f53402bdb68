from __future__ import annotations

from proxy.headers import Headers
from proxy.identity import Identity

URL = "http://a.test/x"


def test_names_mean_nothing_elsewhere() -> None:
    one, other = Identity(), Identity()
    assert one.pseudonym("10.0.0.1") == one.pseudonym("10.0.0.1") != one.pseudonym("10.0.0.2")
    assert one.pseudonym("10.0.0.1") != other.pseudonym("10.0.0.1")
    assert len(one.pseudonym("10.0.0.1")) == 12


def test_keys_differ_by_client_address_and_credentials() -> None:
    identity = Identity()
    plain = identity.key("c", URL, Headers())
    keys = {
        plain,
        identity.key("d", URL, Headers()),
        identity.key("c", URL + "?", Headers()),
        identity.key("c", URL, Headers((("Cookie", "a=1"),))),
        identity.key("c", URL, Headers((("Cookie", "a=2"),))),
        identity.key("c", URL, Headers((("Authorization", "a=1"),))),
    }
    assert len(keys) == 6
    split, joined = Headers((("Cookie", "a=1"), ("cookie", "b=2"))), Headers((("Cookie", "a=1; b=2"),))
    assert identity.key("c", URL, split) == identity.key("c", URL, joined), "as HTTP/2 and HTTP/1.1 write them"
    assert identity.key("c", URL, Headers((("Accept", "*/*"),))) == plain
    assert URL.encode() not in plain
