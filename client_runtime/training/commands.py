"""The command `sketchwire train`.

In: command-line arguments. Out: a training run; see train.py. Refuses: paths that do not exist, sizes that do not fit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


def register(app: typer.Typer) -> None:
    """Add `train` to the command line."""
    app.command("train")(train)


@app.command("train")
def train(
    data: Annotated[
        Path, typer.Option(help="Folder of images or tar shards, one .tar, or a .jsonl manifest.", exists=True)
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for weights, checkpoint, log and sheets; a run found there goes on.")
    ],
    perception: Annotated[Path, typer.Option(help="Folder with the VGG16/LPIPS and DISTS weight files.", exists=True)],
    held_out: Annotated[
        Path | None, typer.Option(help="Images that are measured on: look-alikes are not trained on.")
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Weights (safetensors) to start a new run from.", exists=True)
    ] = None,
    minutes: Annotated[float, typer.Option(help="Stop after this much wall clock; 0: no limit.")] = 0.0,
    steps: Annotated[int, typer.Option(help="Stop after this many steps; 0: no limit.")] = 0,
    images: Annotated[int, typer.Option(help="Images a step (an H100 takes 64).")] = 2,
    crops_per_image: Annotated[int, typer.Option(help="Crops of each image a step.")] = 2,
    crop_px: Annotated[int, typer.Option(help="Side of a crop in pixels (256 on a GPU).")] = 128,
    rate: Annotated[float, typer.Option(help="Learning rate after the warm-up.")] = 8e-3,
    final_rate: Annotated[float, typer.Option(help="Learning rate at the end.")] = 2e-4,
    adversary: Annotated[float, typer.Option(help="Weight of the adversarial loss; 0: none.")] = 0.0,
    adversary_from: Annotated[float, typer.Option(help="Fraction of the run after which the adversary joins.")] = 0.6,
    lpips: Annotated[float, typer.Option(help="Weight of the LPIPS loss.")] = 0.3,
    dists: Annotated[float, typer.Option(help="Weight of the DISTS loss.")] = 0.3,
    pixels: Annotated[float, typer.Option(help="Weight of the pixel loss.")] = 0.5,
    calm: Annotated[float, typer.Option(help="Weight of the loss for ripples in smooth places.")] = 0.0,
    half_size_share: Annotated[float, typer.Option(help="Share of the steps that look at the half-size copy.")] = 0.6,
    average: Annotated[float, typer.Option(help="Decay of the averaged weights.")] = 0.99,
    width: Annotated[int, typer.Option(help="Channels at 1/4 of the size.")] = 64,
    deep: Annotated[int, typer.Option(help="Channels at 1/8 of the size.")] = 96,
    blocks: Annotated[
        int, typer.Option(help="Blocks before, at and (as many again as before) after the deepest level.")
    ] = 3,
    blocks_deep: Annotated[int, typer.Option(help="Blocks at 1/8 of the size.")] = 6,
    save_every_s: Annotated[float, typer.Option(help="Seconds between checkpoints.")] = 240.0,
    workers: Annotated[int, typer.Option(help="Processes that prepare samples.")] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads for the network.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    bf16: Annotated[bool, typer.Option(help="bfloat16 autocast: for GPUs, and CPUs with AMX.")] = False,
    compile: Annotated[bool, typer.Option(help="torch.compile the network.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the samples and the initial weights.")] = 1,
) -> None:
    """Train the sketch engine's network; resumable, and ready to ship after every save."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    from client_runtime.engines.sketch.network import Shape
    from client_runtime.training.options import Losses, Options
    from client_runtime.training.train import train as run

    try:
        options = Options(
            data,
            out,
            perception,
            held_out,
            start_from,
            minutes,
            steps,
            images,
            crops_per_image,
            crop_px,
            rate,
            final_rate,
            average=average,
            save_every_s=save_every_s,
            workers=workers,
            threads=threads,
            device=device,
            bf16=bf16,
            compile=compile,
            seed=seed,
            shape=Shape(width, deep, blocks_before=blocks, blocks_deep=blocks_deep, blocks_after=blocks),
            losses=Losses(
                pixels=pixels,
                calm=calm,
                lpips=lpips,
                dists=dists,
                adversary=adversary,
                adversary_from=adversary_from,
                half_size_share=half_size_share,
            ),
        )
        ran = run(options)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{ran.steps} steps in {ran.seconds / 60:.1f} min; weights in {out}")
