"""scripts/train_semantics.py: rays without bias, a head that learns, runs that go on, both layouts of data."""

import signal

import numpy as np
import pytest
import torch
from decoder_runs import assert_same_run, contents, resume_from_milestone
from inferring import images, infer
from launching import Run, train_together
from tiny import CAT_OPTS, FACE_OPTS, tiny_checkpoint
from tiny_training import make_cat_data, make_data

from configs.data_configs import data_config
from configs.label_spaces import LABEL_SPACES
from datasets.masks.files import read_mask
from datasets.poses import find_pose_file, read_poses
from models.checkpoints import read_checkpoint, save_checkpoint, to_official
from models.pigan.cameras import Camera, camera_rays, world_rays
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.labelled import layer_features
from models.pigan.siren import style_code
from models.sem2nerf import Sem2NeRF
from models.semantic_files import load_semantic_head
from scripts.train_semantics import main
from semantics.rays import draw_rays, soft_iou, surface_points
from semantics.views import Views, other_views, read_labels, read_view
from utils.errors import UserError
from utils.images import colour_labels

SMALL = ("--device=cpu", "--batch_size=2", "--rays=32", "--val_rays=64", "--val_images=1", "--test_output_size=8",
         "--val_interval=4", "--board_interval=1", "--latest_interval=1", "--save_interval=2")
FACES = {**FACE_OPTS, "src_input_size": 64, "image_load_size": 320, "image_crop_size": 256}
CATS = {**CAT_OPTS, "src_input_size": 64}


@pytest.fixture(scope="module")
def faces_at(tmp_path_factory):
    """A folder with a checkpoint and painted heads."""
    folder = tmp_path_factory.mktemp("semantics")
    tiny_checkpoint(folder / "tiny.pt", FACES)
    make_data(folder / "data", 5)
    return folder


@pytest.fixture(scope="module")
def heads_at(tmp_path_factory):
    """The same, and its masks are said to be views of one head."""
    folder = tmp_path_factory.mktemp("views")
    tiny_checkpoint(folder / "tiny.pt", FACES)
    make_data(folder / "data", 5)
    np.savez(folder / "data/z.npz", ids=np.arange(5)[None])
    return folder


def options(folder, exp_dir, *more):
    return [f"--checkpoint_path={folder / 'tiny.pt'}", f"--data_path={folder / 'data'}", f"--exp_dir={exp_dir}", *SMALL,
            "--max_steps=4", *more]


# ---- rays --------------------------------------------------------------------------------------------------------

def test_weights_undo_the_balance():
    """Any mean over the weighted rays is that over the mask; rare labels are drawn far more often than they occur."""
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:], labels[3, 3:5] = 2, 7
    rays = draw_rays(labels, 60_000, np.random.default_rng(0))
    share = [(rays.weight * (rays.label == label)).sum().item() / rays.weight.sum().item() for label in (0, 2, 7)]
    assert np.allclose(share, [(800 - 2) / 1600, 800 / 1600, 2 / 1600], atol=0.01)
    assert (rays.label == 7).double().mean() > 0.15
    assert rays.weight.max() <= 2 + 1e-6  # half of all rays are uniform, so nothing counts more than twice
    plain = draw_rays(labels, 500, np.random.default_rng(0), balanced=False)
    assert torch.equal(plain.weight, torch.ones(500))


def test_soft_iou_is_iou_where_labels_are_certain():
    """Two rays of label 0, of which one is taken for 2, and one of label 2 that counts twice: 1/2 and 2/3. Label 1 does
    not occur, so it has no IoU."""
    label, weight = torch.tensor([0, 0, 2]), torch.tensor([1.0, 1, 2])
    certain = torch.eye(3)[[0, 2, 2]]
    assert soft_iou(certain, label, weight).item() == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert soft_iou(torch.eye(3)[label], label, weight).item() == pytest.approx(1)
    logits = torch.zeros(3, 3, requires_grad=True)
    soft_iou(logits.softmax(1), label, weight).backward()
    assert (logits.grad[range(3), label] > 0).all()


def test_rays_go_through_the_pixels_whose_labels_they_have():
    labels = np.arange(25, dtype=np.uint8).reshape(5, 5)  # a label for each pixel
    rays = draw_rays(labels, 200, np.random.default_rng(1))
    column = (rays.image_xy[:, 0] + 1) * 2
    row = (1 - rays.image_xy[:, 1]) * 2
    assert torch.equal((row * 5 + column).round().long(), rays.label)


def test_points_lie_where_the_ray_becomes_opaque(faces_at):
    net = Sem2NeRF.from_checkpoint(faces_at / "tiny.pt")
    scene, preset = net.scene_of(style_code(net.siren, 1)), net.config.camera
    origin, directions = camera_rays(Camera(), 6, preset.fov_deg)
    points = surface_points(scene.field, origin.expand(36, 3), directions, preset)
    depths = (points - origin).norm(dim=-1)
    assert (depths.diff(dim=1) >= -1e-6).all()
    view = scene.render(None, 6, 24)
    opaque = (view.opacity > 0.999).flatten()
    assert opaque.any()
    assert (depths.mean(1) - view.depth.flatten())[opaque].abs().median() < 5e-3
    field = FoldedField(net.siren, scene.codes)
    features = layer_features(field, points.reshape(-1, 3), (0, 7))
    assert features.shape == (144, 32)
    assert torch.equal(features[:, 16:], field.features(points.reshape(-1, 3)))


# ---- several views of a head ---------------------------------------------------------------------------------------

def test_other_views_of_a_head(tmp_path):
    """As the data set says, of the masks at hand: 3 has none, and an edited mask is another head."""
    masks = [tmp_path / name for name in ("0.png", "00001.png", "2.png", "3.png", "4.png", "2_hair.png")]
    assert other_views(tmp_path, masks) == {}
    np.savez(tmp_path / "latents.npz", ids=np.array([[0, 1, 2], [3, 5, 6]]))
    zero, one, two = masks[:3]
    assert other_views(tmp_path, masks) == {zero: (one, two), one: (zero, two), two: (zero, one)}
    (tmp_path / "latents.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"latents.npz: cannot be read .* do without other views"):
        other_views(tmp_path, masks)


def test_rays_of_another_view_are_seen_in_the_masks_own_field(faces_at):
    """Its pixels and its pose, the code of the mask: as if both masks were one scene's."""
    net = Sem2NeRF.from_checkpoint(faces_at / "tiny.pt")
    masks = [faces_at / f"data/mask/{number}.png" for number in (0, 1)]
    config = data_config("celebahq_seg_to_3dface")
    poses = read_poses(find_pose_file(masks[0].parent, config), config.pose_format)
    merged = net.input.space.merged
    alone, both = (Views(net, masks, poses, merged, (3, 7), 40, seed=3, training=False, cache_gb=0, others=others)
                   for others in ({}, {masks[0]: [masks[1]]}))
    own, further = alone.features(0), both.features(0)
    assert all(torch.equal(value, more[:40]) for value, more in zip(own, further, strict=True))
    assert all(torch.equal(*values) for values in zip(alone.features(1), both.features(1), strict=True))

    labels = read_labels(net, masks[1], merged)
    assert np.array_equal(labels, read_view(net, masks[1], merged).labels)
    targets = draw_rays(labels, 40, np.random.default_rng((3, 3, 0)), balanced=False)
    assert torch.equal(further.label[40:], targets.label)
    field = FoldedField(net.siren, alone.codes(0, read_view(net, masks[0], merged)))
    origins, directions = world_rays(torch.tensor(poses[1]).expand(1, 40, 2), targets.image_xy[None],
                                     net.config.camera.fov_deg)
    points = surface_points(field, origins[0], directions[0], net.config.camera)
    seen = layer_features(field, points.reshape(-1, 3), (3, 7)).reshape(40, 4, -1).half()
    assert torch.equal(further.features[40:], seen)


# ---- runs --------------------------------------------------------------------------------------------------------

def test_a_head_learns_goes_on_and_is_used(faces_at, tmp_path, capsys):
    first = tmp_path / "first"
    main(options(faces_at, first))
    done = contents(first)
    assert done["global_step"] == 4
    assert done["semantic"]["label_space"] == "CelebAMask_HQ_merged"
    said = capsys.readouterr().out
    assert "validation at step 4" in said
    assert "miou" in said
    assert "iou_skin" in said
    assert "accuracy" in said
    assert_same_run(done, resume_from_milestone(main, first, 2, tmp_path / "again"))  # bit for bit
    main(options(faces_at, tmp_path / "uncached", "--cache_gb=0"))
    again = contents(tmp_path / "uncached")
    assert torch.equal(again["semantic"]["weight"], done["semantic"]["weight"])  # kept or not, features are the same

    head = first / "checkpoints/semantic_head.pt"
    net = Sem2NeRF.from_checkpoint(faces_at / "tiny.pt")
    assert torch.equal(load_semantic_head(head, net.siren).weight, done["semantic"]["weight"])
    found = infer(tmp_path / "out", faces_at / "tiny.pt", faces_at / "data/mask/0.png", f"--semantic_head={head}",
                  "--render_labels", "--save_depth", "--alpha", "--render_videos", "--num_frames=2", "--views=2")
    stems = sorted(name.rpartition("/")[2] for name in found if "0_mask" in name)
    stem = "0_mask8_seed0"
    assert stems == sorted([f"{stem}.mp4", f"{stem}_labels.mp4", f"{stem}.png", f"{stem}_labels.png",
                            *(f"{stem}_{kind}_{i}.png" for kind in ("labels", "depth", "alpha") for i in (0, 1))])
    pixels = images(tmp_path / "out")
    assert pixels[f"{stem}_labels.png"].shape == (32, 48, 3)
    assert pixels[f"{stem}_labels_0.png"].shape == (16, 16)
    painted = read_mask(next((tmp_path / "out").rglob(f"{stem}_labels_0.png")), net.input.space, require_face=False)
    assert np.array_equal(painted, pixels[f"{stem}_labels_0.png"])  # a mask file, in numbers and colours
    assert set(np.unique(painted)) <= set(range(19)) - {5, 7, 9}    # of left and right, the first
    below = colour_labels(painted, net.input.space.palette)
    assert np.array_equal(pixels[f"{stem}_labels.png"][16:, 16:32], below)
    assert pixels[f"{stem}_depth_0.png"].dtype in (np.uint16, np.int32)
    assert pixels[f"{stem}_alpha_0.png"].shape == (16, 16, 4)
    assert np.array_equal(pixels[f"{stem}_labels.png"][:16], pixels[f"{stem}.png"])


def test_runs_with_other_views_go_on(heads_at, tmp_path, capsys):
    """Bit for bit, whether features are kept or not; another view's rays make another head."""
    first = tmp_path / "first"
    main(options(heads_at, first))
    assert "4 of the masks have others of the same head" in capsys.readouterr().out
    done = contents(first)
    assert_same_run(done, resume_from_milestone(main, first, 2, tmp_path / "again"))
    main(options(heads_at, tmp_path / "uncached", "--cache_gb=0"))
    main(options(heads_at, tmp_path / "alone", "--other_views=False"))
    uncached, alone = (contents(tmp_path / name)["semantic"]["weight"] for name in ("uncached", "alone"))
    assert torch.equal(uncached, done["semantic"]["weight"])
    assert not torch.equal(alone, done["semantic"]["weight"])


def test_the_loss_falls(faces_at, tmp_path, capsys):
    main(options(faces_at, tmp_path / "run", "--max_steps=40", "--val_interval=40", "--board_interval=10"))
    losses = [float(line.split("loss ")[1].split()[0]) for line in capsys.readouterr().out.splitlines()
              if line.startswith("step ")]
    assert losses[-1] < 0.7 * losses[0]


def test_a_killed_run_goes_on(faces_at, tmp_path):
    """SIGKILL, in whatever it does: the next start ends with the numbers of a run that nothing has stopped."""
    main(options(faces_at, tmp_path / "whole", "--max_steps=12", "--val_interval=0"))
    killed = tmp_path / "killed"
    arguments = options(faces_at, killed, "--max_steps=12", "--val_interval=0")
    run = Run(arguments, tmp_path, script="train_semantics")
    run.wait_for(lambda: (killed / "checkpoints/latest_model.pt").exists())
    run.process.kill()
    assert run.wait() == -signal.SIGKILL
    main([*arguments, "--auto_resume"])
    assert_same_run(contents(tmp_path / "whole"), contents(killed))


def test_cats_and_official_files(tmp_path):
    """The layout of CatMask, labels that are not merged, and a checkpoint as the 2022 release writes it."""
    plain = tiny_checkpoint(tmp_path / "plain.pt", {**CATS, "src_input_size": 224})
    official = to_official(read_checkpoint(plain))
    save_checkpoint(tmp_path / "tiny.pt", official)
    make_cat_data(tmp_path / "data", 3)
    main(options(tmp_path, tmp_path / "run", "--max_steps=2", "--use_merged_labels=False", "--layers=3,5"))
    head = load_semantic_head(tmp_path / "run/checkpoints/semantic_head.pt",
                              Sem2NeRF.from_checkpoint(tmp_path / "tiny.pt").siren)
    assert (head.label_space, head.layers) == ("CatMask", (3, 5))
    assert head.weight.shape == (len(LABEL_SPACES["CatMask"]), 32)


def test_processes_share_the_work(heads_at, tmp_path):
    """Two processes end with one head, though one shows what the other trains on from a further side; and a run of
    theirs goes on in one."""
    train_together(options(heads_at, tmp_path / "both", "--max_steps=2"), tmp_path, processes=2,
                   script="train_semantics")
    done = contents(tmp_path / "both")
    assert done["samples_seen"] == 2 * 2 * 2
    main([*options(heads_at, tmp_path / "both"), "--auto_resume"])
    assert contents(tmp_path / "both")["global_step"] == 4


@pytest.mark.parametrize("more, words", [
    (["--data_path="], "--data_path: name a data root"),
    (["--checkpoint_path="], "--checkpoint_path: name the Sem2NeRF"),
    (["--layers=8"], "--layers 8: give one or more layers of the density"),
    (["--layers="], "--layers : give one or more layers"),
    (["--cache_gb=-1"], "--cache_gb -1.0: give at least 0"),
    (["--learning_rate=0"], "--learning_rate 0.0: give a number above 0"),
    (["--data_path=nowhere"], "--data_path nowhere: there is no such folder"),
    (["--checkpoint_path=none.pt"], "none.pt: no such checkpoint file"),
])
def test_mistakes_are_one_line(faces_at, tmp_path, more, words):
    with pytest.raises(UserError, match=words):
        main(options(faces_at, tmp_path / "run", *more))


def test_another_decoder_does_not_go_on(faces_at, tmp_path):
    main(options(faces_at, tmp_path / "run", "--max_steps=1"))
    other = tiny_checkpoint(tmp_path / "other.pt", FACES, seed=1)
    with pytest.raises(UserError, match=r"--exp_dir .* trains a head for another decoder .*--checkpoint_path"):
        main([*options(faces_at, tmp_path / "run", f"--checkpoint_path={other}"), "--auto_resume"])


def test_labels_need_a_head(faces_at, tmp_path):
    with pytest.raises(UserError, match=r"--render_labels: .*tiny.pt has no semantic head.*--semantic_head"):
        infer(tmp_path / "out", faces_at / "tiny.pt", faces_at / "data/mask/0.png", "--render_labels")
    assert not (tmp_path / "out").exists()
