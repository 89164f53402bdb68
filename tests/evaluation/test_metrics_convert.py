from __future__ import annotations

import pytest
import torch

from evaluation.metrics.convert import HEADS, backbone, dists


def test_published_names_become_ours() -> None:
    heads = {f"lin{n}.model.1.weight": torch.full((1, 4, 1, 1), float(n)) for n in range(HEADS)}
    network = {"features.0.weight": torch.ones(4, 3, 3, 3), "classifier.0.weight": torch.ones(2, 2)}
    found = backbone(network, heads)
    assert set(found) == {"features.0.weight", *(f"lin{n}.weight" for n in range(HEADS))}
    assert all(value.dtype == torch.float16 for value in found.values())
    assert float(found["lin3.weight"].mean()) == 3
    published = {"alpha": torch.rand(1, 9, 1, 1), "beta": torch.rand(1, 9, 1, 1), "other": torch.ones(1)}
    assert set(dists(published)) == {"alpha", "beta"}


def test_other_dictionaries_are_refused() -> None:
    with pytest.raises(ValueError, match="features"):
        backbone({"conv.weight": torch.ones(1)}, {})
    with pytest.raises(ValueError, match=r"lin0\.model"):
        backbone({"features.0.weight": torch.ones(1)}, {})
    with pytest.raises(ValueError, match="alpha and beta"):
        dists({"alpha": torch.ones(1)})
