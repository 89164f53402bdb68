"""Profiles: those of the package are sound, and a wrong one says what is wrong."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from client_runtime.engines.diffusion import profile as module
from client_runtime.engines.diffusion.profile import (
    PACKAGED,
    Licence,
    Profile,
    ProfileError,
    Weights,
    load_profile,
    parse,
    profiles,
)

ROOT = Path(__file__).parents[3]
KNOWN = {"sd15-lcm", "sd-turbo", "sdxl-turbo", "sd15-hyper", "sd15-paper"}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(module, "USERS", tmp_path / "models")
    return tmp_path / "models"


def values(**changes: Any) -> dict[str, Any]:
    told = tomllib.loads((PACKAGED / "sd15-lcm.toml").read_text())
    return {name: value for name, value in (told | changes).items() if value is not None}


def test_the_packages_profiles_are_complete() -> None:
    found = {each.id: each for each in profiles()}
    assert set(found) == KNOWN
    for each in found.values():
        assert "edges" in each.controlnets and each.licence.url.startswith("https://") and each.file is not None
        assert 1000 < each.memory_mib < 20_000 and 1000 < each.download_mib < 20_000
        assert each.lora is None or each.lora.file.endswith(".safetensors")
        assert all(w.local is None for w in (each.base_weights, *each.controlnets.values()))
    assert [found[name].steps for name in ("sd15-lcm", "sd-turbo", "sdxl-turbo", "sd15-paper")] == [4, 1, 1, 20]
    assert found["sd15-paper"].guides and not found["sd15-lcm"].guides


def test_users_find_the_packages_profiles_under_configs() -> None:
    assert (ROOT / "configs" / "models").resolve() == PACKAGED.resolve()


def test_every_key_is_documented() -> None:
    for kind in (Profile, Weights, Licence):
        assert all(len(f.metadata["doc"]) > 3 for f in fields(kind))


def test_a_file_a_folder_and_a_users_own_name(tmp_path: Path, home: Path) -> None:
    text = (PACKAGED / "sd15-lcm.toml").read_text()
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "profile.toml").write_text(text.replace('base = "stable-diffusion-v1-5/', 'base = "./'))
    local = load_profile(folder)
    assert local.base_weights.local == (folder / "stable-diffusion-v1-5").resolve()
    assert load_profile(str(folder / "profile.toml")) == local
    home.mkdir()
    (home / "sd15-lcm.toml").write_text(text.replace("steps = 4", "steps = 6"))
    assert load_profile("sd15-lcm").steps == 6
    (home / "other.toml").write_text(text)
    with pytest.raises(ProfileError, match="must be 'other', the file's name"):
        load_profile("other")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 4}, "unknown key 'step'; did you mean 'steps'"),
        ({"steps": "4"}, "must be of type int"),
        ({"steps": 0}, "must be 1 to 150"),
        ({"steps": True}, "must be of type int"),
        ({"licence": None}, "licence is missing"),
        ({"licence": {"spdx": "MIT"}}, "licence: name is missing"),
        ({"scheduler": "dpmm"}, "must be one of"),
        ({"buckets": [[512, 500]]}, "has the side 500, which must be a multiple of 64"),
        ({"buckets": [512]}, r"list of \[width, height\] pairs"),
        ({"controlnets": {"edge": {"repo": "a/b"}}}, "unknown role 'edge'; did you mean 'edges'"),
        ({"controlnets": {"edges": {"repo": "a/b", "wieght": 1}}}, "did you mean 'weight'"),
        ({"controlnets": {"edges": "a/b"}}, "must be a table"),
        ({"base": "just-a-name"}, "must be a repository id"),
        ({"id": "Big One"}, "must be lower-case"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        parse(values(**changes), "test.toml", Path())


def test_unknown_names_are_told_with_the_known_ones() -> None:
    with pytest.raises(ProfileError, match=r"known: .*sd15-paper.*did you mean 'sd15-lcm'"):
        load_profile("sd15-lmc")
    with pytest.raises(ProfileError, match="no such profile"):
        load_profile("./nowhere.toml")


def test_the_parts_to_fetch_are_those_that_are_loaded() -> None:
    lcm = {part.role: part for part in load_profile("sd15-lcm").parts()}
    assert set(lcm) == {"base", "lora", "tiny_vae", "controlnets.edges"}
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in lcm["base"].patterns
    assert not any(pattern.startswith(("vae/", "safety_checker")) for pattern in lcm["base"].patterns)
    assert lcm["controlnets.edges"].patterns[1] == "diffusion_pytorch_model.fp16.safetensors"
    paper = {part.role: part for part in load_profile("sd15-paper").parts()}
    assert "vae/diffusion_pytorch_model.fp16.safetensors" in paper["base"].patterns
    assert "text_encoder_2/config.json" in load_profile("sdxl-turbo").parts()[0].patterns
