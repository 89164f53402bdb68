from __future__ import annotations

from proxy.headers import Headers

SOME = Headers((("Accept", "image/*"), ("X", "1"), ("x", "2"), ("Cache-Control", 'max-age=5, No-Store, a="b"')))


def test_names_compare_without_case_and_duplicates_stay() -> None:
    assert SOME.get("ACCEPT") == "image/*" and "accept" in SOME
    assert SOME.get("absent") is None and "absent" not in SOME
    assert SOME.get_all("X") == ["1", "2"]
    assert SOME.tokens("x") == ["1", "2"]


def test_directives_lose_case_and_quotes() -> None:
    assert SOME.directives("cache-control") == {"max-age": "5", "no-store": "", "a": "b"}


def test_numbers_are_plain_decimals_or_nothing() -> None:
    for text, number in {
        "12": 12,
        "0": 0,
        "-1": None,
        "+1": None,
        "1_0": None,
        "٣": None,
        "": None,
        "9" * 30: None,
    }.items():
        assert Headers((("Content-Length", text),)).number("content-length") == number
    assert Headers((("N", "5"), ("n", "5"))).number("n") == 5
    assert Headers((("N", "5"), ("n", "6"))).number("n") is None, "contradicting lengths are no length"


def test_media_type_loses_parameters_and_case() -> None:
    assert Headers((("Content-Type", "Image/JPEG; charset=x"),)).media_type() == "image/jpeg"
    assert Headers().media_type() == ""


def test_copies() -> None:
    assert [name for name, _ in SOME.without({"x"})] == ["Accept", "Cache-Control"]
    assert [name for name, _ in Headers((("Sketchwire-A", "1"), ("B", "2"))).without((), "sketchwire-")] == ["B"]
    assert SOME.only({"accept"}).fields == (("Accept", "image/*"),)
    assert SOME.adding(("Y", "3")).get("y") == "3" and "y" not in SOME


def test_size_is_that_of_the_text_on_the_wire() -> None:
    assert Headers((("A", "b"), ("C", "dé"))).size_bytes() == len("A: b\r\nC: dé\r\n".encode())
