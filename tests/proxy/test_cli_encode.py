"""`sketchwire encode`: what is decided, said, written and refused."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from proxy.bundle import unpack
from proxy.cli import app, batch
from proxy.cli.pagewords import PageUnusable, PageWords, load_page


def photograph(width_px: int, height_px: int, seed: int = 1) -> Image.Image:
    """Soft shapes with fine grain, as unlike a drawing as noise can be."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 255, (12, 16, 3), np.uint8)).resize(
        (width_px, height_px), Image.Resampling.BICUBIC
    )
    grain = random.normal(0, 6, (height_px, width_px, 3))
    return Image.fromarray(np.clip(np.asarray(coarse, float) + grain, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    (folder / "sub").mkdir()
    (folder / ".hidden").mkdir()
    photograph(320, 240).save(folder / "photo.png")
    photograph(320, 240, 2).save(folder / "photo.jpg", quality=95)
    photograph(240, 320, 3).save(folder / "sub" / "tall.png")
    photograph(64, 64).save(folder / ".hidden" / "secret.png")
    Image.new("RGB", (300, 300), "white").save(folder / "white.png")
    (folder / "notes.txt").write_text("not an image")
    return folder


def invoke(*words: object) -> Any:
    return CliRunner().invoke(app, ["encode", *map(str, words)])


def test_an_explicit_mode_writes_a_bundle_and_says_so(images: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "photo.swb"
    result = invoke(images / "photo.png", "-o", target, "--mode", "edges+palette")
    assert result.exit_code == 0, result.output
    bundle = unpack(target.read_bytes())
    assert (bundle.width_px, bundle.height_px) == (320, 240) and bundle.edges and bundle.palette
    assert "320×240" in result.stdout and "edges+palette" in result.stdout and f"wrote {target}" in result.stdout
    assert [path.name for path in target.parent.iterdir()] == ["photo.swb"]


def test_without_output_nothing_is_written(images: Path) -> None:
    before = sorted(images.rglob("*"))
    result = invoke(images / "photo.png", "--mode", "thumbnail")
    assert result.exit_code == 0 and "nothing written" in result.stdout
    assert sorted(images.rglob("*")) == before


def test_auto_with_nothing_to_gain_writes_nothing_says_why_and_exits_3(images: Path, tmp_path: Path) -> None:
    target = tmp_path / "white.swb"
    result = invoke(images / "white.png", "-o", target)
    assert result.exit_code == 3 and not target.exists()
    assert "left as it is: " in result.stdout


def test_an_explicit_mode_encodes_what_auto_would_not(images: Path, tmp_path: Path) -> None:
    assert invoke(images / "white.png", "-o", tmp_path / "white.swb", "--mode", "edges").exit_code == 0
    assert unpack((tmp_path / "white.swb").read_bytes()).width_px == 300


def test_json_says_the_same(images: Path, tmp_path: Path) -> None:
    made = json.loads(invoke(images / "photo.png", "-o", tmp_path / "p.swb", "--mode", "thumbnail", "--json").stdout)
    size = (tmp_path / "p.swb").stat().st_size
    origin = (images / "photo.png").stat().st_size
    assert (made["decision"], made["mode"], made["sent_bytes"], made["origin_bytes"]) == (
        "bundle",
        "thumbnail",
        size,
        origin,
    )
    assert made["saved_percent"] == pytest.approx(100 * (1 - size / origin), abs=0.001)
    assert made["output"] == str(tmp_path / "p.swb") and made["stage_ms"]
    left = json.loads(invoke(images / "white.png", "--json").stdout)
    assert left["decision"] == "original" and left["reason"] and left["output"] is None
    assert left["sent_bytes"] == left["origin_bytes"] and left["saved_percent"] == 0


def test_files_are_not_overwritten_without_force(images: Path, tmp_path: Path) -> None:
    target = tmp_path / "p.swb"
    target.write_bytes(b"precious")
    result = invoke(images / "photo.png", "-o", target, "--mode", "prompt")
    assert result.exit_code == 2 and target.read_bytes() == b"precious" and "--force" in result.stderr
    assert invoke(images / "photo.png", "-o", target, "--mode", "prompt", "--force").exit_code == 0
    unpack(target.read_bytes())


def test_a_folder_as_output_for_one_image(images: Path, tmp_path: Path) -> None:
    assert invoke(images / "photo.png", "-o", tmp_path, "--mode", "prompt").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["photo.swb"]


def test_a_folder_of_images(images: Path, tmp_path: Path) -> None:
    result = invoke(images, "-o", tmp_path / "out", "--mode", "thumbnail", "--jobs", 1)
    assert result.exit_code == 0, result.output
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.swb"))
    assert made == ["photo.jpg.swb", "photo.png.swb", "sub/tall.swb", "white.swb"]
    assert unpack((tmp_path / "out" / "sub" / "tall.swb").read_bytes()).height_px == 320
    assert "thumbnail" in result.stdout and "4" in result.stdout


def test_a_folder_as_json_lines_and_a_summary(images: Path) -> None:
    result = invoke(images, "--json", "--jobs", 2)
    *lines, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(Path(line["file"]).name for line in lines) == ["photo.jpg", "photo.png", "tall.png", "white.png"]
    summary = last["summary"]
    assert summary["images"] == 4 and sum(group["images"] for group in summary["groups"]) == 4
    assert summary["origin_bytes"] == sum(line["origin_bytes"] for line in lines)
    assert summary["sent_bytes"] == sum(line["sent_bytes"] for line in lines)
    assert result.exit_code == (0 if summary["bundles"] else 3)


def test_more_images_than_processes_are_all_done(images: Path, tmp_path: Path) -> None:
    content = (images / "photo.jpg").read_bytes()
    for number in range(7):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    result = invoke(tmp_path, "--json", "--mode", "prompt", "--jobs", 2)
    assert json.loads(result.stdout.splitlines()[-1])["summary"]["bundles"] == 7


def test_a_broken_image_does_not_stop_the_others(images: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes((images / "photo.jpg").read_bytes()[:3000])
    (tmp_path / "good.jpg").write_bytes((images / "photo.jpg").read_bytes())
    result = invoke(tmp_path, "-o", tmp_path / "out", "--mode", "prompt", "--jobs", 1)
    assert result.exit_code == 1 and (tmp_path / "out" / "good.swb").exists()
    assert "broken.jpg" in result.stdout and not (tmp_path / "out" / "broken.swb").exists()


def test_what_cannot_be_used_is_said(images: Path, tmp_path: Path) -> None:
    assert invoke(tmp_path / "nowhere.png").exit_code == 2
    assert invoke(images / "photo.png", "--mode", "best").exit_code == 2
    empty = invoke(tmp_path)
    assert empty.exit_code == 1 and "no images" in empty.stderr
    (tmp_path / "file").write_text("")
    assert invoke(images, "-o", tmp_path / "file").exit_code == 2
    text = invoke(images / "notes.txt", "--mode", "prompt")
    assert text.exit_code == 1 and "unsupported-format" in text.stdout


def test_an_output_that_cannot_be_written_is_an_error(images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = invoke(images / "photo.png", "-o", tmp_path / "file" / "x.swb", "--mode", "prompt")
    assert result.exit_code == 1 and "unwritable" in result.stdout


def test_scale_to_makes_the_image_smaller_first(images: Path, tmp_path: Path) -> None:
    invoke(images / "sub" / "tall.png", "-o", tmp_path / "t.swb", "--mode", "prompt", "--scale-to", 160)
    bundle = unpack((tmp_path / "t.swb").read_bytes())
    assert (bundle.width_px, bundle.height_px) == (120, 160)


def test_scaling_keeps_the_format_and_never_enlarges(images: Path) -> None:
    data = (images / "photo.jpg").read_bytes()
    assert batch.scaled(data, 5_000) == data
    with Image.open(io.BytesIO(batch.scaled(data, 100))) as small:
        assert (small.format, small.size) == ("JPEG", (100, 75))


def test_the_pages_words_become_the_prompt(images: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<html><body><img src="photo.png" alt="a heron standing in shallow water"></body></html>')
    result = invoke(images / "photo.png", "-o", tmp_path / "p.swb", "--mode", "prompt", "--page", page)
    prompt = unpack((tmp_path / "p.swb").read_bytes()).prompt
    assert prompt is not None and prompt.text is not None and "heron" in prompt.text
    assert "heron" in result.stdout
    missing = invoke(images / "white.png", "--mode", "prompt", "--page", page)
    assert missing.exit_code == 0 and "no words for white.png" in missing.stderr


def test_words_are_matched_by_the_longest_common_path(tmp_path: Path) -> None:
    words = PageWords(
        {"http://a.test/x/1.jpg": "first", "http://a.test/y/1.jpg": "second", "http://a.test/b%20c.jpg": "spaced"}
    )
    assert words.words_for(tmp_path / "y" / "1.jpg") == "second"
    assert words.words_for(tmp_path / "z" / "1.jpg") is None  # it could be either
    assert words.words_for(tmp_path / "b c.jpg") == "spaced"
    assert words.words_for(tmp_path / "other.jpg") is None


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/old":
                self.send_response(302)
                self.send_header("Location", "/new/page.html")
                self.end_headers()
            elif self.path == "/out":
                self.send_response(302)
                self.send_header("Location", "ftp://127.0.0.1/x")
                self.end_headers()
            elif self.path == "/new/page.html":
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-16-le")
                self.end_headers()
                self.wfile.write('<img src="i.jpg" alt="a très old bridge over the river">'.encode("utf-16-le"))
            else:
                self.send_error(404)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_is_fetched_with_its_charset_and_final_address(site: str) -> None:
    [(address, words)] = load_page(f"{site}/old").words.items()
    assert address == f"{site}/new/i.jpg" and "très old bridge" in words


@pytest.mark.parametrize("path", ["/missing", "/out"])
def test_a_page_that_does_not_answer_well_is_refused(site: str, path: str) -> None:
    with pytest.raises(PageUnusable):
        load_page(site + path)


@pytest.mark.parametrize("page", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data://x"])
def test_only_http_is_fetched(page: str) -> None:
    with pytest.raises(PageUnusable, match="only http"):
        load_page(page)


def test_a_page_that_is_too_large_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.cli.pagewords.MAX_PAGE_BYTES", 10)
    with pytest.raises(PageUnusable, match="larger"):
        load_page(f"{site}/new/page.html")


def test_an_unreadable_page_is_one_line(images: Path) -> None:
    result = invoke(images / "photo.png", "--page", "/no/such/page.html")
    assert result.exit_code == 1 and result.stderr == "sketchwire: /no/such/page.html: No such file or directory\n"


def test_a_caption_given_by_hand_is_the_prompt_and_outdoes_the_page(images: Path, tmp_path: Path) -> None:
    page, target = tmp_path / "page.html", tmp_path / "photo.swb"
    page.write_text('<img src="photo.png" alt="Clouds over a field">')
    words = ("--mode", "prompt", "--page", page, "--caption", "Soft clouds at dusk")
    result = invoke(images / "photo.png", "-o", target, *words)
    assert result.exit_code == 0, result.output
    prompt = unpack(target.read_bytes()).prompt
    assert prompt is not None and prompt.text == "Soft clouds at dusk" and "Soft clouds at dusk" in result.stdout


def test_a_caption_is_of_one_image(images: Path) -> None:
    assert invoke(images, "--caption", "Clouds").exit_code == 2
    assert invoke(images / "photo.png", "--caption", "  ").exit_code == 2


def test_what_a_page_calls_a_logo_is_not_drawn(images: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<a class="navbar-brand" href="/"><img src="photo.jpg"></a><img src="sub/tall.png">')
    words = load_page(str(page))
    assert words.says_logo(images / "photo.jpg") and not words.says_logo(images / "sub" / "tall.png")
    result = invoke(images / "photo.jpg", "--page", page, "--json")
    told = json.loads(result.stdout)
    assert (told["decision"], told["kind"]) == ("original", "graphic") and "logo" in told["detail"]


def test_nothing_is_looked_for_when_not_wanted(images: Path) -> None:
    told = json.loads(invoke(images / "photo.jpg", "--no-detect", "--json").stdout)
    assert told["decision"] == "bundle" and "detect" not in told["stage_ms"]
