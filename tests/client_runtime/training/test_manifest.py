import json
import tarfile
from pathlib import Path

import pytest

from client_runtime.training.manifest import ManifestError, entries


def test_a_folder_a_tar_and_a_list_hold_the_same(images: Path, tmp_path: Path) -> None:
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        for file in sorted(images.iterdir()):
            tar.add(file, file.name)
    listing = images / "index.jsonl"
    listing.write_text("".join(json.dumps({"file": f"{n}.png"}) + "\n" for n in range(3)))
    expected = [(images / f"{n}.png").read_bytes() for n in range(3)]
    for source in (images, shard, listing):
        assert [entry.read() for entry in entries(source)] == expected
        assert [entry.name for entry in entries(source)] == ["0.png", "1.png", "2.png"]


def test_a_folder_of_tars(images: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    with tarfile.open(shards / "a.tar", "w") as tar:
        tar.add(images / "1.png", "1.png")
    assert [entry.name for entry in entries(shards)] == ["1.png"]


@pytest.mark.parametrize("name", ["missing", "notes.txt", "empty"])
def test_nothing_to_learn_from(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match=name):
        entries(tmp_path / name)
