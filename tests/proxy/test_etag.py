from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy import etag

TAGS = st.builds(
    lambda weak, text: f'{weak}"{text}"',
    st.sampled_from(["", "W/"]),
    st.text(st.characters(min_codepoint=0x23, max_codepoint=0x7E), max_size=60),
)


@given(TAGS)
def test_wrapped_tags_come_back(tag: str) -> None:
    ours = etag.wrap(tag)
    assert ours is not None and ours != tag and ours.startswith('W/"swb-')
    assert etag.unwrap(ours) == tag and etag.is_ours(ours)
    assert etag.split(ours) == [ours]


@given(TAGS)
def test_foreign_tags_are_not_unwrapped(tag: str) -> None:
    if not tag.removeprefix("W/").startswith('"sw'):
        assert etag.unwrap(tag) is None and not etag.is_ours(tag)


def test_malformed_and_endless_tags_get_none() -> None:
    assert etag.wrap(None) is None
    for tag in ("abc", '"a"b"', '"a\nb"', '"' + "x" * 300 + '"', ""):
        assert etag.wrap(tag) is None


def test_forged_wrappings_are_refused() -> None:
    for inner in ("!!!", "YWJj", "Ig0KWDog", ""):
        assert etag.unwrap(f'"swb-{inner}"') is None


def test_the_origin_sees_its_own_tags_only() -> None:
    ours, local = etag.wrap('"a"'), etag.local(b"123456789")
    outgoing, back = etag.for_origin(f'{ours}, {local}, W/"b"')
    assert outgoing == '"a", W/"b"' and back == {'"a"': ours}
    assert etag.for_origin(local) == (None, {})
    assert etag.for_origin("*") == ("*", {})
    assert etag.for_origin(None) == (None, {})
    assert etag.for_origin(f'{ours}, "b"', wanted=False) == ('"b"', {})


def test_weak_and_strong_tags_are_the_same_tag() -> None:
    assert etag.opaque('W/"a"') == etag.opaque('"a"')
