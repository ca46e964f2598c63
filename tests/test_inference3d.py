"""scripts/inference3d.py as a user runs it: files, names, videos, reproducibility, and mistakes."""

import shutil
import sys
from pathlib import Path

import child_processes
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from tiny import CAT_OPTS, FACE_OPTS, tiny_checkpoint

from scripts.inference3d import main
from utils.cli import run

FACES, CATS = ROOT / "data/CelebAMask-HQ/mask_samples", ROOT / "data/CatMask/mask_samples"
SMALL = ["--test_output_size", "16", "--pigan_infer_ray_step", "4", "--device", "cpu"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("weights") / "tiny_model_500.pt")


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """Three faces with a pose file."""
    folder = tmp_path_factory.mktemp("masks") / "mask"
    folder.mkdir()
    for name in ("90001.png", "90002.png", "90001_hair.png", "CelebAMask-HQ-pose-anno.txt"):
        shutil.copy(FACES / name, folder / name)
    return folder


def infer(out, weights, masks, *options):
    main(["--exp_dir", str(out), "--checkpoint_path", str(weights), "--data_path", str(masks), *SMALL, *options])
    return sorted(str(path.relative_to(out)) for path in Path(out).rglob("*") if path.is_file())


def pictures(folder):
    return {path.name: np.array(Image.open(path)) for path in Path(folder).rglob("*.png")}


def test_files_names_and_sizes(tmp_path, weights, masks):
    assert infer(tmp_path, weights, masks) == [
        "inference.bash",
        *(f"iter_500_infer_results_16/{name}_mask8_seed0.png" for name in ("90001_hair", "90001", "90002"))]
    for picture in pictures(tmp_path).values():
        assert picture.shape == (16, 6 * 16, 3)  # mask and five yaws
        assert len({picture[:, k * 16 : k * 16 + 16].tobytes() for k in range(1, 6)}) == 5
    assert "--test_output_size 16" in (tmp_path / "inference.bash").read_text()


def test_every_kind_of_output(tmp_path, weights, masks):
    written = infer(tmp_path, weights, masks / "90001.png", "--latent_mask=6,7,8", "--inject_code_seed=711",
                    "--use_original_pose", "--mask_overlay_weight=.15", "--couple_outputs", "--style_mix_seq_num=3",
                    "--n_outputs_to_generate=2", "--render_mode=v")
    stem = "iter_500_infer_results_16/90001_mask678_seed711"
    assert written[1:] == [f"{stem}-256_styles.png", f"{stem}.png", f"{stem}_coupled.png", f"{stem}_overlay.png"]
    shown = {name.removeprefix("90001_mask678_seed711"): picture for name, picture in pictures(tmp_path).items()}
    widths = {name: picture.shape[1] // 16 for name, picture in shown.items()}
    assert widths == {".png": 4, "_overlay.png": 3, "_coupled.png": 2, "-256_styles.png": 4}
    mask, view, blend = np.split(shown["_overlay.png"].astype(float), 3, axis=1)
    np.testing.assert_allclose(blend, 0.85 * view + 0.15 * mask, atol=0.51)
    np.testing.assert_array_equal(view, shown[".png"][:, 16:32])  # the own pose comes first
    np.testing.assert_array_equal(view, shown["-256_styles.png"][:, 16:32])  # the strip starts at the first style


def test_no_style_and_mean_head(tmp_path, weights, masks):
    assert any(name.endswith("/90001.png") for name in infer(tmp_path / "a", weights, masks, "--latent_mask", ""))
    infer(tmp_path / "b", weights, masks, "--latent_mask", "", "--test_pigan_latent_avg")
    plain, mean = pictures(tmp_path / "a"), pictures(tmp_path / "b")
    views = [picture[:, 16:].tobytes() for picture in mean.values()]
    assert len(set(views)) == 1  # one head for all masks
    assert len({picture[:, 16:].tobytes() for picture in plain.values()}) == 3


def test_blending_lies_between_style_and_mask(tmp_path, weights, masks):
    one = masks / "90001.png"
    infer(tmp_path / "none", weights, one, "--latent_mask", "")
    infer(tmp_path / "zero", weights, one, "--mix_alpha", "0")
    infer(tmp_path / "full", weights, one, "--mix_alpha", "1")
    infer(tmp_path / "plain", weights, one)
    images = {name: next(iter(pictures(tmp_path / name).values())) for name in ("none", "zero", "full", "plain")}
    np.testing.assert_array_equal(images["none"], images["zero"])
    np.testing.assert_array_equal(images["plain"], images["full"])


def test_resized_outputs(tmp_path, weights, masks):
    infer(tmp_path, weights, masks / "90001.png", "--resize_outputs", "--n_outputs_to_generate=1")
    assert next(iter(pictures(tmp_path).values())).shape == (256, 512, 3)


def test_two_runs_are_equal_bit_by_bit(tmp_path, weights, masks):
    for jitter in ([], ["--stochastic_sampling", "--seed", "5"]):
        for run_name in ("a", "b"):
            infer(tmp_path / run_name, weights, masks, *jitter)
        first, second = pictures(tmp_path / "a"), pictures(tmp_path / "b")
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_a_batch_equals_single_runs(tmp_path, weights, masks):
    infer(tmp_path / "batch", weights, masks, "--test_batch_size=3", "--test_workers=2", "--stochastic_sampling")
    for path in masks.glob("*.png"):
        infer(tmp_path / "single", weights, path, "--test_workers=0", "--stochastic_sampling")
    batch, single = pictures(tmp_path / "batch"), pictures(tmp_path / "single")
    assert len(batch) == len(single) == 3
    for name in batch:
        np.testing.assert_array_equal(batch[name], single[name])


def test_selecting_masks(tmp_path, weights, masks):
    (tmp_path / "list.txt").write_text("90002.png\n90001_hair\n")
    names = infer(tmp_path / "a", weights, masks, "--infer_paths_conf", str(tmp_path / "list.txt"), "--n_images=1")
    assert [name for name in names if "90" in name] == ["iter_500_infer_results_16/90002_mask8_seed0.png"]


def read_video(path):
    frames = imageio_ffmpeg.read_frames(str(path))
    info = next(frames)
    width, height = info["size"]
    return info, [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames]


@pytest.mark.parametrize("size", [32, 17])
def test_video_frame_by_frame(tmp_path, weights, masks, size):
    """Number of frames, size, pixel format; each frame equals the scene's render within compression error."""
    from configs.data_configs import data_config
    from datasets.colouring import to_uint8
    from datasets.inference_dataset import InferenceDataset
    from datasets.masks import to_network_input
    from models.pigan.trajectories import front_trajectory
    from models.sem2nerf import Sem2NeRF

    infer(tmp_path, weights, masks / "90001.png", "--render_videos", "--num_frames=5", f"--test_output_size={size}",
          "--latent_mask=", "--n_outputs_to_generate=1")
    info, frames = read_video(tmp_path / f"iter_500_infer_videos_{size}/90001.mp4")
    even = size + size % 2
    assert info["codec"] == "h264"
    assert info["pix_fmt"].startswith("yuv420p")
    assert info["size"] == (even, even)
    assert len(frames) == 5
    item = InferenceDataset(masks / "90001.png", data_config("celebahq_seg_to_3dface"))[0]
    net = Sem2NeRF.from_checkpoint(weights)
    scene = net.scene(to_network_input(item["label"][None], item["contour"][None], item["distance"][None], 16)[0])
    for frame, camera in zip(frames, front_trajectory(5), strict=True):
        expected = to_uint8(scene.render(camera, size, 4).rgb).astype(float)
        error = np.abs(frame[:size, :size].mean(-1) - expected.mean(-1))  # colour is stored at half resolution
        assert error.mean() < 4, error.mean()
    assert np.abs(frames[0].astype(float) - frames[1]).mean() > 0.2  # the camera moves


def test_ping_pong_video_and_gif(tmp_path, weights, masks):
    infer(tmp_path, weights, masks / "90001.png", "--render_videos", "--num_frames=4", "--video_rev_end",
          "--video_format=gif", "--trajectory=orbit")
    gif = Image.open(next(tmp_path.rglob("*.gif")))
    assert gif.n_frames == 6  # 1 2 3 4 3 2
    infer(tmp_path, weights, masks / "90001.png", "--render_videos", "--num_frames=4", "--video_rev_end")
    _, frames = read_video(next(tmp_path.rglob("*.mp4")))
    assert len(frames) == 6
    assert np.abs(frames[1].astype(int) - frames[5]).mean() < 4


def test_cats_by_their_old_name(tmp_path):
    weights = tiny_checkpoint(tmp_path / "sem2nerf_catmask_pretrained.pt", CAT_OPTS)
    names = infer(tmp_path / "out", weights, CATS, "--pigan_curriculum_type=PseudoCats", "--use_merged_labels",
                  "--latent_mask=7,8", "--inject_code_seed=390234", "--n_images=1")
    assert names[1] == "iter_pretrained_infer_results_16/90001_mask78_seed390234.png"


def test_model_options_come_from_the_checkpoint(tmp_path, masks):
    opts = {**FACE_OPTS, "use_merged_labels": False, "input_nc": 21, "label_nc": 19}
    weights = tiny_checkpoint(tmp_path / "unmerged.pt", opts)
    assert len(infer(tmp_path / "out", weights, masks / "90001.png")) == 2


def test_framing_follows_the_checkpoint():
    from options.test_options import complete, parse_options

    for trained, expected in (((640, 512), (320, 256)), ((256, 256), (256, 256)), ((-1, -1), (320, 256))):
        opts, given = parse_options([])
        done = complete(opts, given, {**FACE_OPTS, "image_load_size": trained[0], "image_crop_size": trained[1]})
        assert (done.image_load_size, done.image_crop_size) == expected
    opts, given = parse_options(["--image_load_size", "300"])
    assert complete(opts, given, FACE_OPTS).image_load_size == 300


def test_every_official_option_has_its_name_and_default(golden):
    import json

    from conftest import GOLDEN

    from options.test_options import build_parser

    golden("poses")  # skips where the reference data is not there
    defaults = json.loads((GOLDEN / "tables.json").read_text())["test_option_defaults"]
    ours = vars(build_parser().parse_args([]))
    differing = {name: (ours.get(name, "missing"), value) for name, value in defaults.items()
                 if ours.get(name, "missing") != value}
    assert differing == {"latent_mask": ((8,), "8")}  # parsed into layer numbers


def test_bundled_weights_show_different_heads(tmp_path):
    """Without any weights given, the demo model runs, and long hair looks unlike short hair."""
    main(["--use_merged_labels", "--exp_dir", str(tmp_path), "--test_output_size=24", "--pigan_infer_ray_step=6",
          "--n_outputs_to_generate=1", "--infer_paths_conf", str(_list(tmp_path, "90001", "90001_hair"))])
    rows = list(pictures(tmp_path / "iter_demo_infer_results_24").values())
    assert len(rows) == 2
    short, long = (row[:, 24:].astype(float) for row in rows)
    assert np.abs(short - long).mean() > 4
    assert short.std() > 20


def _list(folder, *names):
    path = folder / "names.txt"
    path.write_text("\n".join(names))
    return path


def test_real_process_reports_and_exits_cleanly(tmp_path, weights, masks):
    """A separate process, from another folder: exit code 0, a summary, and nothing on stderr but the bar."""
    command = [sys.executable, str(ROOT / "scripts/inference3d.py"), "--checkpoint_path", str(weights), "--data_path",
               str(masks / "90001.png"), "--exp_dir", str(tmp_path / "out"), *SMALL]
    done = child_processes.run(command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "s per view" in done.stdout
    assert done.stderr == ""
    done = child_processes.run([*command, "--latent_mask=99"], cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_options_without_effect_warn(tmp_path, weights, masks, capsys):
    infer(tmp_path, weights, masks / "90001.png", "--predict_pose", "--encoder_n_styles=3", "--resize_factors=1")
    assert capsys.readouterr().err.splitlines() == [
        f"warning: --{name} has no effect on inference"
        for name in ("resize_factors", "predict_pose", "encoder_n_styles")]


class Bad:
    """Makes the folder of one mistake; each method's name is the mistake."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.mask = np.array(Image.open(FACES / "90001.png"))

    def save(self, array, name="90001.png", **how):
        Image.fromarray(array, **how).save(self.folder / name)


def truncated(bad):
    shutil.copy(FACES / "90001.png", bad.folder / "90001.png")
    data = (bad.folder / "90001.png").read_bytes()
    (bad.folder / "90001.png").write_bytes(data[: len(data) // 2])


def photo(bad):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    bad.save(np.kron(noise, np.ones((8, 8, 1), np.uint8)))


def jpeg(bad):
    bad.save(bad.mask, "90001.jpg")


def out_of_range(bad):
    bad.save(np.where(bad.mask == 1, 77, bad.mask).astype(np.uint8))


def sixteen_bit(bad):
    bad.save(bad.mask.astype(np.uint16))


def rgba(bad):
    bad.save(np.dstack([bad.mask] * 4))


def empty_mask(bad):
    bad.save(np.zeros_like(bad.mask))


def no_face(bad):
    bad.save(np.where(bad.mask == 13, 13, 0).astype(np.uint8))


def no_masks(bad):
    (bad.folder / "readme.txt").write_text("nothing here")


def text_file(bad):
    (bad.folder / "90001.png").write_text("hello")


BAD_MASKS = [truncated, photo, jpeg, out_of_range, sixteen_bit, rgba, empty_mask, no_face, no_masks, text_file]


@pytest.mark.parametrize("make", BAD_MASKS, ids=lambda make: make.__name__)
def test_unusable_masks(tmp_path, weights, capsys, make):
    make(Bad(tmp_path / "mask"))
    fails(capsys, tmp_path, weights, tmp_path / "mask")


def fails(capsys, tmp_path, weights, masks, *options, names=None):
    """Exit code 2, one line on stderr, no traceback, no result written."""
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        run(main, ["--exp_dir", str(out), "--checkpoint_path", str(weights), "--data_path", str(masks), *SMALL,
                   *options])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert names is None or names in err, err
    assert names or str(tmp_path) in err, err
    assert not out.exists() or not [path for path in out.rglob("*") if path.is_file() and path.name != "inference.bash"]


@pytest.mark.parametrize("options, names", [
    (["--latent_mask=9"], "--latent_mask"), (["--latent_mask=a,b"], "--latent_mask"),
    (["--latent_mask=-1"], "--latent_mask"),
    (["--test_output_size=-5"], "--test_output_size"), (["--test_output_size=big"], "--test_output_size"),
    (["--pigan_infer_ray_step=2"], "--pigan_infer_ray_step"), (["--num_frames=0"], "--num_frames"),
    (["--n_images=0"], "--n_images"), (["--mask_overlay_weight=2"], "--mask_overlay_weight"),
    (["--mix_alpha=-1"], "--mix_alpha"), (["--inject_code_seed=-4"], "--inject_code_seed"),
    (["--device=gpu"], "--device"), (["--device=cuda:99"], "--device"),
    (["--gpu_ids=x"], "--gpu_ids"),
    (["--pigan_curriculum_type=Dogs"], "--pigan_curriculum_type"), (["--dataset_type=dogs"], "--dataset_type"),
    (["--dataset_type=catmask_seg_to_3dface"], "--dataset_type"),
    (["--use_merged_labels", "no"], "--use_merged_labels"),
    (["--image_load_size=10"], "--image_load_size"), (["--no_such_option"], "--no_such_option"),
    (["--render_videos=maybe"], "--render_videos"), (["--style_mix_seq_num=3", "--latent_mask="], "--latent_mask"),
    (["--src_input_size=100"], "--src_input_size"), (["--label_order=random"], "--label_order")])
def test_unusable_options(tmp_path, weights, masks, capsys, options, names):
    fails(capsys, tmp_path, weights, masks, *options, names=names)


def test_missing_files(tmp_path, weights, masks, capsys):
    fails(capsys, tmp_path, tmp_path / "none.pt", masks, names="none.pt")
    fails(capsys, tmp_path, weights, tmp_path / "nowhere", names="nowhere")
    fails(capsys, tmp_path, weights, masks, "--infer_paths_conf", str(tmp_path / "no.txt"), names="no.txt")
    fails(capsys, tmp_path, weights, masks, "--infer_paths_conf", str(_list(tmp_path, "90001", "123")), names="123")


def test_poses_missing_or_malformed(tmp_path, weights, masks, capsys):
    folder = tmp_path / "a" / "mask"
    folder.mkdir(parents=True)
    shutil.copy(masks / "90001.png", folder)
    fails(capsys, tmp_path, weights, folder, "--use_original_pose", names="pose")
    (folder / "CelebAMask-HQ-pose-anno.txt").write_text("1\nname yaw pitch roll\n77.jpg 1 2 3\n")
    fails(capsys, tmp_path, weights, folder, "--use_original_pose", names="90001")
    (folder / "CelebAMask-HQ-pose-anno.txt").write_text("1\nname yaw pitch roll\n90001.jpg 1 two 3\n")
    fails(capsys, tmp_path, weights, folder, "--use_original_pose", names="line 3")


def test_unwritable_output(tmp_path, weights, masks, capsys):
    (tmp_path / "out").write_text("a file where a folder should be")
    with pytest.raises(SystemExit) as stop:
        run(main, ["--exp_dir", str(tmp_path / "out"), "--checkpoint_path", str(weights), "--data_path", str(masks),
                   *SMALL])
    assert stop.value.code == 2
    assert str(tmp_path / "out") in capsys.readouterr().err


def test_damaged_checkpoint_at_the_command_line(tmp_path, weights, masks, capsys):
    cut = tmp_path / "cut.pt"
    cut.write_bytes(weights.read_bytes()[:5000])
    fails(capsys, tmp_path, cut, masks, names="cut.pt")


def test_wrong_label_order_warns(tmp_path, weights):
    """A mask numbered as BiSeNet does is read with a warning; with --label_order it gives the right picture."""
    from configs.label_spaces import BISENET_ORDER

    folder = tmp_path / "mask"
    folder.mkdir()
    right = np.array(Image.open(FACES / "90001.png"))
    Image.fromarray(np.argsort(BISENET_ORDER).astype(np.uint8)[right]).save(folder / "90001.png")
    with pytest.warns(UserWarning, match="label_order"):
        infer(tmp_path / "wrong", weights, folder)
    infer(tmp_path / "fixed", weights, folder, "--label_order=bisenet")
    infer(tmp_path / "right", weights, FACES / "90001.png")
    fixed, expected, wrong = (next(iter(pictures(tmp_path / name).values())) for name in ("fixed", "right", "wrong"))
    np.testing.assert_array_equal(fixed, expected)
    assert (wrong != expected).any()


def test_debug_shows_the_traceback(tmp_path, weights):
    from utils.errors import UserError

    with pytest.raises(UserError):
        run(main, ["--checkpoint_path", str(weights), "--data_path", str(tmp_path / "no"), "--exp_dir", str(tmp_path),
                   "--debug"])


def test_tiny_models_are_visible(weights):
    """The other tests compare pictures: these must not be flat."""
    from models.sem2nerf import Sem2NeRF

    view = Sem2NeRF.from_checkpoint(weights).scene(torch.rand(18, 224, 224)).render(None, 16, 4)
    assert view.rgb.std() > 0.05


def test_picture_options_come_from_the_checkpoint_unless_given():
    from options.test_options import complete, parse_options

    trained = {**FACE_OPTS, "test_output_size": 128, "pigan_infer_ray_step": 28}
    opts, given = parse_options([])
    assert (opts.test_output_size, opts.pigan_infer_ray_step) == (256, 24)
    done = complete(opts, given, trained)
    assert (done.test_output_size, done.pigan_infer_ray_step) == (128, 28)
    opts, given = parse_options(["--test_output_size=256"])
    assert complete(opts, given, trained).test_output_size == 256
