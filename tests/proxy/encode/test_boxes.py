from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from proxy.bundle import SalientKind
from proxy.encode.salient.boxes import Box, box_of, clipped, covered, merged, overlap, padded, rectangles, scaled

TEXT, FACE, CODE = SalientKind.TEXT, SalientKind.FACE, SalientKind.CODE
WIDTH, HEIGHT = 640, 480

coordinates = st.floats(-50, 700, allow_nan=False, width=32)
kinds = st.sampled_from(list(SalientKind))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, top = draw(coordinates), draw(coordinates)
    width, height = draw(st.floats(0.5, 300, width=32)), draw(st.floats(0.5, 300, width=32))
    return Box(left, top, left + width, top + height, draw(kinds))


@given(st.lists(boxes(), max_size=12))
def test_merging_loses_nothing(found: list[Box]) -> None:
    joined = merged(found)
    assert len(joined) <= len(found)
    for box in found:
        assert covered(box, joined) > 0.999
        assert any(covered(box, [other]) > 0.999 for other in joined)


@given(st.lists(boxes(), max_size=12))
def test_merging_again_changes_nothing(found: list[Box]) -> None:
    once = merged(found)
    assert sorted(map(repr, merged(once))) == sorted(map(repr, once))


@given(st.lists(boxes(), max_size=60), st.integers(1, 40))
def test_rectangles_always_fit_into_a_bundle(found: list[Box], limit: int) -> None:
    result = rectangles(found, WIDTH, HEIGHT, limit)
    assert len(result) <= limit
    for r in result:
        assert r.width_px >= 1 and r.height_px >= 1
        assert r.x_px >= 0 and r.x_px + r.width_px <= WIDTH
        assert r.y_px >= 0 and r.y_px + r.height_px <= HEIGHT


@given(boxes())
def test_what_lies_inside_is_still_covered_after_padding_and_rounding(box: Box) -> None:
    inside = clipped(box, WIDTH, HEIGHT)
    if min(inside.width, inside.height) >= 4:
        assert covered(inside, [box_of(r) for r in rectangles([box], WIDTH, HEIGHT)]) > 0.999


@given(boxes(), st.lists(boxes(), max_size=6))
def test_coverage_is_a_share_that_grows(box: Box, by: list[Box]) -> None:
    shares = [covered(box, by[:n]) for n in range(len(by) + 1)]
    assert shares[0] == 0.0 and all(0 <= share <= 1 for share in shares)
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(shares))
    assert covered(box, [box]) == pytest.approx(1.0)


def test_lines_of_a_paragraph_become_one_crop() -> None:
    lines = [Box(100, 100 + 24 * n, 400, 118 + 24 * n, TEXT) for n in range(4)]
    assert [(r.x_px, r.kind) for r in rectangles(lines, WIDTH, HEIGHT)] == [(94, TEXT)]


def test_distant_lines_stay_apart() -> None:
    assert len(merged([Box(10, 10, 200, 30, TEXT), Box(300, 400, 500, 420, TEXT)])) == 2


def test_a_sliver_of_overlap_does_not_join_crops_when_that_would_waste_area() -> None:
    corner_to_corner = [Box(0, 0, 100, 100, FACE), Box(99, 99, 200, 200, FACE)]
    assert len(merged(corner_to_corner)) == 2


def test_the_delicate_kind_wins_when_kinds_are_joined() -> None:
    (joined,) = merged([Box(0, 0, 100, 100, FACE), Box(10, 10, 90, 90, TEXT)])
    assert joined.kind is TEXT


def test_faces_get_room_for_hair() -> None:
    box = padded(Box(200, 200, 300, 320, FACE))
    assert 200 - box.top > 25 > box.bottom - 320 > 0


def test_over_the_limit_codes_and_text_stay_and_small_faces_go() -> None:
    faces = [Box(40 * n, 200, 40 * n + 20 + n, 220 + n, FACE) for n in range(10)]
    few = [*faces, Box(10, 10, 90, 90, CODE), Box(200, 20, 400, 40, TEXT)]
    kept = rectangles(few, WIDTH, HEIGHT, limit=4)
    assert [r.kind for r in kept].count(FACE) == 2
    assert {CODE, TEXT} <= {r.kind for r in kept}
    assert max(r.x_px for r in kept if r.kind is FACE) > 340


def test_scaling_and_overlap() -> None:
    (box,) = scaled([Box(10, 20, 30, 40, FACE, 0.9)], 2.0, 0.5)
    assert (box.left, box.top, box.right, box.bottom, box.sureness) == (20, 10, 60, 20, 0.9)
    assert overlap(Box(0, 0, 10, 10, FACE), Box(5, 5, 20, 20, FACE)) == 25
    assert overlap(Box(0, 0, 10, 10, FACE), Box(10, 0, 20, 20, FACE)) == 0
