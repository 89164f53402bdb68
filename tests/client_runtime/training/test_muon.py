import torch

from client_runtime.training.muon import Muon, orthogonal


def test_singular_values_come_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((6, 20), (20, 6)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.6 and values.max() < 1.3


def test_minimises() -> None:
    torch.manual_seed(0)
    weight, goal = torch.zeros(4, 3, 2, 2, requires_grad=True), torch.randn(4, 3, 2, 2)
    optimiser = Muon([weight], 0.05)
    first = ((weight - goal) ** 2).sum().item()
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / 200)
        optimiser.zero_grad()
        ((weight - goal) ** 2).sum().backward()
        optimiser.step()
    assert ((weight - goal) ** 2).sum().item() < first / 50
