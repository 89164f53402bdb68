"""The capacity model: hand-computed figures, and how a plan must move when a figure moves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.plan.model import Figures, Load, assumptions, plan

LOAD = Load(
    subscribers=1000,
    pages_per_hour=36.0,
    active_share=0.5,
    requests_per_page=40.0,
    images_per_page=20.0,
    image_kb=50.0,
    other_kb_per_page=500.0,
    busy_hours_a_day=4.0,
)
FIGURES = Figures(
    rewritten_share=0.5,
    bundle_saving=0.9,
    cache_share=0.2,
    proxy_requests_s=100.0,
    encode_cpu_ms=400.0,
    draw_cpu_ms=500.0,
    gpu_images_s=20.0,
    target_load=0.5,
    cores_per_machine=16.0,
    machine_month=100.0,
    gpu_month=300.0,
)


def test_a_plan_computed_by_hand() -> None:
    found = plan(LOAD, FIGURES, gpu=True)
    assert (found.requests_s, found.images_s, found.encoded_s, found.drawn_s) == (200.0, 100.0, 80.0, 40.0)
    assert (found.downstream_processes, found.upstream_processes) == (5, 5)  # 200 / (100 × 0.5), one spare
    assert found.encoder_cores == 64  # 80 × 0.4 s / 0.5
    assert (found.gpus, found.runtime_cores) == (5, 0)  # 40 / (20 × 0.5), one spare
    assert (found.edge_machines, found.centre_machines) == (2, 6)  # 9 and 68 cores, one spare each
    assert found.link_without_mbit_s == pytest.approx(5 * (1000 + 500) * 8 / 1000)
    assert found.link_mbit_s == pytest.approx(60.0 - 50 * 50 * 0.9 * 8 / 1000)
    assert found.saved_gb_month == pytest.approx(2250e3 * 4 * 3600 * 730 / 24 / 1e9)
    assert found.money_month == 8 * 100 + 5 * 300
    assert found.money_per_gb == pytest.approx(2300 / found.saved_gb_month)


def test_on_cpus_cores_draw() -> None:
    found = plan(LOAD, FIGURES, gpu=False)
    assert (found.gpus, found.runtime_cores) == (0, 40)


def test_more_of_anything_never_needs_less() -> None:
    before = plan(LOAD, FIGURES, gpu=True)
    for name in ("subscribers", "pages_per_hour", "images_per_page", "requests_per_page"):
        more = plan(replace(LOAD, **{name: getattr(LOAD, name) * 3}), FIGURES, gpu=True)
        assert more.gpus >= before.gpus and more.centre_machines >= before.centre_machines, name
        assert more.edge_machines >= before.edge_machines, name


def test_nothing_saved_has_no_price() -> None:
    assert plan(LOAD, replace(FIGURES, rewritten_share=0.0), gpu=True).money_per_gb is None


@pytest.mark.parametrize(
    ("change", "named"),
    [({"target_load": 0.0}, "target_load"), ({"gpu_images_s": 0.0}, "gpu_images_s"), ({"cache_share": 1.5}, "cache")],
)
def test_figures_that_make_no_sense_are_named(change: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        plan(LOAD, replace(FIGURES, **change), gpu=True)


def test_every_assumption_says_where_it_comes_from() -> None:
    told = {name: source for name, _, source in assumptions(Load(10), replace(Figures(), gpu_images_s=11.0))}
    assert told["gpu_images_s"] == "given"
    assert all(told.values()) and set(told) > {"pages_per_hour", "encode_cpu_ms"}


def test_the_command() -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["plan", "--subscribers", "1000", "--set", "gpu_images_s=11"])
    assert shown.exit_code == 0 and "GPUs that draw" in shown.output and "11  given" in shown.output
    told = runner.invoke(app, ["plan", "--subscribers", "1000", "--json"])
    assert json.loads(told.output)["plan"]["money_per_gb"] > 0
    wrong = runner.invoke(app, ["plan", "--subscribers", "1000", "--set", "gpus=3"])
    assert wrong.exit_code == 2 and "no figure" in wrong.output
    negative = runner.invoke(app, ["plan", "--subscribers", "1000", "--set", "image_kb=-3"])
    assert negative.exit_code == 2 and "image_kb" in negative.output
