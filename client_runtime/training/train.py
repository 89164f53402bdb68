"""The training run: take a batch, draw, judge, step, average; save often; stop by the clock.

In: `Options`. Out: a folder with weights, a checkpoint, a log (one JSON object a line) and sheets of samples.
Refuses: what its parts refuse; it starts only if all of them are there.
"""

from __future__ import annotations

import json
import math
import random
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from client_runtime.engines.sketch.network import SketchNetwork
from client_runtime.training import checkpoint, duplicates, manifest, sheet
from client_runtime.training.adversary import Adversary, judge_loss
from client_runtime.training.muon import Muon
from client_runtime.training.objective import OFFSET_PX, View, verdict
from client_runtime.training.options import Options
from client_runtime.training.perception import Distances, Vgg, load_distances, load_vgg
from client_runtime.training.samples import Sample, Samples, collate

VGG_FILE, DISTS_FILE = "vgg16_lpips_fp16.safetensors", "dists_alpha_beta.safetensors"
_LOG_EVERY = 20
_OTHERS = 0.3  # learning rate of what Muon does not train, relative to Muon's
_JUDGE_RATE = 4e-4


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run went: steps in total, seconds in total, and the mean of each loss term at the end."""

    steps: int
    seconds: float
    terms: dict[str, float]


class Run:
    """One training run and all that changes during it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        self.device = torch.device(options.device)
        self.network = SketchNetwork(options.shape)
        if options.start_from:
            checkpoint.fill(self.network, options.start_from)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.judge = Adversary().to(self.device)
        matrices, others = _split(self.network)
        self.optimisers: list[torch.optim.Optimizer] = [
            Muon(matrices, options.rate),
            torch.optim.Adam(others, options.rate * _OTHERS, betas=(0.9, 0.99)),
        ]
        self.judge_optimiser = torch.optim.Adam(self.judge.parameters(), _JUDGE_RATE, betas=(0.5, 0.99))
        self.average = checkpoint.Average(self.network, options.average)
        self.vgg: Vgg = load_vgg(options.perception / VGG_FILE, "l2").to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.distances: Distances = load_distances(options.perception / VGG_FILE, options.perception / DISTS_FILE).to(
            self.device
        )
        self.step, self.seconds, self._stopped = 0, 0.0, False
        self._resume()
        self.draw: Any = torch.compile(self.network) if options.compile else self.network

    def batches(self) -> Iterator[Sample]:
        """Batches from where the run stands, on the device."""
        o = self.options
        entries = manifest.entries(o.data)
        if o.held_out:
            entries, dropped = duplicates.without_duplicates(entries, manifest.entries(o.held_out))
            self._log({"images": len(entries), "dropped_as_held_out": len(dropped)})
        samples = Samples(entries, o.mix, o.crop_px, o.crops_per_image, o.seed, start=self.step * o.images)
        loader = DataLoader(
            samples,
            batch_size=o.images,
            num_workers=o.workers,
            collate_fn=collate,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if o.workers else None,
        )
        for batch in loader:
            yield {name: self._there(value) for name, value in batch.items()}

    def train(self) -> Ran:
        """Until the options say stop. Resumes by itself when the folder holds a checkpoint."""
        o = self.options
        began, saved = time.monotonic(), time.monotonic()
        earlier = self.seconds
        sums: dict[str, list[float]] = {}
        means: dict[str, float] = {}
        for batch in self.batches():
            self.seconds = earlier + time.monotonic() - began
            progress = self.progress()
            if progress >= 1 or self._stopped:
                break
            for name, value in self.one_step(batch, progress).items():
                sums.setdefault(name, []).append(value)
            if self.step % _LOG_EVERY == 0:
                means = {name: sum(values) / len(values) for name, values in sorted(sums.items())}
                sums = {}
                self._log({"step": self.step, "seconds": round(self.seconds, 1), "rate": self.rate(progress), **means})
            if time.monotonic() - saved > o.save_every_s:
                self.save(batch)
                saved = time.monotonic()
        self.save(None)
        return Ran(self.step, self.seconds, means)

    def stop(self) -> None:
        """End after the present step, and save; for signal handlers."""
        self._stopped = True

    def one_step(self, batch: Sample, progress: float) -> dict[str, float]:
        """Draw one batch and learn from it; the loss terms."""
        o = self.options
        pick = random.Random(o.seed * 1_000_003 + self.step)
        size = "half" if pick.random() < o.losses.half_size_share else "full"
        view = View(size, pick.randrange(OFFSET_PX), pick.randrange(OFFSET_PX))
        judge = self.judge if o.losses.adversary > 0 and progress >= o.losses.adversary_from else None
        for optimiser, share in zip(self.optimisers, (1.0, _OTHERS), strict=True):
            optimiser.param_groups[0]["lr"] = share * self.rate(progress)
        with self._precision():
            drawn = self.draw(batch["colour"], batch["edges"], batch["mask"], batch["noise"], batch["facts"])
            found = verdict(drawn, batch["target"], view, self.vgg, self.distances, judge, o.losses)
        self.network.zero_grad(set_to_none=True)
        found.loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if torch.isfinite(norm):
            for optimiser in self.optimisers:
                optimiser.step()
            self.average.update(self.network)
        terms = {"slope": norm.item()} | {
            f"{name}-{size}" if name in ("lpips", "dists") else name: t.item() for name, t in found.terms.items()
        }
        if judge is not None:
            terms["judge"] = self._teach_judge(found.ours, found.theirs, size)
        self.step += 1
        return terms

    def rate(self, progress: float) -> float:
        """Learning rate: linear warm-up by steps, then a cosine by progress."""
        o = self.options
        cosine = o.final_rate + (o.rate - o.final_rate) * (1 + math.cos(math.pi * min(progress, 1))) / 2
        return cosine * min(1.0, (self.step + 1) / max(1, o.warm_up_steps))

    def progress(self) -> float:
        """0 to 1: by the clock or by steps, whichever is further."""
        o = self.options
        by_clock = self.seconds / (60 * o.minutes) if o.minutes > 0 else 0.0
        return max(by_clock, self.step / o.steps if o.steps > 0 else 0.0)

    def save(self, batch: Sample | None) -> None:
        """Checkpoint, averaged weights and, given a batch, a sheet of what it looks like now."""
        out = self.options.out
        out.mkdir(parents=True, exist_ok=True)
        checkpoint.export(out, self.average.weights, self.options.shape)
        state = {
            "network": self.network.state_dict(),
            "average": self.average.weights,
            "updates": self.average.updates,
            "judge": self.judge.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "judge_optimiser": self.judge_optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "options": self.options.as_dict(),
        }
        checkpoint.save(out, state)
        if batch is not None:
            with torch.no_grad(), self._precision():
                drawn = self.draw(batch["colour"], batch["edges"], batch["mask"], batch["noise"], batch["facts"])
            sheet.write(out / f"sheet-{self.step:06d}.png", [batch["target"], batch["colour"], drawn])

    def _teach_judge(self, ours: list[Tensor], theirs: list[Tensor], size: str) -> float:
        with self._precision():
            real = self.judge([f.detach() for f in theirs], size)
            drawn = self.judge([f.detach() for f in ours], size)
            loss = judge_loss(real, drawn)
        self.judge_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.judge_optimiser.step()
        return loss.item()

    def _resume(self) -> None:
        state = checkpoint.load(self.options.out)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.average.weights = {name: value.to(self.device) for name, value in state["average"].items()}
        self.average.updates = state["updates"]
        self.judge.load_state_dict(state["judge"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.judge_optimiser.load_state_dict(state["judge_optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    def _there(self, value: Tensor) -> Tensor:
        kind = torch.channels_last if value.ndim == 4 else torch.contiguous_format
        return value.to(self.device, non_blocking=True, memory_format=kind)

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.options.bf16 else nullcontext()

    def _log(self, line: dict[str, Any]) -> None:
        self.options.out.mkdir(parents=True, exist_ok=True)
        rounded = {key: round(value, 6) if isinstance(value, float) else value for key, value in line.items()}
        with (self.options.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")


def _split(network: SketchNetwork) -> tuple[list[Tensor], list[Tensor]]:
    """(convolutions inside the network, everything else)."""
    inside: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in network.named_parameters():
        is_inside = name.endswith("weight") and parameter.ndim == 4 and "leave" not in name
        (inside if is_inside else others).append(parameter)
    return inside, others


def train(options: Options) -> Ran:
    """Run the training that `options` describe. SIGTERM and SIGINT end it early, with everything saved."""
    run = Run(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: run.stop())
    return run.train()
