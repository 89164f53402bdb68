"""`sketchwire inspect`: what is in a bundle, or what a reconstruction says about itself.

In: a bundle file, or an image file that was drawn from one. Out: its sections with their bytes, its pictures drawn in
the terminal, its parts as standard files; of an image, its provenance. Refuses: what is no bundle (`BundleError`) and
images that say nothing; to overwrite exported files without --force.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.cli.exits import USAGE, fail

if TYPE_CHECKING:
    from proxy.bundle import Bundle, Picture
    from proxy.bundle.provenance import Provenance

MAX_PREVIEW_PIXELS = 50_000_000
_MEANING = {  # by proxy.bundle.provenance.Source
    "compositeWithTrainedAlgorithmicMedia": "real pixels of the original, filled up by a trained model",
    "trainedAlgorithmicMedia": "drawn by a trained model; no pixel is the original's",
    "algorithmicallyEnhanced": "the original's own pixels made larger, without a model",
}
COLUMNS = 76
EPILOG = """
sketchwire inspect cat.swb

sketchwire inspect cat.swb --export parts/    [dim]prompt.txt, edges.jb2, thumbnail.avif, …, preview.png[/dim]

sketchwire inspect cat.webp    [dim]where a drawn picture's pixels come from[/dim]

The exported files are standard ones: jbig2dec reads edges.jb2, any browser the pictures.
"""


def register(app: typer.Typer) -> None:
    """Add `inspect`."""

    @app.command("inspect", epilog=EPILOG)
    def inspect(
        source: Annotated[
            Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A bundle (.swb), or a drawn image.")
        ],
        export: Annotated[
            Path | None, typer.Option(metavar="DIR", help="Write the parts there as standard files.")
        ] = None,
        pictures: Annotated[
            bool | None, typer.Option("--pictures/--no-pictures", help="Draw the parts; by default in a terminal only.")
        ] = None,
        force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite exported files.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    ) -> None:
        """Show a bundle's sections, bytes and pictures, and export its parts."""
        from proxy.bundle import describe, unpack

        data = source.read_bytes()
        if _is_image(data):
            _show_provenance(source, data, as_json)
            return
        bundle, sections = unpack(data), describe(data)
        written = _export(bundle, export, force) if export is not None else []
        console = Console()
        if not as_json:
            _show(console, source, data, bundle, sections)
            if console.is_terminal if pictures is None else pictures:
                _draw(console, bundle)
        if as_json:
            typer.echo(json.dumps(as_object(source, data, bundle, sections, written), ensure_ascii=False, indent=2))
        for file in () if as_json else written:
            typer.echo(f"wrote {file}")


def as_object(
    source: Path, data: bytes, bundle: Bundle, sections: list[tuple[str, int]], written: list[Path]
) -> dict[str, Any]:
    """The bundle for machines; pictures by size and coding, not by pixels."""
    found: dict[str, Any] = {
        "file": str(source),
        "bytes": len(data),
        "width_px": bundle.width_px,
        "height_px": bundle.height_px,
        "seed": bundle.seed,
        "original_sha256_prefix": bundle.original_sha256.hex() if bundle.original_sha256 else None,
        "sections": [{"name": n, "bytes": b, "percent": round(100 * b / len(data), 2)} for n, b in sections],
    }
    if bundle.prompt is not None:
        found["prompt"] = {"text": bundle.prompt.text, "from_page": bundle.prompt.text is None}
    if bundle.edges is not None:
        e = bundle.edges
        found["edges"] = {"width_px": e.width_px, "height_px": e.height_px, "template": e.template}
    for name in ("palette", "thumbnail"):
        picture = getattr(bundle, name)
        if picture is not None:
            found[name] = _picture_object(picture)
    if bundle.salient is not None:
        found["salient"] = {
            "scale": bundle.salient.scale,
            "atlas": _picture_object(bundle.salient.atlas),
            "rectangles": [
                {"x": r.x_px, "y": r.y_px, "width": r.width_px, "height": r.height_px, "kind": r.kind.name.lower()}
                for r in bundle.salient.rectangles
            ],
        }
    if written:
        found["exported"] = [str(file) for file in written]
    return found


def parts(bundle: Bundle) -> dict[str, bytes]:
    """The bundle's parts as standard files, by file name; a preview only of a size that fits into memory."""
    from proxy.bundle import jbig2, pixels, preview
    from proxy.bundle.imagefile import encode_image

    files: dict[str, bytes] = {}
    if bundle.prompt is not None and bundle.prompt.text is not None:
        files["prompt.txt"] = bundle.prompt.text.encode() + b"\n"
    if bundle.edges is not None:
        e = bundle.edges
        files["edges.jb2"] = jbig2.export(pixels.edge_map(e), e.template, e.typical_prediction)
    pictures = {"palette": bundle.palette, "thumbnail": bundle.thumbnail}
    if bundle.salient is not None:
        pictures["crops"] = bundle.salient.atlas
    for name, picture in pictures.items():
        if picture is not None:
            suffix, content = pixels.picture_file(picture)
            files[name + suffix] = content
    if bundle.width_px * bundle.height_px <= MAX_PREVIEW_PIXELS:
        files["preview.png"] = encode_image(preview.render(bundle), "image/png", 100)
    return files


def _is_image(data: bytes) -> bool:
    from proxy.sniff import sniff

    return sniff(data) is not None


def _show_provenance(source: Path, data: bytes, as_json: bool) -> None:
    from proxy.provenance import read_file

    told = read_file(data)
    if told is None:
        fail(f"{source} is an image and no bundle, and says nothing of having been drawn by Sketchwire")
    found = provenance_object(source, told)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    typer.echo(f"{source}: {_MEANING[told.source]}")
    for name in ("digital_source_type", "engine", "original_sha256_prefix"):
        if found[name] is not None:
            typer.echo(f"  {name.replace('_', ' ')}: {found[name]}")


def provenance_object(source: Path, told: Provenance) -> dict[str, Any]:
    """What an image says of itself, for machines."""
    from proxy.bundle.provenance import VOCABULARY

    digest = told.original_sha256
    return {
        "file": str(source),
        "digital_source_type": VOCABULARY + told.source,
        "engine": told.engine,
        "original_sha256_prefix": digest.hex() if digest else None,
    }


def _export(bundle: Bundle, folder: Path, force: bool) -> list[Path]:
    from proxy.cli.batch import write_whole

    files = parts(bundle)
    existing = [folder / name for name in files if (folder / name).exists()]
    if existing and not force:
        fail(f"{existing[0]} exists already; --force overwrites", USAGE)
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]


def _show(console: Console, source: Path, data: bytes, bundle: Bundle, sections: list[tuple[str, int]]) -> None:
    head = f"[bold]{bundle.width_px}×{bundle.height_px}[/bold] px in [bold]{len(data):,}[/bold] bytes"
    share = 8 * len(data) / (bundle.width_px * bundle.height_px)
    console.print(f"{head}, {share:.4f} bits a pixel  [dim]{source}[/dim]", highlight=False, soft_wrap=True)
    table = Table()
    table.add_column("section")
    table.add_column("bytes", justify="right")
    table.add_column("share", justify="right")
    table.add_column("what it is")
    for name, size in sections:
        table.add_row(name, f"{size:,}", f"{100 * size / len(data):.1f} %", Text(_about(bundle, name)))
    console.print(table)


def _about(bundle: Bundle, section: str) -> str:
    if section == "head":
        return f"seed {bundle.seed}"
    if section == "prompt" and bundle.prompt is not None:
        return "the page's own words" if bundle.prompt.text is None else f"“{bundle.prompt.text}”"
    if section == "edges" and bundle.edges is not None:
        return f"{bundle.edges.width_px}×{bundle.edges.height_px} px, JBIG2 template {bundle.edges.template}"
    if section == "palette" and bundle.palette is not None:
        return _about_picture(bundle.palette)
    if section == "thumbnail" and bundle.thumbnail is not None:
        return _about_picture(bundle.thumbnail)
    if section == "salient" and bundle.salient is not None:
        kinds = Counter(r.kind.name.lower() for r in bundle.salient.rectangles)
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        return f"{counted}; at 1/{bundle.salient.scale} in one picture of {_about_picture(bundle.salient.atlas)}"
    if section == "digest" and bundle.original_sha256 is not None:
        return f"the original's SHA-256 begins with {bundle.original_sha256.hex()}"
    return ""


def _about_picture(picture: Picture) -> str:
    return f"{picture.width_px}×{picture.height_px} px, {picture.coding.name.replace('_', ' ')}"


def _picture_object(picture: Picture) -> dict[str, Any]:
    coding = picture.coding.name.lower()
    return {"width_px": picture.width_px, "height_px": picture.height_px, "coding": coding}


def _draw(console: Console, bundle: Bundle) -> None:
    from proxy.bundle import pixels, preview
    from proxy.cli.terminal import Picture, edges_as_picture

    columns = min(console.width, COLUMNS)
    drawn = {}
    if bundle.edges is not None:
        drawn["edges"] = edges_as_picture(pixels.edge_map(bundle.edges), columns)
    if bundle.palette is not None:
        drawn["palette"] = pixels.picture_rgb(bundle.palette)
    if bundle.thumbnail is not None:
        drawn["thumbnail"] = pixels.picture_rgb(bundle.thumbnail)
    if bundle.salient is not None:
        drawn["crops"] = pixels.picture_rgb(bundle.salient.atlas)
    if bundle.width_px * bundle.height_px <= MAX_PREVIEW_PIXELS:
        drawn["preview (no model)"] = preview.render(bundle)
    for name, rgb in drawn.items():
        console.print(f"\n[bold]{name}[/bold]")
        console.print(Picture(rgb, columns))
