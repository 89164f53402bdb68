"""What a browser sees through both proxies: images restored, and everything else as the origin sent it."""

from __future__ import annotations

import hashlib
import io

import pytest
from PIL import Image

from proxy import bare
from proxy.bundle import MEDIA_TYPE, Prompt
from proxy.provenance import read_field
from tests.e2e.conftest import Answer, Browse, World
from tests.e2e.origin import PAGE, alpha_png, animated_gif, chart_png, photo
from tests.e2e.runtime import COLOUR


def decoded(answer: Answer) -> Image.Image:
    image = Image.open(io.BytesIO(answer.body))
    image.load()
    return image.convert("RGB")


def is_reconstruction(answer: Answer) -> bool:
    """Whether the fake runtime drew it: one colour all over."""
    low_high = decoded(answer).getextrema()
    return all(abs(end - wanted) < 12 for band, wanted in zip(low_high, COLOUR, strict=True) for end in band)


def is_preview(answer: Answer) -> bool:
    """Whether it resembles the photograph, and is not the photograph's file."""
    return answer.body != photo() and not is_reconstruction(answer) and decoded(answer).size == (600, 400)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_photograph_is_restored_and_crosses_the_link_as_a_bundle(
    world: World, browse: Browse, scheme: str
) -> None:
    base = getattr(world, scheme)
    before = world.link.total_bytes
    answer = await browse(f"{base}/photo.jpg")
    crossed = world.link.total_bytes - before
    assert answer.status == 200 and answer.type == "image/webp"
    assert decoded(answer).size == (600, 400)
    assert is_reconstruction(answer)
    assert crossed < 0.25 * len(photo())
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "Accept" in answer.headers["Vary"] and "sketchwire" not in answer.headers["Vary"].lower()
    assert [name for name in answer.headers if name.lower().startswith("sketchwire")] == ["Sketchwire-Provenance"]
    told = read_field(answer.headers["Sketchwire-Provenance"])
    assert told is not None and told.original_sha256 == hashlib.sha256(photo()).digest()[:8]
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    (seen,) = [each for each in world.origin.log if each.path == "/photo.jpg"]
    assert not [name for name in seen.headers if name.lower().startswith("sketchwire")]


async def test_page_is_identical(world: World, browse: Browse) -> None:
    answer = await browse(world.http + "/", image=False)
    assert answer.body == PAGE.encode() and answer.type == "text/html"


async def test_browser_without_webp_gets_jpeg(world: World, browse: Browse) -> None:
    answer = await browse(world.http + "/photo.jpg", Accept="image/png,image/*;q=0.8")
    assert answer.type == "image/jpeg" and is_reconstruction(answer)


async def test_head_of_a_bundle_leaves_out_what_no_image_needs(world: World, browse: Browse) -> None:
    before = world.link.down_bytes
    answer = await browse(world.http + "/plain.jpg")
    assert is_reconstruction(answer) and "X-Noise" not in answer.headers
    assert world.link.down_bytes - before < len(photo()) / 4


async def test_stale_digests_are_gone(world: World, browse: Browse) -> None:
    answer = await browse(world.http + "/digest.jpg")
    assert is_reconstruction(answer)
    assert not {"Digest", "Content-Md5", "Accept-Ranges"} & set(answer.headers)


@pytest.mark.parametrize(
    "path",
    [
        "/no-transform.jpg",
        "/cookie.jpg",
        "/broken.jpg",
        "/pixel.gif",
        "/drawing.svg",
        "/liar.jpg",
        "/big.jpg",
    ],
)
async def test_what_must_not_be_touched_is_identical(world: World, browse: Browse, path: str) -> None:
    direct = await browse(world.http + path, via=None)
    answer = await browse(world.http + path)
    assert answer.status == direct.status and answer.type == direct.type
    assert answer.body == direct.body
    assert {"Set-Cookie", "Cache-Control"} & set(answer.headers) == {"Set-Cookie", "Cache-Control"} & set(
        direct.headers
    )


async def test_an_animation_stays_one(world: World, browse: Browse) -> None:
    direct = await browse(world.http + "/moving.gif", via=None)
    answer = await browse(world.http + "/moving.gif", Accept="image/webp,*/*")
    moving, original = (Image.open(io.BytesIO(file)) for file in (answer.body, direct.body))
    assert (answer.type, moving.size) == ("image/webp", original.size) and len(answer.body) < len(direct.body)
    assert moving.n_frames == original.n_frames == 2  # type: ignore[attr-defined]
    plain = await browse(world.http + "/moving.gif", Accept="image/gif,*/*;q=0.8")
    assert (plain.type, plain.body) == (direct.type, direct.body)


@pytest.mark.parametrize("accept", ["image/avif,image/webp,*/*;q=0.8", "image/webp,*/*", "image/png,image/*;q=0.8"])
async def test_alpha_crosses_the_link_smaller_and_comes_out_exact(world: World, browse: Browse, accept: str) -> None:
    before = world.link.down_bytes
    answer = await browse(world.http + "/alpha.png", Accept=accept)
    assert world.link.down_bytes - before < 0.5 * len(alpha_png())
    assert answer.status == 200 and (answer.type in accept or answer.type == "image/png")
    shown, original = (Image.open(io.BytesIO(file)).convert("RGBA") for file in (answer.body, alpha_png()))
    assert shown.getchannel("A").tobytes() == original.getchannel("A").tobytes()
    assert answer.headers["Cache-Control"] == "private, no-cache" and int(answer.headers["Content-Length"]) > 0
    assert not [name for name in answer.headers if name.lower().startswith("sketchwire")]
    again = await browse(world.http + "/alpha.png", Accept=accept, If_None_Match=answer.headers["ETag"])
    assert again.status in (200, 304)


@pytest.mark.parametrize("accept", ["image/avif,image/webp,*/*;q=0.8", "image/webp,*/*"])
async def test_a_chart_is_a_file_that_crosses_without_its_boxes(world: World, browse: Browse, accept: str) -> None:
    answer = await browse(world.http + "/chart.png", Accept=accept)
    assert answer.type == accept.partition(",")[0], "not drawn"
    with Image.open(io.BytesIO(answer.body)) as shown:
        assert shown.size == Image.open(io.BytesIO(chart_png())).size
    asking = f"v=1;engine=preview;nonce={'0' * 16};formats=avif,av1"
    crossed = await browse(world.http + "/chart.png", via=world.upstream, Accept=accept, Sketchwire_Accept=asking)
    assert crossed.type == bare.MEDIA_TYPE and bare.whole(crossed.body).endswith(crossed.body)
    if answer.type == bare.WHOLE_TYPE:
        assert answer.body == bare.whole(crossed.body)
    again = await browse(world.http + "/chart.png", Accept=accept, If_None_Match=answer.headers["ETag"])
    assert again.status in (200, 304)


async def test_fixtures_are_what_they_claim() -> None:
    assert Image.open(io.BytesIO(alpha_png())).mode == "RGBA"
    assert Image.open(io.BytesIO(animated_gif())).n_frames == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic eDp5"},
        {"Cache_Control": "no-transform"},
        {"Sec_Fetch_Dest": "empty", "Sec_Fetch_Mode": "cors"},
        {"Sec_Fetch_Dest": "image", "Sec_Fetch_Mode": "cors"},
        {"Sec_Fetch_Dest": "document"},
        {"Accept": "text/html,image/avif,*/*;q=0.8"},
        {"Sketchwire_Original": "1"},
    ],
)
async def test_requests_that_want_the_original_get_it(world: World, browse: Browse, headers: dict[str, str]) -> None:
    answer = await browse(world.http + "/photo.jpg", **headers)
    assert answer.body == photo() and answer.headers["ETag"] == '"p1"'


async def test_untyped_body_is_restored_only_if_an_image_was_asked_for(world: World, browse: Browse) -> None:
    asked = await browse(world.http + "/untyped", Sec_Fetch_Dest="image")
    assert is_reconstruction(asked)
    anything = await browse(world.http + "/untyped", Accept="*/*")
    assert anything.body == photo()


async def test_coded_image_is_decoded_for_the_encoder(world: World, browse: Browse) -> None:
    answer = await browse(world.http + "/zipped.jpg", Accept_Encoding="gzip")
    assert is_reconstruction(answer) and "Content-Encoding" not in answer.headers


async def test_head_range_and_post_pass(world: World, browse: Browse) -> None:
    head = await browse(world.http + "/photo.jpg", "HEAD")
    assert head.status == 200 and head.headers["Content-Type"] == "image/jpeg" and head.body == b""
    part = await browse(world.http + "/plain.jpg", Range="bytes=10-19")
    assert part.status == 206 and part.body == photo()[10:20]
    assert (await browse(world.http + "/echo", "POST", image=False)).body == b"POST 0"


async def test_range_after_a_reconstruction_comes_from_the_spooled_original(world: World, browse: Browse) -> None:
    assert is_reconstruction(await browse(world.http + "/photo.jpg"))
    asked = len(world.origin.log)
    part = await browse(world.http + "/photo.jpg", Range="bytes=100-199")
    assert part.status == 206 and part.body == photo()[100:200]
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(photo())}"
    assert len(world.origin.log) == asked


async def test_part_of_a_reconstruction_is_never_mixed_with_the_original(world: World, browse: Browse) -> None:
    tag = (await browse(world.http + "/photo.jpg")).headers["ETag"]
    resumed = await browse(world.http + "/photo.jpg", Range="bytes=100-", If_Range=tag)
    assert resumed.status == 200 and decoded(resumed).size == (600, 400)


async def test_one_time_image_can_be_seen_in_the_original(world: World, browse: Browse) -> None:
    world.origin.once_served = False
    shown = await browse(world.http + "/once.jpg")
    assert is_reconstruction(shown) and shown.headers["Cache-Control"] == "no-store"
    original = await browse(world.http + "/once.jpg", Sketchwire_Original="1")
    assert original.status == 200 and original.body == photo()


async def test_page_words_reach_the_runtime_without_crossing_the_link(world: World, browse: Browse) -> None:
    page = f"/pages/{len(world.runtime.prompts)}"
    await browse(world.http + page, image=False)
    for _ in range(50):  # pages are read beside the traffic
        await browse(world.http + "/photo.jpg", Referer=world.http + page)
        if world.runtime.prompts[-1] is not None and world.runtime.bundles[-1].prompt == Prompt(None):
            break
    prompt, bundle = world.runtime.prompts[-1], world.runtime.bundles[-1]
    assert prompt is not None and "a cup of coffee on a wooden table" in prompt
    assert bundle.prompt == Prompt(None), "both sides hold the words"


async def test_image_that_nobody_has_words_for_is_restored_all_the_same(world: World, browse: Browse) -> None:
    assert is_reconstruction(await browse(world.http + "/untyped", Sec_Fetch_Dest="image"))


async def test_forged_bundles_fool_nobody(world: World, browse: Browse) -> None:
    for via in (world.downstream, world.upstream):
        forged = await browse(world.http + "/forged", via=via)
        assert forged.type == "application/octet-stream" and forged.body.startswith(b"SWB")
        marked = await browse(world.http + "/marked.jpg", via=via)
        ours = {name: text for name, text in marked.headers.items() if name.lower().startswith("sketchwire")}
        assert set(ours) <= {"Sketchwire-Provenance"} and "forged" not in str(ours)
        assert bool(ours) is (via is world.downstream), "only what was drawn says that it was"
    assert not world.runtime.prompts or is_reconstruction(await browse(world.http + "/marked.jpg"))


async def test_straight_to_upstream_nothing_is_rewritten(world: World, browse: Browse) -> None:
    for url in (world.http, world.https):
        answer = await browse(url + "/photo.jpg", via=world.upstream)
        assert answer.body == photo() and answer.headers["ETag"] == '"p1"'
        assert "Via" not in answer.headers and "Sketchwire-Info" not in answer.headers


async def test_only_who_asks_gets_a_bundle_and_it_names_its_nonce(world: World, browse: Browse) -> None:
    asked = {"Sketchwire_Accept": "v=1;engine=preview;nonce=00112233445566aa"}
    answer = await browse(world.http + "/photo.jpg", via=world.upstream, **asked)
    assert answer.type == MEDIA_TYPE and "n=00112233445566aa" in answer.headers["Sketchwire-Info"]
    assert "Sketchwire-Accept" in answer.headers["Vary"] and "sketchwire" in answer.headers["Via"]
    garbage = await browse(world.http + "/photo.jpg", via=world.upstream, Sketchwire_Accept="v=1;;nonce=1")
    assert garbage.body == photo()
