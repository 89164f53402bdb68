"""A capacity model: subscribers and their habits become machines, GPUs, disk, link and cost per GB saved.

In: a `Load` (who browses what) and a `Figures` (what one part can do; defaults say where they come from). Out: a
`Plan`. Refuses: loads that are negative or empty, and parts that can do nothing (`ValueError`, naming the field).

Everything is a rate at the busiest hour divided by what one part does at `target_load` of its capacity, plus a spare
for each kind of part. Queues, caches that warm up and links that lose packets are not in the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

GB = 1e9
HOURS_A_MONTH = 730.0


def _figure(default: float, source: str) -> Any:
    """A number with its origin, for the list of assumptions."""
    return field(default=default, metadata={"source": source})


@dataclass(frozen=True, slots=True)
class Load:
    """What subscribers do in the busiest hour; `busy_hours_a_day` such hours make a day."""

    subscribers: int
    pages_per_hour: float = _figure(6.0, "assumed; pages an active subscriber opens in the busiest hour")
    active_share: float = _figure(0.3, "assumed; subscribers that browse in the busiest hour")
    requests_per_page: float = _figure(70.0, "assumed; HTTP Archive's medians lie near it")
    images_per_page: float = _figure(20.0, "assumed")
    image_kb: float = _figure(60.0, "assumed; kilobytes of an image before, on average")
    other_kb_per_page: float = _figure(900.0, "assumed; everything on a page that is no image")
    busy_hours_a_day: float = _figure(6.0, "assumed; a day has the traffic of that many busiest hours")


@dataclass(frozen=True, slots=True)
class Figures:
    """What the parts do."""

    rewritten_share: float = _figure(46 / 90, "measured: 46 of 90 images of real sites (README)")
    bundle_saving: float = _figure(0.988, "measured: of the bytes of rewritten images (README)")
    cache_share: float = _figure(0.3, "assumed: images that a cache has, upstream's and the runtimes'")
    proxy_requests_s: float = _figure(100.0, "measured, lower end: requests/s of one proxy process and core")
    encode_cpu_ms: float = _figure(405.0, "measured: processor time upstream an image, detection included (README)")
    draw_cpu_ms: float = _figure(
        639.0, "measured: sketch engine, 512×512 thumbnail mode, one core (docs/performance.md)"
    )
    gpu_images_s: float = _figure(20.0, "NOT measured: the aim for one step at 512×512 (docs/performance.md)")
    reconstruction_kb: float = _figure(40.0, "assumed; kilobytes of a drawn image file")
    keep_days: float = _figure(7.0, "the shared cache's default time to live")
    ledger_row_bytes: float = _figure(250.0, "assumed; bytes of a ledger row with its indexes")
    ledger_days: float = _figure(7.0, "default of rows_days in [ledger]")
    target_load: float = _figure(0.6, "assumed: a part is used to this share in the busiest hour")
    cores_per_machine: float = _figure(16.0, "assumed")
    machine_month: float = _figure(150.0, "assumed; money for a machine and month")
    gpu_month: float = _figure(500.0, "assumed; money for a GPU and month")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the load needs. Rates are those of the busiest hour; counts of machines include `spares`."""

    requests_s: float
    images_s: float
    encoded_s: float
    drawn_s: float
    downstream_processes: int
    upstream_processes: int
    encoder_cores: int
    runtime_cores: int
    gpus: int
    edge_machines: int
    centre_machines: int
    cache_gb: float
    ledger_gb: float
    link_mbit_s: float
    link_without_mbit_s: float
    saved_gb_month: float
    money_month: float
    money_per_gb: float | None


def plan(load: Load, figures: Figures, gpu: bool) -> Plan:
    """The `Plan` for `load`; `gpu` says whether runtimes draw on GPUs. Raises ValueError, naming the field at fault."""
    _check(load, figures)
    pages_s = load.subscribers * load.active_share * load.pages_per_hour / 3600
    requests_s = pages_s * load.requests_per_page
    images_s = pages_s * load.images_per_page
    bundles_s = images_s * figures.rewritten_share
    encoded_s = images_s * (1 - figures.cache_share)  # declining costs nearly as much as encoding
    drawn_s = bundles_s * (1 - figures.cache_share)

    proxies = _units(requests_s, figures.proxy_requests_s * figures.target_load)
    encoder_cores = _units(encoded_s * figures.encode_cpu_ms / 1000, figures.target_load)
    runtime_cores = 0 if gpu else _units(drawn_s * figures.draw_cpu_ms / 1000, figures.target_load)
    gpus = _units(drawn_s, figures.gpu_images_s * figures.target_load) + 1 if gpu else 0
    edge_cores = proxies + runtime_cores + gpus  # a process on a core feeds each GPU
    edge = _units(edge_cores, figures.cores_per_machine) + 1
    centre = _units(proxies + encoder_cores, figures.cores_per_machine) + 1

    image_kb_s = images_s * load.image_kb
    other_kb_s = pages_s * load.other_kb_per_page
    saved_kb_s = bundles_s * load.image_kb * figures.bundle_saving
    busy_s_month = 3600 * load.busy_hours_a_day * HOURS_A_MONTH / 24
    day_s = 3600 * load.busy_hours_a_day
    saved_gb = saved_kb_s * 1000 * busy_s_month / GB
    money = (edge + centre) * figures.machine_month + gpus * figures.gpu_month
    return Plan(
        requests_s=requests_s,
        images_s=images_s,
        encoded_s=encoded_s,
        drawn_s=drawn_s,
        downstream_processes=proxies + 1,
        upstream_processes=proxies + 1,
        encoder_cores=encoder_cores,
        runtime_cores=runtime_cores,
        gpus=gpus,
        edge_machines=edge,
        centre_machines=centre,
        cache_gb=drawn_s * day_s * figures.keep_days * figures.reconstruction_kb * 1000 / GB,
        ledger_gb=requests_s * day_s * figures.ledger_days * figures.ledger_row_bytes / GB,
        link_mbit_s=(image_kb_s + other_kb_s - saved_kb_s) * 8 / 1000,
        link_without_mbit_s=(image_kb_s + other_kb_s) * 8 / 1000,
        saved_gb_month=saved_gb,
        money_month=money,
        money_per_gb=money / saved_gb if saved_gb else None,
    )


def assumptions(load: Load, figures: Figures) -> list[tuple[str, float, str]]:
    """(name, value, where it comes from) of everything that went into a plan; a changed value says so."""
    found: list[tuple[str, float, str]] = []
    for part in (load, figures):
        for f in fields(part):
            if "source" in f.metadata:
                value = float(getattr(part, f.name))
                found.append((f.name, value, f.metadata["source"] if value == f.default else "given"))
    return found


def _units(wanted: float, each: float) -> int:
    return max(1, math.ceil(round(wanted / each, 9)))


def _check(load: Load, figures: Figures) -> None:
    if load.subscribers < 1:
        raise ValueError("subscribers must be at least 1")
    for name, value, _ in assumptions(load, figures):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must not be negative")
        if name.endswith(("_share", "_saving", "target_load")) and value > 1:
            raise ValueError(f"{name} is a share, from 0 to 1")
        if name in ("proxy_requests_s", "gpu_images_s", "target_load", "cores_per_machine") and value == 0:
            raise ValueError(f"{name} must be above 0")
