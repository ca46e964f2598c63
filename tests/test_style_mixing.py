"""scripts/style_mixing.py: strips, grids and videos of heads in many styles."""

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from inferring import images
from PIL import Image
from tiny import tiny_model

from inference.style_mixing import StyleMixer, by_number, eased
from inference.view_renderer import ViewRenderer, ViewSettings
from models.pigan.cameras import Camera
from options.arguments import seed_list
from scripts.style_mixing import main
from utils.errors import UserError

SMALL = ["--test_output_size", "16", "--pigan_infer_ray_step", "4", "--device", "cpu"]


def mix(out, weights, masks, *options):
    main(["--exp_dir", str(out), "--checkpoint_path", str(weights), "--data_path", str(masks), *SMALL, *options])
    return images(out)


def columns(image, size=16):
    return [image[:, start:start + size] for start in range(0, image.shape[1], size)]


def test_a_strip_of_mask_and_styles(tmp_path, weights, faces):
    strips = mix(tmp_path, weights, faces, "--n_outputs_to_generate=3", "--seed=5")
    assert sorted(strips) == ["90001_hair_styles.png", "90001_styles.png", "90002_styles.png"]
    for strip in strips.values():
        assert strip.shape == (16, 4 * 16, 3)
        assert len({column.tobytes() for column in columns(strip)}) == 4


def test_seeds_are_those_of_inference(tmp_path, weights, faces):
    """The same style, of whichever script, and wherever the seed stands in the list."""
    from inferring import infer

    several = mix(tmp_path / "a", weights, faces / "90001.png", "--style_seeds=3-4,9", "--latent_mask=7,8")
    infer(tmp_path / "b", weights, faces / "90001.png", "--inject_code_seed=9", "--latent_mask=7,8",
          "--n_outputs_to_generate=1")
    row = images(tmp_path / "b")["90001_mask78_seed9.png"]
    np.testing.assert_array_equal(columns(several["90001_styles.png"])[3], columns(row)[1])


def test_a_grid_is_one_picture(tmp_path, weights, faces):
    grid = mix(tmp_path, weights, faces, "--grid", "--style_seeds=0,1")
    assert list(grid) == ["styles.png"]
    strips = mix(tmp_path / "strips", weights, faces, "--style_seeds=0,1")
    shown = {grid["styles.png"][top:top + 16, left:left + 16].tobytes()
             for top in range(0, grid["styles.png"].shape[0] - 15) for left in (4, 24, 44)}
    for strip in strips.values():
        assert {column.tobytes() for column in columns(strip)} <= shown


def test_weight_zero_keeps_the_masks_own_colours(tmp_path, weights, faces):
    strip = mix(tmp_path, weights, faces / "90001.png", "--mix_alpha=0", "--style_seeds=0-2")["90001_styles.png"]
    assert len({column.tobytes() for column in columns(strip)[1:]}) == 1


def frames_of(path):
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]


def test_a_video_from_one_head_to_another(tmp_path, weights, faces):
    main(["--exp_dir", str(tmp_path), "--checkpoint_path", str(weights), *SMALL, "--num_frames=5", "--trajectory=still",
          "--interpolate", str(faces / "90001.png"), str(faces / "90002.png")])
    assert len(frames_of(tmp_path / "90001_to_90002.mp4")) == 5


def test_the_way_between_two_heads_begins_and_ends_with_them():
    net = tiny_model(contrast=20)
    renderer = ViewRenderer(net, ViewSettings(8, 4, "exact"))
    mixer, camera = StyleMixer(renderer), Camera()
    heads = [net.siren.mapping_network(torch.randn(1, 8, generator=torch.Generator().manual_seed(k))) for k in (0, 1)]
    frames = list(mixer.between(*heads, [camera] * 4))
    for frame, codes in ((frames[0], heads[0]), (frames[-1], heads[1])):
        np.testing.assert_array_equal(frame, next(renderer.views(renderer.scene(codes), [camera])))
    assert len({frame.tobytes() for frame in frames}) == 4
    assert [eased(part) for part in (0, 0.5, 1)] == pytest.approx([0, 0.5, 1])


def test_a_sequence_goes_by_number_and_keeps_its_colours(tmp_path, weights, faces):
    masks = tmp_path / "masks"
    masks.mkdir()
    for name, source in (("2", "90001"), ("10", "90002"), ("1", "90001_hair")):
        Image.open(faces / f"{source}.png").save(masks / f"{name}.png")
    assert [path.stem for path in by_number(sorted(masks.iterdir()))] == ["1", "2", "10"]
    mix(tmp_path / "own", weights, masks, "--sequence", "--video_format=gif")
    with Image.open(tmp_path / "own/sequence.gif") as video:
        assert video.n_frames == 3
    net = tiny_model(contrast=20)
    mixer = StyleMixer(ViewRenderer(net, ViewSettings(8, 4, "exact")))
    heads = [net.siren.mapping_network(torch.randn(1, 8, generator=torch.Generator().manual_seed(k))) for k in (0, 1)]
    first, second = mixer.sequence(heads, [Camera()] * 2)
    np.testing.assert_array_equal(first, next(mixer.in_styles(heads[0], [heads[0]])))
    np.testing.assert_array_equal(second, next(mixer.in_styles(heads[1], [heads[0]])))


@pytest.mark.parametrize("text, seeds", [("0-5,9", (0, 1, 2, 3, 4, 5, 9)), ("7", (7,)), ("3,1-3", (3, 1, 2))])
def test_seeds_and_ranges(text, seeds):
    assert seed_list(text) == seeds


@pytest.mark.parametrize("options, words", [
    (["--style_seeds=5-0"], "argument --style_seeds: '5-0' runs backwards; give the smaller seed first"),
    (["--style_seeds=a"], "argument --style_seeds: 'a' is not a whole number"),
    (["--style_seeds=,"], "name one seed at least"),
    (["--style_seeds=0-9999999"], "are 10000000 seeds; give 1000 at most"),
    (["--mix_alpha=2"], "--mix_alpha/--style_weight: 2: give a weight from 0 to 1"),
    (["--latent_mask="], "--latent_mask '': name the layers that styles replace"),
    (["--grid", "--sequence"], "--sequence and --grid: give one of them"),
    (["--interpolate", "a.png", "b.png", "--data_path=c"], "--data_path and --interpolate: the two masks"),
    (["--interpolate", "absent.png", "absent2.png"], "--interpolate absent.png: there is no such"),
])
def test_mistakes_are_one_line(options, words, weights, tmp_path):
    with pytest.raises(UserError) as caught:
        main([f"--exp_dir={tmp_path / 'out'}", f"--checkpoint_path={weights}", *options])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def photographs(root, colours):
    """Pictures in a data set's layout, each of one colour, with a mask that shows skin and hair."""
    for name in ("images", "mask"):
        (root / name).mkdir(parents=True)
    for name, colour in colours.items():
        Image.new("RGB", (64, 64), colour).save(root / f"images/{name}.png")
        labels = np.ones((64, 64), np.uint8)
        labels[:24] = 13
        Image.fromarray(labels).save(root / f"mask/{name}.png")
    return [str(root / f"images/{name}.png") for name in colours]


def test_styles_of_pictures(tmp_path, weights, faces, capsys):
    pictures = photographs(tmp_path / "photos", {"red": (200, 60, 50), "blue": (60, 80, 200)})
    strip = mix(tmp_path / "a", weights, faces / "90001.png", "--style_images", *pictures)["90001_styles.png"]
    assert strip.shape == (16, 3 * 16, 3)       # no random style beside them, unless that is asked for
    assert "colours as in" in capsys.readouterr().out
    mask, red, blue = columns(strip)
    assert not np.array_equal(red, blue)
    grid = mix(tmp_path / "b", weights, faces / "90001.png", "--grid", "--style_seeds=3", "--style_images", *pictures)
    assert list(grid) == ["styles.png"]
    shown = {grid["styles.png"][top:top + 16, left:left + 16].tobytes()
             for top in range(grid["styles.png"].shape[0] - 15)
             for left in range(grid["styles.png"].shape[1] - 15)}
    for image in (red, blue, mask, np.full((16, 16, 3), (200, 60, 50), np.uint8)):
        assert image.tobytes() in shown


def test_mistakes_with_pictures(tmp_path, weights, faces):
    for options, words in ((["--style_images=a.png", "--sequence"], "--style_images is for strips and grids"),
                           (["--style_images=absent.png"], "absent.png: there is no such file")):
        with pytest.raises(UserError, match=words):
            mix(tmp_path / "out", weights, faces, *options)
        assert not (tmp_path / "out").exists()
