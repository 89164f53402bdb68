"""Second pictures: by the runtime, without a model when it cannot, left out when there is nothing to draw."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from proxy.bundle import MEDIA_TYPE
from proxy.gallery.after import drawn, extremes
from proxy.gallery.shelf import Pair
from proxy.negotiation import NO_ENGINE
from tests.proxy.gallery.pictures import pair, picture


def encoded() -> bytes:
    """A bundle as upstream makes it."""
    from proxy.encode.encoder import encode
    from proxy.encode.request import Encoded, EncodeRequest

    made = encode(EncodeRequest(picture(quality=95), mode="thumbnail", min_bytes=0))
    assert isinstance(made, Encoded), made
    return made.body


def pixels(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as image:
        assert image.format == "WEBP"
        return np.asarray(image.convert("RGB"), np.float32)


def test_a_smaller_file_is_shown_as_it_is() -> None:
    [one] = drawn([pair(0.9)])
    assert one.engine == "" and pixels(one.after).shape == (60, 80, 3)


def test_a_bundle_is_drawn_without_a_model_where_there_is_no_runtime() -> None:
    bundle = pair(0.5, sent=encoded(), media_type=MEDIA_TYPE)
    for runtime in ("", "http://127.0.0.1:9"):  # none, and one that does not answer
        [one] = drawn([bundle], runtime)
        assert one.engine == NO_ENGINE
        after, before = pixels(one.after), pixels(picture(320, 240, "WEBP"))
        assert after.shape == before.shape and np.abs(after - before).mean() < 25


def test_what_does_not_unpack_is_left_out() -> None:
    broken = pair(0.5, sent=b"no bundle", media_type=MEDIA_TYPE)
    assert drawn([broken, pair(0.7), pair(0.8, sent=b"no file")]) == drawn([pair(0.7)])


def test_the_worst_and_the_best_never_overlap() -> None:
    kept: list[Pair] = [pair(n / 10) for n in range(1, 8)]
    for count in range(8):
        worst, best = extremes(kept[:count], 3)
        assert not set(worst) & set(best) and len(worst) + len(best) == min(count, 6)
        assert list(worst) == kept[: len(worst)]
        assert [one.facts.quality for one in best] == sorted((one.facts.quality for one in best), reverse=True)
