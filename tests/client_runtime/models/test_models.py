"""Profiles' weights from a hub on a local port, through the real library and the real command line."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import huggingface_hub.constants as constants
import numpy as np
import pytest
from typer.testing import CliRunner

from client_runtime.engines.diffusion.profile import Profile, load_profile
from client_runtime.models import hub as hub_module
from client_runtime.models.hub import Hub
from client_runtime.models.manifest import State, load, manifest_path
from client_runtime.models.plan import ModelsError
from client_runtime.models.store import fetch, missing, plan_of, verify
from proxy.cli import app
from tests.client_runtime.models.conftest import BASE_REPO, FakeHub, commit_of

PROFILE = """
id = "tiny"
title = "A tiny profile"
base = "someone/base"
revision = "{commit}"
[tiny_vae]
repo = "someone/taesd"
revision = "main"
[licence]
spdx = "LicenseRef-Test"
name = "Test Licence 7"
url = "https://example.org/licence"
note = "Not for squirrels."
"""


def safetensors(size_bytes: int) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}}).encode()
    body = np.random.default_rng(size_bytes).integers(0, 256, size_bytes, dtype=np.uint8).tobytes()
    return struct.pack("<Q", len(header)) + header + body


LARGE = "unet/diffusion_pytorch_model.safetensors"
BASE = {
    "model_index.json": b"{}",
    "scheduler/scheduler_config.json": b"{}",
    "tokenizer/vocab.json": b'{"a": 1}',
    "tokenizer/merges.txt": b"#",
    "tokenizer/evil.py": b"import os",
    "text_encoder/config.json": b"{}",
    "text_encoder/model.safetensors": safetensors(1000),
    "text_encoder/pytorch_model.bin": b"pickle",
    "unet/config.json": b"{}",
    LARGE: safetensors(300_000),
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "v1-5-pruned.ckpt": b"pickle",
}


@pytest.fixture
def profile(tmp_path: Path, fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """A profile among the user's own, its repositories on the fake hub; what is over 100 kB counts as large."""
    folder = tmp_path / ".sketchwire" / "models"
    folder.mkdir(parents=True)
    (folder / "tiny.toml").write_text(PROFILE.format(commit=commit_of(BASE_REPO)), encoding="utf-8")
    fake_hub.repos["someone/base"] = dict(BASE)
    fake_hub.repos["someone/taesd"] = {
        "config.json": b"{}",
        "diffusion_pytorch_model.safetensors": safetensors(500),
    }
    fake_hub.licences["someone/base"] = "openrail-test"
    monkeypatch.setattr(hub_module, "RESUMED_BYTES", 100_000)
    monkeypatch.setattr(hub_module, "_BLOCK_BYTES", 10_000)
    return load_profile("tiny")


def models(*words: str, answer: str | None = None) -> Any:
    return CliRunner().invoke(app, ["models", *words], input=answer)


def pulled(profile: Profile) -> None:
    result = models("pull", profile.id, "--yes")
    assert result.exit_code == 0, result.output


def test_pull_fetches_what_is_needed_and_nothing_that_runs(profile: Profile, fake_hub: FakeHub) -> None:
    assert missing(profile) is not None
    pulled(profile)
    assert missing(profile) is None
    fetched = {line.split()[1] for line in fake_hub.asked if line.startswith("GET")}
    assert LARGE in fetched and "tokenizer/merges.txt" in fetched
    assert not [name for name in fetched if name.endswith((".bin", ".ckpt", ".py"))]
    on_disk = {path.name for path in Path(constants.HF_HUB_CACHE).rglob("*")}
    assert "evil.py" not in on_disk and "pytorch_model.bin" not in on_disk
    manifest = load(manifest_path("tiny"))
    assert manifest is not None and {entry.role for entry in manifest.entries} == {"base", "tiny_vae"}
    assert all(len(entry.sha256) == 64 and entry.commit == commit_of(entry.repo) for entry in manifest.entries)


def test_licences_and_sizes_come_before_the_question(profile: Profile, fake_hub: FakeHub) -> None:
    result = models("pull", "tiny", answer="n\n")
    assert result.exit_code == 1 and "nothing was downloaded" in result.stderr
    for shown in ("Test Licence 7", "https://example.org/licence", "squirrels", "openrail-test", "none stated"):
        assert shown in result.stderr
    assert f'revision = "{commit_of("someone/taesd")}"' in result.stderr, (
        "a branch's commit is told, so that it can be pinned"
    )
    assert not [line for line in fake_hub.asked if not line.startswith("api")]


def test_a_dry_run_lists_files_for_machines(profile: Profile, fake_hub: FakeHub) -> None:
    found = json.loads(models("pull", "tiny", "--dry-run", "--json").stdout)
    assert found["bytes"] == sum(file["bytes"] for file in found["files"]) > 300_000
    assert {file["path"] for file in found["files"] if file["repo"] == "someone/taesd"} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    assert not [line for line in fake_hub.asked if not line.startswith("api")]


def test_a_second_pull_asks_nobody(profile: Profile, fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled(profile)
    fake_hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    result = models("pull", "tiny")
    assert result.exit_code == 0 and "is here already" in result.stdout and fake_hub.asked == []


def test_offline_without_weights_says_so(profile: Profile, fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    result = models("pull", "tiny", "--yes")
    assert result.exit_code == 1 and "HF_HUB_OFFLINE" in result.stderr and fake_hub.asked == []


def test_a_pull_that_was_cut_goes_on_where_it_stopped(profile: Profile, fake_hub: FakeHub) -> None:
    size = len(BASE[LARGE])
    fake_hub.cut[LARGE] = [120_000] * hub_module.TRIES
    fake_hub.cut[LARGE][1:] = [0] * (hub_module.TRIES - 1)
    first = models("pull", "tiny", "--yes")
    assert first.exit_code == 1 and "goes on from there" in first.stderr
    (partial,) = Path(constants.HF_HUB_CACHE).rglob("*.sketchwire-partial")
    have = partial.stat().st_size
    assert 0 < have <= 120_000
    fake_hub.asked.clear()
    fake_hub.sent_bytes = 0
    pulled(profile)
    assert f"GET {LARGE} bytes={have}-" in fake_hub.asked
    assert fake_hub.sent_bytes < size - have + 10_000, "what had come was not sent again"
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.sketchwire-partial"))


def test_a_connection_that_breaks_is_made_again(profile: Profile, fake_hub: FakeHub) -> None:
    fake_hub.cut[LARGE] = [100_000, 100_000]
    pulled(profile)
    assert [line for line in fake_hub.asked if line.startswith(f"GET {LARGE} bytes=")]


def test_a_server_without_ranges_sends_it_whole(profile: Profile, fake_hub: FakeHub) -> None:
    fake_hub.ranges = False
    fake_hub.cut[LARGE] = [100_000]
    pulled(profile)
    assert missing(profile) is None


def test_bytes_add_up_to_the_announced_size(profile: Profile, fake_hub: FakeHub) -> None:
    fake_hub.ranges = False
    fake_hub.cut[LARGE] = [100_000]
    plan = plan_of(profile, Hub())
    heard: list[int] = []
    fetch(plan, Hub(), lambda wanted: None, heard.append)
    assert sum(heard) == plan.size_bytes


def test_a_damaged_download_never_enters_the_cache(profile: Profile, fake_hub: FakeHub) -> None:
    fake_hub.damage.add(LARGE)
    result = models("pull", "tiny", "--yes")
    assert result.exit_code == 1 and "was announced" in result.stderr
    assert not list(Path(constants.HF_HUB_CACHE).rglob("unet/*.safetensors"))
    fake_hub.damage.clear()
    pulled(profile)


def test_a_small_damaged_file_is_noticed_too(profile: Profile, fake_hub: FakeHub) -> None:
    fake_hub.damage.add("tokenizer/vocab.json")
    result = models("pull", "tiny", "--yes")
    assert result.exit_code == 1 and "damaged" in result.stderr


@pytest.mark.parametrize("name", [LARGE, "tokenizer/vocab.json"])
def test_verify_finds_what_changed_and_pull_mends_it(profile: Profile, fake_hub: FakeHub, name: str) -> None:
    pulled(profile)
    assert "all as recorded" in models("verify", "tiny").stdout
    (file,) = Path(constants.HF_HUB_CACHE).rglob(f"snapshots/*/{name}")
    real = file.resolve()
    data = bytearray(real.read_bytes())
    data[-1] ^= 1
    real.write_bytes(bytes(data))
    result = models("verify", "tiny", "--json")
    assert result.exit_code == 1
    states = {found["path"]: found["state"] for found in json.loads(result.stdout)["files"]}
    assert states[name] == State.CHANGED and list(states.values()).count("ok") == len(states) - 1


def test_verify_finds_what_is_gone(profile: Profile, fake_hub: FakeHub) -> None:
    pulled(profile)
    (file,) = Path(constants.HF_HUB_CACHE).rglob(f"snapshots/*/{LARGE}")
    file.resolve().unlink()
    result = models("verify", "tiny")
    assert result.exit_code == 1 and f"missing: someone/base: {LARGE}" in result.stdout
    pulled(profile)
    assert models("verify", "tiny").exit_code == 0


def test_a_record_of_another_revision_is_told(profile: Profile, fake_hub: FakeHub, tmp_path: Path) -> None:
    pulled(profile)
    file = tmp_path / ".sketchwire" / "models" / "tiny.toml"
    file.write_text(PROFILE.format(commit="main"), encoding="utf-8")
    result = models("verify", "tiny")
    assert result.exit_code == 1 and "other repositories or revisions" in result.stderr


def test_weights_that_were_not_pulled_can_be_recorded(profile: Profile, fake_hub: FakeHub) -> None:
    pulled(profile)
    manifest_path("tiny").unlink()
    result = models("verify", "tiny")
    assert result.exit_code == 1 and "--record" in result.stderr
    assert models("verify", "tiny", "--record").exit_code == 0
    manifest = load(manifest_path("tiny"))
    assert manifest is not None
    assert all(state is State.OK for _, state in verify(manifest, Hub(), lambda size: None))


def test_rm_keeps_what_others_need(profile: Profile, fake_hub: FakeHub, tmp_path: Path) -> None:
    other = (
        PROFILE.format(commit=commit_of(BASE_REPO))
        .replace('"tiny"', '"other"')
        .replace("someone/taesd", "someone/second")
    )
    (tmp_path / ".sketchwire" / "models" / "other.toml").write_text(other, encoding="utf-8")
    fake_hub.repos["someone/second"] = fake_hub.repos["someone/taesd"]
    pulled(profile)
    pulled(load_profile("other"))
    result = models("rm", "tiny", "--yes")
    assert result.exit_code == 0 and "stays: someone/base (other needs it)" in result.stdout
    assert "goes: someone/taesd" in result.stdout
    assert missing(profile) is not None and missing(load_profile("other")) is None
    assert not manifest_path("tiny").exists()
    assert models("rm", "other", "--yes").exit_code == 0
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.safetensors"))


def test_rm_asks_first(profile: Profile, fake_hub: FakeHub) -> None:
    pulled(profile)
    result = models("rm", "tiny", answer="n\n")
    assert result.exit_code == 1 and missing(profile) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda hub: hub.repos.pop("someone/base"), "does not exist, or is private"),
        (lambda hub: hub.gated.add("someone/base"), "accept its terms"),
        (lambda hub: hub.repos["someone/base"].pop(LARGE), "pickle files can run code"),
        (lambda hub: hub.repos["someone/base"].pop("unet/config.json"), "has no unet/config.json"),
    ],
)
def test_trouble_says_what_to_do(profile: Profile, fake_hub: FakeHub, change: Any, said: str) -> None:
    change(fake_hub)
    result = models("pull", "tiny", "--yes")
    assert result.exit_code == 1 and said in result.stderr and "Traceback" not in result.stderr


def test_paths_that_leave_their_folder_are_refused(profile: Profile, fake_hub: FakeHub) -> None:
    fake_hub.repos["someone/base"]["tokenizer/../../../evil.json"] = b"{}"
    with pytest.raises(ModelsError, match="leaves its folder"):
        plan_of(profile, Hub())


def test_a_full_disk_is_told_before_the_download(
    profile: Profile, fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1 << 20})())
    result = models("pull", "tiny", "--yes")
    assert result.exit_code == 1 and "set HF_HOME to another disk" in result.stderr


def test_the_list_knows_what_is_here(profile: Profile, fake_hub: FakeHub) -> None:
    def here() -> dict[str, bool]:
        return {row["profile"]: row["here"] for row in json.loads(models("list", "--json").stdout)}

    assert here()["tiny"] is False and "sd15-lcm" in here()
    pulled(profile)
    assert here()["tiny"] is True
    assert "tiny" in models("list").stdout


def test_unknown_profiles_and_broken_records_are_one_line(profile: Profile, fake_hub: FakeHub) -> None:
    assert "did you mean" in models("pull", "tinny").stderr
    pulled(profile)
    manifest_path("tiny").write_text("{", encoding="utf-8")
    result = models("verify", "tiny")
    assert result.exit_code == 1 and "pull the profile again" in result.stderr
