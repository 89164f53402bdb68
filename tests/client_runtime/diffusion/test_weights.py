"""Weights that are there, missing, damaged or dangerous; and the fingerprint of those that are used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from client_runtime.engines.base import EngineUnavailable, Fallback
from client_runtime.engines.diffusion import factory, weights
from client_runtime.engines.diffusion.load import load
from client_runtime.engines.diffusion.profile import Profile, load_profile
from client_runtime.engines.diffusion.weights import WeightsError, WeightsMissing, find, fingerprint
from proxy.config import RuntimeConfig
from tests.client_runtime.diffusion.conftest import CPU
from tests.client_runtime.diffusion.tiny import write_lora, write_profile, write_toml

UNET = "base/unet/diffusion_pytorch_model.safetensors"
NET = "controlnet-edges/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny, tmp_path / "copy")


def test_everything_is_found(profile: Profile, tiny: Path) -> None:
    found = find(profile)
    assert set(found.folders) == {"base", "tiny_vae", "controlnets.edges"}
    assert tiny / UNET in found.files["base"] and tiny / NET in found.files["controlnets.edges"]


@pytest.mark.parametrize("file", [UNET, NET, "base/text_encoder/config.json", "tiny/config.json"])
def test_a_missing_file_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(WeightsMissing, match=Path(file).name):
        find(load_profile(copy))


def test_a_missing_repository_names_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsMissing, match=r"about \d+ MiB.*sketchwire models pull sd15-lcm"):
        find(load_profile("sd15-lcm"))
    with pytest.raises(EngineUnavailable, match="models pull sd-turbo") as missing:
        factory(RuntimeConfig(engine="diffusion", profile="sd-turbo"))
    assert missing.value.reason is Fallback.MISSING_WEIGHTS


@pytest.mark.parametrize("suffix", [".bin", ".ckpt", ".pt"])
def test_pickles_are_refused(copy: Path, suffix: str) -> None:
    (copy / UNET).rename((copy / UNET).with_suffix(suffix))
    with pytest.raises(WeightsError, match="pickle files are not loaded"):
        find(load_profile(copy))


def test_a_pickled_lora_is_refused(copy: Path) -> None:
    (copy / "lora").mkdir()
    (copy / "lora" / "weights.bin").write_bytes(b"\x80\x04.")
    write_toml(copy, lora={"repo": "./lora", "file": "weights.bin"})
    with pytest.raises(WeightsError):
        find(load_profile(copy))


def test_pickles_beside_safetensors_are_left_alone(copy: Path) -> None:
    (copy / "base/unet/diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    (copy / "base/tokenizer/tokenizer.py").write_text("raise SystemExit")
    assert not [path for paths in find(load_profile(copy)).files.values() for path in paths if path.suffix != ".json"
                and path.suffix != ".safetensors" and path.suffix != ".txt"]  # fmt: skip


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def garble(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, garble, empty])
@pytest.mark.parametrize("file", [UNET, NET])
def test_damaged_files_are_found_before_they_are_loaded(copy: Path, damage: Callable[[Path], None], file: str) -> None:
    damage(copy / file)
    with pytest.raises(EngineUnavailable, match=r"damaged.*sketchwire models verify tiny") as broken:
        factory(RuntimeConfig(engine="diffusion", profile=str(copy)))
    assert broken.value.reason is Fallback.BROKEN_WEIGHTS


def test_weights_of_another_model_are_refused(copy: Path, tmp_path: Path) -> None:
    other = write_profile(tmp_path / "xl", "sdxl")
    for wrong in ("controlnet-edges", "base/text_encoder"):
        shutil.rmtree(copy / wrong)
        shutil.copytree(other / wrong, copy / wrong)
    with pytest.raises(EngineUnavailable, match="made for another base") as broken:
        factory(RuntimeConfig(engine="diffusion", profile=str(copy)))
    assert broken.value.reason is Fallback.BROKEN_WEIGHTS
    (copy / "base/unet/config.json").write_text("{}")
    with pytest.raises(EngineUnavailable, match="cannot be loaded"):
        factory(RuntimeConfig(engine="diffusion", profile=str(copy)))


def test_too_little_memory_is_known_before_loading(profile: Profile) -> None:
    with pytest.raises(EngineUnavailable, match=r"needs \d+ MiB on cpu, 0 MiB are free") as small:
        load(profile, find(profile), CPU, lambda device: 1000)
    assert small.value.reason is Fallback.OUT_OF_MEMORY


def test_an_unknown_profile_is_no_reason_for_a_lesser_engine() -> None:
    with pytest.raises(EngineUnavailable, match="did you mean 'sd-turbo'") as wrong:
        factory(RuntimeConfig(engine="diffusion", profile="sd-turob"))
    assert wrong.value.reason is Fallback.UNAVAILABLE


def test_a_lora_changes_the_network(copy: Path, components) -> None:  # type: ignore[no-untyped-def]
    write_lora(copy)
    write_toml(copy, lora={"repo": "./lora", "file": "pytorch_lora_weights.safetensors", "weight": 0.5})
    profile = load_profile(copy)
    fused = load(profile, find(profile), CPU).unet
    changed = [
        name
        for (name, a), (other, b) in zip(fused.named_parameters(), components.unet.named_parameters(), strict=True)
        if name == other and not a.equal(b)
    ]
    assert changed and all("to_q" in name or "to_v" in name for name in changed)


def test_the_fingerprint_follows_what_changes_pictures(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_profile(copy)
    first = fingerprint(profile, find(profile), 1)
    assert first == fingerprint(replace(profile, title="Renamed", memory_mib=5, dtype="bfloat16"), find(profile), 1)
    edges = replace(profile.controlnets["edges"], weight=0.5)
    others = [
        fingerprint(replace(profile, steps=3), find(profile), 1),
        fingerprint(replace(profile, negative_prompt="blurry"), find(profile), 1),
        fingerprint(replace(profile, controlnets={"edges": edges}), find(profile), 1),
        fingerprint(profile, find(profile), 2),
    ]
    assert len({first, *others}) == 5
    data = bytearray((copy / UNET).read_bytes())
    data[-1] ^= 1
    (copy / UNET).write_bytes(data)
    assert fingerprint(profile, find(profile), 1) != first


def test_files_that_did_not_change_are_not_read_again(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_profile(copy)
    first = fingerprint(profile, find(profile), 1)
    found = find(profile)
    monkeypatch.setattr(weights.hashlib, "sha256", _only_small(weights.hashlib.sha256))
    assert fingerprint(profile, found, 1) == first


def _only_small(own: Callable[..., object]) -> Callable[..., object]:
    def sha256(data: bytes | None = None) -> object:
        assert data is not None, "a file was read again"
        return own(data)

    return sha256


def test_the_hubs_cache_names_files_by_their_digest(copy: Path, tmp_path: Path) -> None:
    profile = load_profile(copy)
    before = fingerprint(profile, find(profile), 1)
    blob = tmp_path / ("ab" * 32)
    (copy / UNET).rename(blob)
    (copy / UNET).symlink_to(blob)
    assert fingerprint(profile, find(profile), 1) != before  # the name is believed, as `models verify` checks it
