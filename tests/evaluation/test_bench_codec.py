from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("imagecodecs")

from evaluation import bench_codec, codec_report, ours
from evaluation.bench_codec import CLASSICAL, PREVIEW, Plan, run
from evaluation.codecs import CODECS, within
from proxy.bundle import pack, unpack


@pytest.fixture
def rgb() -> np.ndarray:
    y, x = np.mgrid[:96, :128]
    wave = 60 * np.sin(x / 5) * np.cos(y / 9) + 40 * ((x // 16 + y // 16) % 2)
    return np.stack((120 + wave, 110 + wave / 2, 140 - wave), 2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: c.name)
def test_codecs_grow_with_their_level(codec: object, rgb: np.ndarray) -> None:
    low, high = codec.encode(rgb, 10), codec.encode(rgb, 90)  # type: ignore[attr-defined]
    assert len(low) < len(high)
    assert codec.decode(high).shape == rgb.shape  # type: ignore[attr-defined]
    assert np.abs(codec.decode(high).astype(int) - rgb).mean() < np.abs(codec.decode(low).astype(int) - rgb).mean()  # type: ignore[attr-defined]


def test_everything_stays_within_the_budget(rgb: np.ndarray) -> None:
    classical = list(within(rgb, 700, (1, 2, 4)))
    assert {c.family for c in classical} == {c.name for c in CODECS}
    assert all(c.size_bytes <= 700 and c.picture.shape == rgb.shape for c in classical)
    for edges in (False, True):
        for setting, bundle, size in ours.bundles_within(rgb, 500, (2, 4), edges):
            assert size == len(pack(bundle)) <= 500 and unpack(pack(bundle)) == bundle
            assert (bundle.edges is not None) == edges == ("edges" in setting)


def test_a_bench_is_resumed_and_reported(rgb: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKETCHWIRE_METRIC_WEIGHTS", raising=False)
    data = tmp_path / "set"
    data.mkdir()
    Image.fromarray(rgb).save(data / "a.png")
    plan = Plan((data,), tmp_path / "out", families=(CLASSICAL, PREVIEW), rates_bpp=(0.3, 0.6), max_side_px=100)
    run(plan)
    rows = list(bench_codec.results(plan.out))
    assert {(r["family"], r["bpp"]) for r in rows} == {(f, b) for f in (CLASSICAL, PREVIEW) for b in (0.3, 0.6)}
    assert all(c["bytes"] <= r["bpp"] * r["pixels"] / 8 for r in rows for c in r["candidates"])
    run(plan)
    assert list(bench_codec.results(plan.out)) == rows
    assert "| set | 0.3 | preview | 1 |" in (plan.out / "table.md").read_text()
    assert (plan.out / "curves.png").stat().st_size > 1000 and json.loads((plan.out / "summary.json").read_text())


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images"):
        run(Plan((tmp_path,), tmp_path / "out", families=(PREVIEW,)))


def _row(family: str, bpp: float, *candidates: dict[str, float], engine: str = "") -> dict[str, object]:
    return {"image": "set/x.png", "bpp": bpp, "family": family, "engine": engine, "candidates": list(candidates)}


def test_the_best_is_chosen_per_metric_and_bytes_are_halved_at_equal_quality() -> None:
    rows = [
        _row("classical", 0.1, {"lpips_alex": 0.5, "psnr": 20}, {"lpips_alex": 0.4, "psnr": 19}),
        _row("classical", 0.2, {"lpips_alex": 0.3, "psnr": 25}),
        _row("sketch", 0.1, {"lpips_alex": 0.29, "psnr": 18}, engine="sketch@1"),
        _row("sketch", 0.1, {"lpips_alex": 0.01, "psnr": 99}, engine="sketch@other"),
    ]
    values = codec_report.best_values(rows, "sketch@1")
    assert values["set/x.png", 0.1, "classical"] == {"lpips_alex": 0.4, "psnr": 20}
    record = next(r for r in codec_report.summary(values) if r["family"] == "sketch")
    assert record["lpips_alex_wins"] == 1 and record["lpips_alex_halves"] == 1
    assert record["psnr_wins"] == 0 and record["psnr_halves"] == 0 and record["wins_all_three"] == 0
