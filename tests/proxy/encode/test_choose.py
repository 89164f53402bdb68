from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.encode.choose import MAX_SHARE, Bundled, Filed, Kept, choose

SIZES = st.none() | st.integers(1, 10_000)


def test_the_bundle_is_sent_when_it_is_worth_it() -> None:
    assert choose(10_000, 2_000, None, None) == Bundled()
    assert choose(10_000, 2_000, 2_200, 2_200) == Bundled()


def test_a_bundle_that_a_file_beats_is_not_sent() -> None:
    assert choose(10_000, 2_000, 2_050, 2_050) == Filed()
    kept = choose(10_000, 2_000, None, 2_050)
    assert isinstance(kept, Kept) and "2050" in kept.detail


def test_what_saves_too_little_is_not_sent() -> None:
    for bundle, file in ((9_600, None), (None, 9_600), (9_700, 9_600)):
        kept = choose(10_000, bundle, file, None)
        assert isinstance(kept, Kept) and "10000" in kept.detail
    assert isinstance(choose(10_000, None, None, None), Kept)


@given(st.integers(1, 10_000), SIZES, SIZES, SIZES)
def test_nothing_sent_exceeds_its_share(origin: int, bundle: int | None, file: int | None, rival: int | None) -> None:
    choice = choose(origin, bundle, file, rival)
    if isinstance(choice, Bundled):
        assert bundle is not None and bundle <= MAX_SHARE * origin
        assert rival is None or bundle <= MAX_SHARE * rival
    if isinstance(choice, Filed):
        assert file is not None and file <= MAX_SHARE * origin
