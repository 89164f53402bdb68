import contextlib
import random
import zlib

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.bundle import (
    Bundle,
    BundleError,
    BundleTooLarge,
    Coding,
    Depicted,
    Edges,
    Picture,
    Prompt,
    Rectangle,
    Salient,
    SalientKind,
    UnsupportedBundle,
    describe,
    pack,
    unpack,
)
from proxy.bundle.atlas import layout
from proxy.bundle.container import MAX_BUNDLE_BYTES


def seal(body: bytes) -> bytes:
    """`body` with a matching checksum."""
    return body + zlib.crc32(body).to_bytes(4, "big")


def head(width: int = 4, height: int = 3) -> bytes:
    return b"\xf5SW\x01\x00" + width.to_bytes(2, "big") + height.to_bytes(2, "big") + bytes(4)


def vp8(width: int, height: int, rest: bytes = b"") -> bytes:
    return b"\x10\0\0\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + rest


def picture(width: int, height: int, rest: bytes = b"rest") -> Picture:
    return Picture(Coding.WEBP_LOSSY, width, height, vp8(width, height, rest))


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    width, height = draw(st.integers(16, 4000)), draw(st.integers(16, 4000))
    sides = st.integers(1, 2000)
    pictures = st.builds(picture, sides, sides, st.binary(max_size=40))
    rectangles = draw(
        st.lists(
            st.builds(
                lambda x, y, w, h, kind: Rectangle(x, y, min(w, width - x), min(h, height - y), kind),
                st.integers(0, width - 1),
                st.integers(0, height - 1),
                st.integers(1, 300),
                st.integers(1, 300),
                st.sampled_from(SalientKind),
            ),
            max_size=5,
        )
    )
    scale = draw(st.integers(1, 8))
    plan = layout(rectangles, scale) if rectangles else None
    return Bundle(
        width,
        height,
        draw(st.integers(0, 2**32 - 1)),
        prompt=draw(st.none() | st.builds(Prompt, st.none() | st.text(st.characters(codec="utf-8"), min_size=1))),
        edges=draw(
            st.none() | st.builds(Edges, sides, sides, st.integers(0, 3), st.booleans(), st.binary(max_size=60))
        ),
        palette=draw(st.none() | pictures),
        thumbnail=draw(st.none() | pictures),
        salient=Salient(tuple(rectangles), scale, picture(plan.width_px, plan.height_px)) if plan else None,
        original_sha256=draw(st.none() | st.binary(min_size=8, max_size=32)),
        segmentation=draw(st.none() | pictures),
        style=draw(st.none() | pictures),
        kind=draw(st.none() | st.sampled_from(Depicted)),
        normal=draw(st.none() | pictures),
    )


FULL = Bundle(
    640,
    427,
    7,
    prompt=Prompt("a cup of coffee on a wooden table, seen from above, with a spoon beside it"),
    edges=Edges(320, 214, 2, False, bytes(range(40))),
    palette=picture(32, 21),
    thumbnail=picture(160, 107),
    salient=Salient((Rectangle(10, 20, 30, 40, SalientKind.FACE),), 1, picture(30, 40)),
    original_sha256=bytes(8),
)


@given(bundles())
def test_what_is_packed_is_unpacked(bundle: Bundle) -> None:
    assert unpack(pack(bundle)) == bundle


@given(bundles())
def test_the_parts_add_up_to_the_whole(bundle: Bundle) -> None:
    data = pack(bundle)
    assert sum(size for _, size in describe(data)) == len(data)


def test_every_truncation_is_refused() -> None:
    data = pack(FULL)
    for length in range(len(data)):
        with pytest.raises(BundleError):
            unpack(data[:length])


def test_truncation_behind_a_good_checksum_is_refused_or_another_bundle() -> None:
    body = pack(FULL)[:-4]
    for length in range(13, len(body)):
        try:
            assert unpack(seal(body[:length])) != FULL
        except BundleError:
            continue


def test_every_flipped_bit_is_noticed() -> None:
    data = pack(FULL)
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(BundleError):
            unpack(bytes(damaged))


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(1, 70), st.integers(1, 70))
def test_any_sections_behind_a_good_checksum_are_parsed_or_refused(rest: bytes, width: int, height: int) -> None:
    with contextlib.suppress(BundleError):
        assert isinstance(unpack(seal(head(width, height) + rest)), Bundle)


def test_mutations_raise_nothing_but_bundle_errors() -> None:
    chance, body = random.Random(5), pack(FULL)[:-4]
    for _ in range(3000):
        mutated = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            mutated[chance.randrange(13, len(mutated))] = chance.randrange(256)
        try:
            unpack(seal(bytes(mutated)))
        except BundleError:
            continue


def test_an_unknown_optional_section_is_skipped() -> None:
    known = unpack(seal(head()))
    assert unpack(seal(head() + b"\x70\x03abc")) == known


def test_an_unknown_critical_section_is_refused() -> None:
    with pytest.raises(UnsupportedBundle, match="0xf0"):
        unpack(seal(head() + b"\xf0\x03abc"))


def test_a_later_version_and_unknown_flags_are_refused() -> None:
    with pytest.raises(UnsupportedBundle, match="version 2"):
        unpack(seal(head()[:3] + b"\x02" + head()[4:]))
    with pytest.raises(UnsupportedBundle, match="flags"):
        unpack(seal(head()[:4] + b"\x01" + head()[5:]))


@pytest.mark.parametrize(
    "sections",
    [
        b"\x07\x08abcdefgh\x07\x08abcdefgh",  # twice
        b"\x07\x08abcdefgh\x01\x02\x00a",  # falling order
        b"\x07\x88\x00abcdefgh",  # a length not in its shortest form
        b"\x07\x09abcdefgh",  # longer than the bundle
        b"\x01\x01\x02\x00",  # type 0 after the end
        b"\x01\x02\x02a",  # words after "the page's own words"
        b"\x01\x01\x00",  # an empty prompt
        b"\x01\x02\x00\xff",  # not UTF-8
        b"\x01\x02\x07a",  # unknown form
        b"\x02\x03\x08\x01\x01",  # unknown form of edges
        b"\x02\x03\x02\x00\x01",  # no width
        b"\x04\x02\x09a",  # unknown coding
        b"\x0b\x01\x03",  # unknown kind of image
        b"\x0b\x02\x00\x00",  # two of them
        b"\x80\x00",
    ],
)
def test_malformed_sections_are_refused(sections: bytes) -> None:
    with pytest.raises(BundleError):
        unpack(seal(head() + sections))


def test_sizes_are_checked_before_anything_is_decoded() -> None:
    with pytest.raises(BundleTooLarge):
        unpack(seal(head() + b"\x02\x07\x02\xff\xff\x03\xff\xff\x03"))
    with pytest.raises(BundleTooLarge):
        unpack(bytes(MAX_BUNDLE_BYTES + 1))
    with pytest.raises(BundleTooLarge):
        unpack(seal(head(65_535, 65_535)))
    with pytest.raises(BundleTooLarge):
        pack(Bundle(4, 3, thumbnail=picture(4, 3, bytes(2_097_151))))


def test_a_brotli_bomb_stops_at_the_limit() -> None:
    payload = b"\x01" + brotli.compress(b"a" * 50_000_000)
    assert len(payload) < 128
    with pytest.raises(BundleTooLarge):
        unpack(seal(head() + bytes((1, len(payload))) + payload))


def test_a_rectangle_outside_the_image_is_refused() -> None:
    with pytest.raises(BundleError, match="outside"):
        Bundle(20, 20, salient=Salient((Rectangle(10, 10, 11, 5),), 1, picture(11, 5)))


def test_rectangles_are_limited_in_all() -> None:
    many = tuple(Rectangle(0, 0, 2000, 2000) for _ in range(5))
    plan = layout(many, 8)
    bundle = Bundle(2000, 2000, salient=Salient(many, 8, picture(plan.width_px, plan.height_px)))
    with pytest.raises(BundleTooLarge, match="rectangles"):
        unpack(pack(bundle))


def test_an_atlas_of_another_size_is_refused() -> None:
    wrong = Bundle(20, 20, salient=Salient((Rectangle(0, 0, 8, 8),), 1, picture(9, 8)))
    with pytest.raises(BundleError, match="atlas"):
        unpack(pack(wrong))
