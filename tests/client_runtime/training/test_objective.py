from pathlib import Path

import torch

from client_runtime.training.adversary import Adversary, drawing_loss, judge_loss
from client_runtime.training.objective import OFFSET_PX, View, unrest, verdict
from client_runtime.training.options import Losses
from client_runtime.training.perception import load_distances, load_vgg


def test_equal_pictures_cost_nothing_and_others_do(perception: Path) -> None:
    vgg = load_vgg(perception / "vgg16_lpips_fp16.safetensors", "l2")
    distances = load_distances(perception / "vgg16_lpips_fp16.safetensors", perception / "dists_alpha_beta.safetensors")
    torch.manual_seed(0)
    true = torch.rand(2, 3, 48, 48)
    for size in ("full", "half"):
        view = View(size, 3, 5)
        same = verdict(true, true, view, vgg, distances, None, Losses())
        assert same.terms["lpips"] < 1e-6 and same.terms["dists"].abs() < 1e-4 and same.terms["colours"] == 0
        drawn = (true + 0.2 * torch.randn_like(true)).requires_grad_()
        other = verdict(drawn, true, view, vgg, distances, Adversary(), Losses(adversary=0.1, calm=1.0))
        assert all(other.terms[name] > same.terms[name] for name in ("pixels", "colours", "lpips", "dists"))
        other.loss.backward()
        assert drawn.grad is not None and torch.isfinite(drawn.grad).all() and drawn.grad.abs().sum() > 0


def test_ripples_count_where_it_is_calm() -> None:
    torch.manual_seed(0)
    sky, grass = torch.full((1, 3, 64, 64), 0.6), torch.rand(1, 3, 64, 64)
    ripples = 0.02 * torch.sin(torch.arange(64.0))[None, None, None, :].expand(1, 3, 64, 64)
    assert unrest(ripples, sky) > 5 * unrest(ripples, grass)
    shade = torch.linspace(0, 0.1, 64)[None, None, None, :].expand(1, 3, 64, 64)
    assert unrest(shade, sky) < 0.1 * unrest(ripples, sky), "another colour is another term's affair"
    beside = torch.cat((sky, grass), 3)
    wide = torch.cat((ripples, ripples), 3)
    assert unrest(wide, beside) > 5 * unrest(wide, torch.cat((grass, grass), 3))


def test_views() -> None:
    picture = torch.arange(32 * 32.0).view(1, 1, 32, 32)
    assert View("full", 3, 5).of(picture).shape == (1, 1, 32 - OFFSET_PX, 32 - OFFSET_PX)
    assert View("full", 3, 5).of(picture)[0, 0, 0, 0] == 3 * 32 + 5
    assert View("half", 0, 0).of(picture).shape == (1, 1, 12, 12)


def test_the_judge_learns_to_tell(perception: Path) -> None:
    torch.manual_seed(0)
    judge = Adversary()
    optimiser = torch.optim.Adam(judge.parameters(), 2e-3)
    real = [torch.rand(2, c, 8, 8) for c in (64, 128, 256, 512, 512)]
    drawn = [f * (torch.rand_like(f) > 0.5) for f in real]
    first = judge_loss(judge(real, "full"), judge(drawn, "full")).item()
    for _ in range(30):
        optimiser.zero_grad()
        loss = judge_loss(judge(real, "full"), judge(drawn, "full"))
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.8 * first
    assert drawing_loss(judge(real, "full")) < drawing_loss(judge(drawn, "full"))
