import numpy as np
import pytest
import torch

from client_runtime.engines.sketch.conditions import FACTS
from client_runtime.engines.sketch.network import Shape, SketchNetwork


def _planes(rows: int, columns: int) -> list[torch.Tensor]:
    torch.manual_seed(1)
    half = (1, 1, rows // 2, columns // 2)
    return [
        torch.rand(1, 3, rows, columns),
        torch.zeros(half),
        torch.zeros(half),
        torch.randn(1, 1, rows, columns),
        torch.zeros(1, FACTS),
    ]


@pytest.mark.parametrize("size", [(8, 8), (32, 64), (40, 24)])
def test_keeps_the_size(network: SketchNetwork, size: tuple[int, int]) -> None:
    assert network(*_planes(*size)).shape == (1, 3, *size)


def test_refuses_other_sizes(network: SketchNetwork) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        network(*_planes(12, 8))


def test_starts_near_the_preview() -> None:
    torch.manual_seed(0)
    planes = _planes(64, 64)
    assert (SketchNetwork(Shape())(*planes) - planes[0]).abs().mean() < 0.15


@pytest.mark.parametrize("place", range(5))
def test_every_input_matters(network: SketchNetwork, place: int) -> None:
    planes = _planes(32, 32)
    changed = [p.clone() for p in planes]
    changed[place] = changed[place] + 1
    assert not torch.allclose(network(*planes), network(*changed), atol=1e-5)


def test_is_about_as_costly_as_it_says() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        SketchNetwork(Shape())(*_planes(128, 128))
    assert 90_000 < counter.get_total_flops() / 128**2 < 130_000
    assert sum(np.prod(p.shape) for p in SketchNetwork(Shape()).parameters()) < 2_500_000


@pytest.mark.parametrize("size", [(8, 16), (64, 24), (72, 40), (136, 32)])
def test_strips_and_sums_in_place_change_nothing(network: SketchNetwork, size: tuple[int, int]) -> None:
    planes = _planes(*size)
    kept = [p.clone() for p in planes]
    with torch.no_grad():
        whole = network(*planes)
    with torch.inference_mode():
        strips = network(*planes)
    assert torch.allclose(whole, strips, atol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(planes, kept, strict=True)), "what was given is not written to"


@torch.no_grad()
def test_noise_keeps_off_smooth_edges(network: SketchNetwork) -> None:
    def noisiness(colour: torch.Tensor) -> float:
        planes = _planes(64, 64)
        planes[0] = colour
        drawn = network(*planes)
        planes[3] = -planes[3]
        return float((network(*planes) - drawn).abs().mean() / (colour - colour.mean()).abs().mean())

    edge = torch.sigmoid((torch.arange(64.0) - 32) / 6).expand(1, 3, 64, 64)
    grass = edge + 0.1 * torch.randn(1, 3, 64, 64)
    assert noisiness(grass) > 5 * noisiness(edge) > 0
