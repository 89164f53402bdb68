"""Writes the golden bundles. Run once per format version; what is written here must be readable for ever.

`python tests/golden/make.py` refuses to overwrite: a changed golden file would be a changed format.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from skimage import data as samples

from proxy.bundle import Bundle, Prompt, Rectangle, Salient, SalientKind, pack
from proxy.bundle.atlas import layout
from proxy.bundle.pixels import edge_map
from proxy.bundle.resample import resize
from proxy.encode.edges import edges_within
from proxy.encode.pictures import avif_picture, palette, reduced

HERE = Path(__file__).parent


def bundles() -> dict[str, Bundle]:
    coffee = samples.coffee()
    height, width = coffee.shape[:2]
    spoon = Rectangle(360, 150, 90, 61, SalientKind.OTHER)
    cup = Rectangle(120, 40, 41, 33, SalientKind.LOGO)
    plan = layout((spoon, cup), 2)
    atlas = np.zeros((plan.height_px, plan.width_px, 3), np.uint8)
    for r, (x, y, w, h) in zip((spoon, cup), plan.places, strict=True):
        crop = coffee[r.y_px : r.y_px + r.height_px, r.x_px : r.x_px + r.width_px]
        atlas[y : y + h, x : x + w] = resize(crop, w, h)
    edges = edges_within(coffee, 900)
    base = {"width_px": width, "height_px": height, "seed": 20_261_122}
    words = Prompt("a cup of coffee with a spoon on a wooden table, Käffchen ☕")
    return {
        "prompt": Bundle(**base, prompt=words),
        "page-words": Bundle(**base, prompt=Prompt(None), original_sha256=bytes(range(8))),
        "edges": Bundle(**base, prompt=words, edges=edges),
        "edges+palette": Bundle(**base, prompt=words, edges=edges, palette=palette(coffee)),
        "thumbnail": Bundle(**base, thumbnail=avif_picture(reduced(coffee, 4), 32), original_sha256=bytes(range(32))),
        "salient": Bundle(
            **base,
            thumbnail=avif_picture(reduced(coffee, 8), 40),
            salient=Salient((spoon, cup), 2, avif_picture(atlas, 60)),
        ),
    }


def facts(bundle: Bundle) -> dict[str, object]:
    """The bundle as JSON, payloads in hexadecimal, with the edge map's rows of pixels counted."""
    plain = asdict(bundle)
    if bundle.edges is not None:
        plain["edges"]["pixels_by_row"] = edge_map(bundle.edges).sum(axis=1).tolist()
    return json.loads(json.dumps(plain, default=lambda value: value.hex()))


def main() -> None:
    for name, bundle in bundles().items():
        path = HERE / f"v1-{name}.swb"
        if path.exists():
            print(f"{path.name} exists; left as it is")
            continue
        path.write_bytes(pack(bundle))
        path.with_suffix(".json").write_text(json.dumps(facts(bundle), indent=1, ensure_ascii=False) + "\n")
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
