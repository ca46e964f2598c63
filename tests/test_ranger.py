"""Ranger against the official trajectories; optimisers and schedules by name."""

import json
import math

import numpy as np
import pytest
import torch
from timm.scheduler import CosineLRScheduler

from training import ranger
from training.optimizers import build_optimizer, build_scheduler
from training.ranger import Ranger, step_size
from utils.errors import UserError

SHAPES = {"w": (5, 3), "conv": (4, 3, 2, 2), "b": (5,), "v3": (2, 3, 4)}
CONFIGS = {
    "default": {"lr": 1e-2},
    "readme": {"lr": 1e-4},
    "wd": {"lr": 1e-2, "weight_decay": 0.1},
    "k3": {"lr": 5e-3, "k": 3, "alpha": 0.3, "betas": (0.9, 0.99), "eps": 1e-6, "N_sma_threshhold": 4},
    "gcconv": {"lr": 1e-2, "gc_conv_only": True},
}
# 30 float32 updates of numbers of order 1, whose last bit is 1e-7; a rounding that differs may be carried on
TOLERANCE = {"rtol": 0, "atol": 1e-6}


def start() -> dict[str, torch.nn.Parameter]:
    import golden_values

    return {k: torch.nn.Parameter(torch.from_numpy(golden_values.normal(f"ranger.{k}", s))) for k, s in SHAPES.items()}


def set_gradients(parameters: dict[str, torch.nn.Parameter], t: int) -> None:
    import golden_values

    for k, p in parameters.items():
        p.grad = torch.from_numpy(golden_values.normal(f"ranger.grad.{k}.{t}", p.shape)) + 0.3 * p.detach()


@pytest.mark.parametrize("name", CONFIGS)
def test_official_trajectories(golden, name):
    reference = golden("ranger")
    parameters = start()
    optimizer = Ranger(parameters.values(), **CONFIGS[name])
    for t in range(30):
        set_gradients(parameters, t)
        optimizer.step()
        for k, p in parameters.items():
            np.testing.assert_allclose(p.detach(), reference[f"{name}_{k}"][t], **TOLERANCE, err_msg=f"{k}, step {t}")
    for k, p in parameters.items():
        for entry in ("exp_avg", "exp_avg_sq", "slow_buffer"):
            np.testing.assert_allclose(optimizer.state[p][entry], reference[f"{name}_{k}_{entry}"], **TOLERANCE)


@pytest.mark.parametrize("name", CONFIGS)
def test_official_state_layout(golden, name):
    layout = json.loads(str(golden("ranger")[f"{name}_state_dict_layout"]))
    parameters = start()
    optimizer = Ranger(parameters.values(), **CONFIGS[name])
    set_gradients(parameters, 0)
    optimizer.step()
    state = optimizer.state_dict()
    assert [str(key) for key in state["state"]] == layout["state_keys"]
    assert sorted(state["state"][0]) == layout["per_param"]
    assert type(state["state"][0]["step"]) is int
    (group,) = state["param_groups"]
    assert list(group) == list(layout["group"])
    assert {**group, "params": 0, "betas": list(group["betas"])} == {**layout["group"], "params": 0}


def test_continuing_an_official_state(golden, tmp_path):
    """Another optimiser takes over after step 14 from a saved state, as a training that goes on does."""
    reference = golden("ranger")
    parameters = start()
    optimizer = Ranger(parameters.values(), **CONFIGS["k3"])
    for t in range(15):
        set_gradients(parameters, t)
        optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")

    optimizer = Ranger(parameters.values(), lr=1.0)  # all settings come with the state
    optimizer.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    for t in range(15, 30):
        set_gradients(parameters, t)
        optimizer.step()
    for k, p in parameters.items():
        np.testing.assert_allclose(p.detach(), reference[f"k3_{k}"][-1], **TOLERANCE)


def test_official_least_squares(golden):
    import golden_values

    reference = golden("ranger")
    a, b = (torch.from_numpy(golden_values.normal(n, s)) for n, s in (("ranger.A", (20, 6)), ("ranger.B", (20, 3))))
    solution = torch.nn.Parameter(torch.zeros(6, 3))
    optimizer = Ranger([solution], lr=0.05)
    for t in range(30):
        optimizer.zero_grad()
        loss = (a @ solution - b).square().mean()
        loss.backward()
        optimizer.step()
        assert loss.item() == pytest.approx(reference["lsq_loss"][t], rel=1e-5)
        np.testing.assert_allclose(solution.detach(), reference["lsq_W"][t], rtol=0, atol=2e-6)


def test_first_step_by_eye():
    """The first step is exp_avg / (1 - .95) = the gradient; rows are centred, to (-1, 1) and (-2, 2), vectors not."""
    matrix = torch.nn.Parameter(torch.zeros(2, 2))
    vector = torch.nn.Parameter(torch.zeros(2))
    matrix.grad, vector.grad = torch.tensor([[1.0, 3.0], [0.0, 4.0]]), torch.tensor([1.0, 3.0])
    Ranger([matrix, vector], lr=0.1).step()
    assert torch.allclose(matrix, torch.tensor([[0.1, -0.1], [0.2, -0.2]]))
    assert torch.allclose(vector, torch.tensor([-0.1, -0.3]))
    assert matrix.grad.tolist() == [[1, 3], [0, 4]], "the gradients are left as they were"


def test_without_centralisation():
    matrix = torch.nn.Parameter(torch.zeros(2, 2))
    matrix.grad = torch.tensor([[1.0, 3.0], [0.0, 4.0]])
    Ranger([matrix], lr=0.1, use_gc=False).step()
    assert torch.allclose(matrix, -0.1 * matrix.grad)


def test_lookahead_by_eye():
    """k = 2, alpha = .5, constant gradient 1, steps of .1: 0, -.1, -.2 -> half way back to 0."""
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = Ranger([p], lr=0.1, k=2)
    for expected in (-0.1, -0.1, -0.2, -0.2):
        p.grad = torch.ones(1)
        optimizer.step()
        assert p.item() == pytest.approx(expected, abs=1e-6)


def test_step_size():
    """Step 1 is not rectified; after very many steps both corrections are gone."""
    assert step_size(1, 0.95, 0.999, 5) == (pytest.approx(20), False)
    size, rectified = step_size(100_000, 0.95, 0.999, 5)
    assert rectified
    assert size == pytest.approx(1, rel=1e-6)


def test_groups_have_their_own_settings():
    """Groups with other betas at the same step number do not share step sizes, nor do late starters."""
    def run(groups, steps=12):
        for group in groups:
            for p in group["params"]:
                torch.nn.init.ones_(p)
        optimizer = Ranger(groups, lr=0.01)
        for t in range(steps):
            for group in groups:
                for p in group["params"]:
                    p.grad = torch.full_like(p, math.sin(t + 1)) if t >= group.get("from", 0) else None
            optimizer.step()
        return [p.detach().clone() for group in groups for p in group["params"]]

    def groups():
        return [
            {"params": [torch.nn.Parameter(torch.ones(2))], "betas": (0.95, 0.999)},
            {"params": [torch.nn.Parameter(torch.ones(2))], "betas": (0.8, 0.9)},
            {"params": [torch.nn.Parameter(torch.ones(2))], "betas": (0.8, 0.9), "from": 5},
        ]

    together = run(groups())
    alone = [run([group])[0] for group in groups()]
    assert all(torch.equal(a, b) for a, b in zip(together, alone))
    assert len({tuple(t.tolist()) for t in together}) == 3


@pytest.mark.parametrize("elements", [1, 20, 10**9])
def test_chunks_change_nothing(monkeypatch, elements):
    def run():
        generator = torch.Generator().manual_seed(0)
        ps = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in SHAPES.values()]
        optimizer = Ranger(ps, lr=0.01)
        for _ in range(13):
            for p in ps:
                p.grad = torch.randn(p.shape, generator=generator)
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in ps])

    expected = run()
    monkeypatch.setattr(ranger, "CHUNK_ELEMENTS", {"cpu": elements, "cuda": elements})
    assert torch.equal(run(), expected)


def test_parameters_without_gradient_stay():
    p, still = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = Ranger([p, still], lr=0.1, weight_decay=0.1)
    p.grad = torch.ones(2)
    optimizer.step()
    assert still.tolist() == [1, 1]
    assert still not in optimizer.state


def test_closure():
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = Ranger([p], lr=0.1)

    def closure():
        loss = p.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 1
    assert p.item() == pytest.approx(0.8)


@pytest.mark.parametrize("settings", [{"lr": 0}, {"alpha": 0}, {"k": 0}, {"eps": 0}])
def test_impossible_settings(settings):
    with pytest.raises(ValueError):
        Ranger([torch.nn.Parameter(torch.ones(1))], **settings)


@pytest.mark.parametrize("name", ["ranger", "adam", "adamw"])
def test_every_optimizer_descends(name):
    p = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = build_optimizer(name, [p], lr=0.1, weight_decay=0.0)
    assert type(optimizer).__name__.lower() == name
    for _ in range(300):  # Ranger, whose lookahead takes half steps, is the slowest here
        optimizer.zero_grad()
        p.square().sum().backward()
        optimizer.step()
    assert p.abs().max() < 0.3


def test_unknown_names():
    p = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(UserError, match="`optim_name` sgd: choose one of ranger, adam, adamw"):
        build_optimizer("sgd", [p], lr=0.1)
    with pytest.raises(UserError, match="`scheduler_name` step: choose one of none, cosine"):
        build_scheduler("step", build_optimizer("adam", [p], lr=0.1), max_steps=10)


def test_cosine_schedule(tmp_path):
    """1 at the start, half way between 1 and .01 in the middle, .01 at the end and ever after; resumes anywhere."""
    optimizer = build_optimizer("ranger", [torch.nn.Parameter(torch.ones(1))], lr=1.0)
    assert build_scheduler("none", optimizer, max_steps=100) is None
    scheduler = build_scheduler("cosine", optimizer, max_steps=100)
    rates = {}
    for step in range(1, 121):
        scheduler.step_update(step)
        rates[step] = optimizer.param_groups[0]["lr"]
    assert rates[1] == pytest.approx(1, abs=1e-3)
    assert rates[50] == pytest.approx(0.505)
    assert rates[100] == rates[120] == pytest.approx(0.01)

    scheduler.step_update(50)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    again = build_optimizer("ranger", [torch.nn.Parameter(torch.ones(1))], lr=0.3)
    resumed = build_scheduler("cosine", again, max_steps=100)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed.step_update(51)
    assert again.param_groups[0]["lr"] == rates[51]


def test_warm_up():
    optimizer = build_optimizer("adam", [torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = build_scheduler("cosine", optimizer, max_steps=100, warmup_steps=10)
    assert optimizer.param_groups[0]["lr"] == 0
    scheduler.step_update(5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5)
    scheduler.step_update(10)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi / 10)) / 2)


@pytest.mark.parametrize("warmup", [0, 7])
def test_the_schedule_is_timms(warmup):
    """Two groups with rates of their own, bit by bit."""
    def optimizer():
        return torch.optim.Adam([{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in (3e-4, 0.2)])

    one, other = optimizer(), optimizer()
    ours = build_scheduler("cosine", one, max_steps=31, warmup_steps=warmup, final_fraction=0.03)
    timms = CosineLRScheduler(other, t_initial=31, lr_min=0.03 * 3e-4, warmup_t=warmup, t_in_epochs=False)
    for step in range(40):
        assert one.state_dict()["param_groups"] == other.state_dict()["param_groups"]
        ours.step_update(step)
        timms.step_update(step)


def test_a_resumed_schedule_ends_where_the_whole_one_does():
    """Built on an optimiser whose rate has fallen already, as one that was loaded is."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    build_scheduler("cosine", optimizer, max_steps=10).step_update(9)
    resumed = build_scheduler("cosine", optimizer, max_steps=10)
    resumed.step_update(10)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)
