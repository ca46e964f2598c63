"""Small parts of training: random draws, stochastic depth, averages, loss records, panels, start weights."""

import math
from argparse import Namespace

import numpy as np
import pytest
import torch
from tiny_training import make_data, make_decoder, make_steps
from torch import nn

from configs.label_spaces import LABEL_SPACES
from models.pigan.cameras import patch_rays
from models.pigan.sampling import RayNoise
from models.sem2nerf import Sem2NeRF
from options.train_options import parse
from training import build
from training.extreme_poses import ExtremePoseRanges
from training.loop import TrainingLoop
from training.objectives.sem2nerf import Sem2NeRFObjective
from training.patches import PatchConfig
from training.runtime.loss_record import LossRecord
from training.runtime.processes import World
from training.runtime.weight_average import WeightAverage
from training.size_schedule import Stage
from training.step import PatchGenerator, Rendering
from training.step_noise import StepNoiseConfig, draw_step_noise
from utils.errors import UserError
from utils.panels import CAPTION, GAP, mask_image, panel, with_frame

CPU = torch.device("cpu")
ALONE = World(CPU)
CONFIG = StepNoiseConfig(seed=1, samples=3, hierarchical=True, patches=PatchConfig(0.2),
                    extreme_poses=ExtremePoseRanges((0.4, 0.55), (0.3, 0.45)), extreme_probability=0.5, drop_paths=2)


def parts(draws):
    return [x for x in (draws.grid, *draws.noise, draws.drop_paths) if x is not None]


@pytest.mark.parametrize("shift", ["free", "diagonal"])
def test_a_sample_draws_the_same_in_any_company(shift):
    config = StepNoiseConfig(**{**vars(CONFIG), "patches": PatchConfig(0.2, shift=shift)})
    for step in range(4):
        together = draw_step_noise(config, step, [8, 9, 10, 11], 8, 4, 6).to(CPU)
        alone = [draw_step_noise(config, step, [position], 8, 4, 6).to(CPU) for position in (8, 9, 10, 11)]
        for whole, *single in zip(parts(together), *map(parts, alone), strict=True):
            assert torch.equal(whole, torch.cat(single))
        far = [index for index, draws in enumerate(alone) if draws.extreme_poses is not None]
        assert together.own_pose.tolist() == [index for index in range(4) if index not in far]
        assert 0 < len(far) < 4, "whichever process a sample is in, its own draw decides"
        assert torch.equal(together.extreme_poses[far], torch.cat([alone[index].extreme_poses for index in far]))


def test_draws_differ():
    first = parts(draw_step_noise(CONFIG, 0, [0, 1], 0, 2, 6).to(CPU))
    assert all(not torch.equal(part[0], part[1]) for part in first), "between samples"
    for other in (draw_step_noise(CONFIG, 1, [2, 3], 2, 2, 6).to(CPU),
                  draw_step_noise(StepNoiseConfig(**{**vars(CONFIG), "seed": 2}), 0, [0, 1], 0, 2, 6).to(CPU)):
        assert not torch.equal(other.noise.perturbation, first[1])


def test_share_of_extreme_poses():
    extreme = [draw_step_noise(CONFIG, step, [step], step, 1, 1).to(CPU).extreme_poses for step in range(400)]
    assert 160 < sum(poses is not None for poses in extreme) < 240
    offset = (torch.cat([poses for poses in extreme if poses is not None]) - math.pi / 2).abs().amax(1)
    assert offset.min() >= 0.3 - 1e-6


def test_whole_image_without_patches():
    config = StepNoiseConfig(**{**vars(CONFIG), "patches": None})
    grid = draw_step_noise(config, 0, [0], 0, 1, 5).to(CPU).grid
    line = torch.linspace(-1, 1, 5)
    torch.testing.assert_close(grid[0, 0, :, 0], line)
    torch.testing.assert_close(grid[0, :, 0, 1], line)


def test_patch_rays_of_a_whole_image_are_its_pixels():
    from models.pigan.cameras import Camera, camera_rays

    line = torch.linspace(-1, 1, 8)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)[None]
    origins, directions = patch_rays(torch.tensor([[1.3, 1.8]]), grid, image_size=8, fov_deg=12)
    origin, expected = camera_rays(Camera(1.3, 1.8), 8, 12)
    torch.testing.assert_close(origins[0], origin)
    torch.testing.assert_close(directions[0], expected, rtol=0, atol=1e-6)


def test_weight_average():
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = WeightAverage(module, 0.5)
    module.weight.data.fill_(1.0)
    average.update(1)  # decay (1 + 1) / (10 + 1): the start is soon forgotten
    with average.in_place():
        assert module.weight.item() == pytest.approx(9 / 11)
    assert module.weight.item() == 1.0
    average.update(1000)
    with average.in_place():
        assert module.weight.item() == pytest.approx(0.5 * 9 / 11 + 0.5)


def test_loss_record():
    record = LossRecord()
    record.add(1, {"l2": torch.tensor(1.0), "g": torch.tensor(4.0)}, ["a"])
    record.add(2, {"g": torch.tensor(2.0)}, ["b"])  # an extreme pose has no l2
    record.check_last()
    assert record.means(ALONE) == {"l2": 1.0, "g": 3.0}
    assert record.means(ALONE) == {}
    record.add(3, {"l2": torch.tensor(1.0)}, ["c"])
    record.add(4, {"l2": torch.tensor(0.5), "g": torch.tensor(float("inf"))}, ["419", "420_hair"])
    with pytest.raises(UserError, match=r"step 4: g is inf \(batch: 419, 420_hair\)"):
        record.check_last()
    with pytest.raises(UserError, match=r"step 4: g is inf \(batch: 419, 420_hair\)"):
        record.means(ALONE)


def test_panel():
    red, blue = (np.full((2, 2, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    image = panel(("a", "b"), [[red, blue]], side=8)
    assert image.shape == (CAPTION + 8 + GAP, 2 * (8 + GAP) + GAP, 3)
    assert (image[CAPTION:CAPTION + 8, GAP:GAP + 8] == (255, 0, 0)).all()
    assert (image[CAPTION:CAPTION + 8, 2 * GAP + 8:-GAP] == (0, 0, 255)).all()
    labels = torch.eye(2, dtype=torch.uint8)
    assert mask_image(labels, LABEL_SPACES["CelebAMask_HQ"].palette)[0].tolist() == [[204, 0, 0], [0, 0, 0]]
    corners = torch.tensor([[[-0.5, -0.5], [0.5, -0.5]], [[-0.5, 0.5], [0.5, 0.5]]])
    framed = with_frame(np.zeros((9, 9, 3), np.uint8), corners)
    assert (framed.any(-1).nonzero()[0].min(), framed.any(-1).nonzero()[0].max()) == (2, 6)
    assert not framed[4, 4].any()


def parsed(*flags):
    return parse(["--exp_dir=x", "--encoder_type=SwinEncoderNano", "--src_input_size=64", "--pigan_hidden_dim=16",
                  "--pigan_zdim=8", *flags])


def resolved(*flags):
    return build.resolve_options(parsed(*flags), (Stage(0, 64, 32),))


def test_channels_and_sizes_follow():
    def sizes(*flags):
        opts = resolved(*flags)
        return opts.label_nc, opts.input_nc, opts.image_load_size, opts.image_crop_size, opts.output_size

    assert sizes() == (19, 19, 320, 256, 64)
    assert sizes("--use_merged_labels", "--use_contour") == (16, 18, 320, 256, 64)
    assert sizes("--dataset_type=catmask_seg_to_3dface", "--use_merged_labels", "--use_contour", "--label_nc=8",
                 "--input_nc=10")[:2] == (8, 10)
    assert sizes("--output_size=512")[2:] == (640, 512, 512)
    with pytest.raises(UserError, match=r"`label_nc` 0: .* so it is 19; leave it out"):
        sizes("--label_nc=0")
    with pytest.raises(UserError, match=r"`label_nc` 8: .* it is 16"):
        resolved("--use_merged_labels", "--label_nc=8")


def test_start_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no pretrained_models/ here
    said = []
    with pytest.raises(UserError, match=r"pigan-celeba-pretrained.pth: the pretrained decoder is missing"):
        build.build_net(resolved(), None, None, said.append)
    decoder = make_decoder(tmp_path / "decoder.pth")
    net = build.build_net(resolved(f"--pigan_weights={decoder}"), None, None, said.append)
    assert torch.equal(net.siren.final_layer.bias, torch.full((1,), 5.0))
    assert not any(p.requires_grad for p in net.decoder.parameters())
    assert all(p.requires_grad for p in net.encoder.parameters())
    assert said[0].endswith("decoder.pth")
    with pytest.raises(UserError, match=r"`pigan_hidden_dim` 32 .* call for"):
        build.build_net(resolved(f"--pigan_weights={decoder}", "--pigan_hidden_dim=32"), None, None, said.append)
    net = build.build_net(resolved("--train_decoder"), None, None, said.append)
    assert net.siren.final_layer.weight.requires_grad
    assert "random weights" in said[-2]
    # a Sem2NeRF checkpoint is a decoder as well
    torch.save({"state_dict": net.state_dict(), "opts": {}}, tmp_path / "whole.pt")
    again = build.build_net(resolved(f"--pigan_weights={tmp_path / 'whole.pt'}"), None, None, said.append)
    assert torch.equal(again.siren.final_layer.weight, net.siren.final_layer.weight)


def test_refused_settings():
    with pytest.raises(UserError, match="`val_latent_mask` 7,9"):
        build.validation_settings(Namespace(**{**vars(resolved()), "val_latent_mask": "7,9"}))
    with pytest.raises(UserError, match="resolution_vol changes"):
        build.build_discriminator(resolved(), (Stage(0, 64, 32), Stage(5, 64, 64)), None)
    with pytest.raises(UserError, match="not 48"):
        build.build_discriminator(resolved(), (Stage(0, 64, 48),), None)
    assert build.build_discriminator(resolved("--dis_lambda=0"), (Stage(0, 64, 48),), None) is None


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Options that name a data set and sizes, for an objective without AlexNet."""
    folder = tmp_path_factory.mktemp("files")
    return [f"--data_root={make_data(folder / 'data', count=2)}", "--lpips_lambda=0", "--workers=0",
            f"--pigan_steps_conf={make_steps(folder / 'steps.yaml')}"]


def objective(files, *flags, report=print):
    return Sem2NeRFObjective(parsed("--pigan_weights=random", *files, *flags), ALONE, report=report)


def test_official_training_checkpoint_continues(files, tmp_path, capsys):
    """Weights, mean code, step and the moments of both optimisers of an official file."""
    import make_checkpoint

    from models.checkpoints import read_checkpoint
    from training.ranger import Ranger

    official = make_checkpoint.build("celebahq", ddp=True)
    shapes = [value for key, value in official["state_dict"].items()
              if key.startswith("encoder.") and not key.endswith(("relative_position_index", "attn_mask"))]
    optimizer = Ranger([nn.Parameter(value.clone()) for value in shapes])
    for index, parameter in enumerate(optimizer.param_groups[0]["params"]):
        parameter.grad = torch.full_like(parameter, float(index))
    optimizer.step()
    official["optimizer"], official["global_step"], official["best_val_loss"] = optimizer.state_dict(), 41, 0.25
    torch.save(official, tmp_path / "official.pt")

    contents = read_checkpoint(tmp_path / "official.pt")
    opts = parse(["--exp_dir=x", "--use_merged_labels", "--use_contour", "--start_from_latent_avg", "--batch_size=16",
                  *files, "--pigan_steps_conf=configs/pigan_steps/sem2nerf.yaml"])
    continued = Sem2NeRFObjective(opts, ALONE, contents, tmp_path / "official.pt", resume=True)
    loop, net = TrainingLoop(continued, ALONE, contents), continued.net
    assert "0.25, was measured in another way" in capsys.readouterr().out
    assert (loop.global_step, loop.samples_seen, loop.best_val_loss) == (42, 42 * 16, math.inf)
    moments = continued.optimizers["optimizer"].state
    for name, parameter in net.encoder.named_parameters():
        official_name = f"encoder.module.{name}"
        assert moments[parameter]["slow_buffer"].shape == official["state_dict"][official_name].shape
        assert torch.equal(moments[parameter]["slow_buffer"], official["state_dict"][official_name]), name
    assert isinstance(net, Sem2NeRF)
    torch.testing.assert_close(net.latent_avg.frequencies, official["latent_avg"][0])


def test_optimiser_of_another_kind_starts_anew(files):
    said = []
    first = objective(files)
    first.net.encoder.head.bias.grad = torch.ones_like(first.net.encoder.head.bias)
    first.optimizers["optimizer"].step()
    saved = {"samples_seen": 2, "global_step": 1, "optimizer": first.optimizers["optimizer"].state_dict()}
    same = objective(files, "--learning_rate=0.5")
    same.restore(saved)
    assert len(same.optimizers["optimizer"].state) == 1
    assert same.optimizers["optimizer"].param_groups[0]["lr"] == 0.5, "the rate is that of the options"
    other = objective(files, "--optim_name=adam", report=said.append)
    other.restore(saved)
    assert not other.optimizers["optimizer"].state
    assert "of another kind" in said[-1]


def test_schedule_follows_from_the_step(files):
    started = objective(files, "--scheduler_name=cosine", "--max_steps=100", "--learning_rate=1.0")
    loop = TrainingLoop(started, ALONE, {"samples_seen": 100, "global_step": 50})
    rate = 0.505 + 0.495 * math.cos(math.pi * 0.49)  # as released: that of the step before, half way from 1 to .01
    assert loop.learning_rates["lr"] == pytest.approx(rate)
    started.schedule(0)
    assert loop.learning_rates == pytest.approx({"lr": 1.0, "lr_dis": 2e-5})
    started.schedule(1)
    assert loop.learning_rates == pytest.approx({"lr": 1.0, "lr_dis": 2e-5})
    started.schedule(101)
    assert loop.learning_rates == pytest.approx({"lr": 0.01, "lr_dis": 0.01}), "the discriminator's rate has that floor"


def test_nan_weights_are_not_saved(files):
    started = objective(files)
    loop = TrainingLoop(started, ALONE)
    loop.contents()
    started.net.encoder.head.bias.data[3] = float("nan")
    with pytest.raises(UserError, match=r"step 0: weight encoder\.head\.bias has become NaN"):
        loop.contents()


def test_codes_keep_their_digits_under_autocast():
    """With bfloat16 the encoder's head and the mapping network compute in float32."""
    opts = parsed("--pigan_weights=random", "--encoder_output=z")
    net = build.build_net(build.resolve_options(opts, (Stage(0, 64, 32),)), None, None, lambda text: None)
    nn.init.normal_(net.encoder.head.weight)
    masks, features = torch.rand(2, net.config.input_nc, 64, 64), []
    net.encoder.head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    noise = RayNoise(torch.zeros(2, 1, 4), None)
    with torch.no_grad():
        generator = PatchGenerator(net, Rendering(samples=4), amp=True)
        _, frequencies, phase_shifts, out = generator(masks, None, None, noise)
        expected = net.encoder.head(features[0].float())
        assert torch.equal(out, expected)
        codes = net.codes_of(expected)
        assert torch.equal(frequencies, codes.frequencies)
        assert torch.equal(phase_shifts, codes.phase_shifts)
        assert not torch.equal(out, net.encoder(masks)), "the transformer itself is in bfloat16"
