"""`sketchwire decode` and `sketchwire runtime` as a user types them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from client_runtime.commands import register
from client_runtime.engines.preview import PreviewEngine
from proxy.bundle import Bundle, Prompt, pack

Make = Callable[..., bytes]


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def cat(tmp_path: Path, bundle: Make) -> Path:
    path = tmp_path / "cat.swb"
    path.write_bytes(bundle(64, 48, seed=5))
    return path


@pytest.mark.parametrize(
    ("name", "format"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP")]
)
def test_the_files_name_chooses_the_format(cat: Path, tmp_path: Path, name: str, format: str) -> None:
    result = run("decode", cat, "-o", tmp_path / "new" / name, "--engine", "preview")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "new" / name) as image:
        assert (image.format, image.size) == (format, (64, 48))
    assert "64×48 px" in result.stdout and "preview@" in result.stdout


def test_json_is_one_record_a_line(cat: Path, tmp_path: Path) -> None:
    result = run("decode", cat, "-o", tmp_path / "a.png", "--engine", "preview", "--json")
    record = json.loads(result.stdout)
    assert (record["width_px"], record["height_px"], record["fallback"]) == (64, 48, None)
    assert record["bytes_in"] == cat.stat().st_size and record["bytes_out"] == (tmp_path / "a.png").stat().st_size


def test_an_existing_image_is_kept_unless_forced(cat: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"precious")
    result = run("decode", cat, "-o", target, "--engine", "preview")
    assert result.exit_code == 2 and "--force" in result.stderr and target.read_bytes() == b"precious"
    assert run("decode", cat, "-o", target, "--engine", "preview", "--force").exit_code == 0
    assert target.read_bytes() != b"precious"


def test_a_bad_bundle_is_status_1_and_leaves_no_file(cat: Path, tmp_path: Path) -> None:
    cat.write_bytes(cat.read_bytes()[:-1])
    result = run("decode", cat, "-o", tmp_path / "a.png", "--engine", "preview")
    assert result.exit_code == 1 and "cat.swb" in result.stderr and "Traceback" not in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat.swb"]


def test_words_alone_are_status_1_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "a.swb").write_bytes(pack(Bundle(8, 8, prompt=Prompt("a cat"))))
    result = run("decode", tmp_path / "a.swb", "-o", tmp_path / "a.png", "--engine", "preview")
    assert result.exit_code == 1 and "draws from words" in result.stderr


def test_a_folder_goes_on_after_a_bad_bundle(cat: Path, tmp_path: Path, bundle: Make) -> None:
    (tmp_path / "bad.swb").write_bytes(b"no")
    (tmp_path / "dog.swb").write_bytes(bundle(10, 10))
    result = run("decode", tmp_path, "-o", tmp_path / "out", "--format", "jpg", "--engine", "preview", "--json")
    assert result.exit_code == 1
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["error" in record for record in records] == [True, False, False]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cat.jpg", "dog.jpg"]
    assert "2 of 3" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["{}/none.swb", "-o", "{}/a.png"], "no such file"),
        (["{}/cat.swb", "-o", "{}/a.gif"], ".png"),
        (["{}/cat.swb", "-o", "{}/a.png", "--engine", "sketsh"], "did you mean 'sketch'"),
        (["{}/cat.swb", "-o", "{}/a.png", "--engine", "preview", "--runtime", "http://x"], "one of them"),
        (["{}/cat.swb", "-o", "{}/a.png", "--runtime", "127.0.0.1:8082"], "http://"),
        (["{}", "-o", "{}/cat.swb"], "must be a folder"),
        (["{}", "-o", "{}/out", "--format", "gif"], "--format"),
        (["{}/empty", "-o", "{}/out"], "no .swb files"),
        (["{}/cat.swb", "-o", "{}/a.png", "--config", "{}/none.toml"], "none.toml"),
        (["{}/cat.swb", "-o", "{}/a.png", "--quality", "0"], "quality"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_is_status_2_with_a_hint(cat: Path, tmp_path: Path, arguments: list[str], hint: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run("decode", *(argument.replace("{}", str(tmp_path)) for argument in arguments))
    assert result.exit_code == 2 and hint in result.stderr
    assert not (tmp_path / "a.png").exists()


async def test_a_runtime_elsewhere_draws_too(serve: Any, engine: Any, cat: Path, tmp_path: Path) -> None:
    server = await serve(engine)
    arguments = ("decode", cat, "-o", tmp_path / "a.png", "--runtime", server.url, "--prompt", "eine Kätzin", "--json")
    result = await asyncio.to_thread(run, *arguments)
    assert json.loads(result.stdout)["engine"] == "fake@01234567"
    assert engine.batches[0][0].prompt == "eine Kätzin"
    with Image.open(tmp_path / "a.png") as image:
        assert image.getpixel((0, 0)) == (5, 5, 5)


async def test_what_a_runtime_refuses_is_status_1(serve: Any, tmp_path: Path) -> None:
    server = await serve(PreviewEngine())
    (tmp_path / "a.swb").write_bytes(pack(Bundle(8, 8, prompt=Prompt("a cat"))))
    result = await asyncio.to_thread(
        run, "decode", tmp_path / "a.swb", "-o", tmp_path / "a.png", "--runtime", server.url
    )
    assert result.exit_code == 1 and "draws from words" in result.stderr


def test_a_runtime_that_is_not_there_is_status_1(cat: Path, tmp_path: Path) -> None:
    result = run("decode", cat, "-o", tmp_path / "a.png", "--runtime", "http://127.0.0.1:9")
    assert result.exit_code == 1 and "cannot be reached" in result.stderr and "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "status", "hint"),
    [
        (["--port", "99999"], 2, "port"),
        (["--engine", "sketsh", "--port", "0"], 1, "did you mean 'sketch'"),
        (["--config", "/nonexistent.toml"], 2, "nonexistent"),
    ],
)
def test_a_runtime_that_cannot_start_says_why(arguments: list[str], status: int, hint: str) -> None:
    result = run("runtime", *arguments)
    assert result.exit_code == status and hint in result.stderr and "Traceback" not in result.output
