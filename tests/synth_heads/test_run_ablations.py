"""The ablation: its configurations, the arithmetic of its table, and the script from beginning to end."""

import json
import math

import pytest
import torch
import yaml
from conftest import ROOT
from tiny_training import make_decoder

from evaluation.face_segmentation.small_network import SegmenterConfig, SmallFaceSegmenter
from synth_heads.ablations.figures import HEADINGS, START, Examination, Spread, differences, report, table
from synth_heads.ablations.options import arguments, choose, read_ablation
from synth_heads.ablations.plan import agree_with_plan, decoder_sizes, lay_out, make_plan
from synth_heads.encoder.options import build_parser, check
from synth_heads.generator.latent import LATENT_DIM
from synth_heads.scripts import run_ablations
from utils.errors import UserError

CONFIGS = ROOT / "synth_heads/configs/ablations"


def figures(value):
    return dict.fromkeys(HEADINGS, value)


# configurations

def test_every_key_is_an_option_of_train_encoder():
    recipe, variants = read_ablation(CONFIGS)
    for variant in variants.values():
        for options in (recipe.warm_start(variant), recipe.images(variant)):
            opts = build_parser().parse_args([*arguments(options), "--exp_dir=x"])
            check(opts)
            for name, value in options.items():
                assert getattr(opts, name) == value, name


def test_variants_leave_out_one_thing_each():
    recipe, variants = read_ablation(CONFIGS)
    full = recipe.images(variants["full"])
    changed = {name: {key: value for key, value in recipe.images(variant).items() if full[key] != value}
               for name, variant in variants.items()}
    assert changed == {"full": {}, "without_contours": {"use_contour": False},
                       "without_patches": {"patch_train": False}, "without_extreme_poses": {"train_rand_pose_prob": 0}}
    assert next(iter(variants)) == "full", "the baseline"
    assert full["ray_scale_anneal"] == 0, "patches would still be whole images after so few steps"


def test_warm_starts_differ_only_in_what_is_read():
    recipe, variants = read_ablation(CONFIGS)
    warm = {name: recipe.warm_start(variant) for name, variant in variants.items()}
    assert warm["full"] == warm["without_patches"] == warm["without_extreme_poses"]
    assert warm["full"] | {"use_contour": False} == warm["without_contours"]
    assert warm["full"]["latent_lambda"] > 0
    assert warm["full"]["l2_lambda"] == warm["full"]["dis_lambda"] == 0


@pytest.mark.parametrize("files, message", [
    ({}, r"base\.yaml: cannot be read"),
    ({"base": "both: {}\nwarm_start: {}\n"}, "must have the sections both, warm_start, images"),
    ({"base": "both: {}\nwarm_start: {}\nimages: {}\n"}, "holds no variant"),
    ({"base": "both: {patch: 1}\nwarm_start: {}\nimages: {}\n"}, r"base\.yaml: patch is no option"),
    ({"base": "both: {}\nwarm_start: {}\nimages: {}\n", "a": "- 1\n"}, r"a\.yaml: it holds no options"),
    ({"base": "both: {}\nwarm_start: {}\nimages: {}\n", "a": "x: [\n"}, r"a\.yaml: this is not YAML"),
])
def test_unusable_configurations(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_ablation(tmp_path)


def test_choice_of_variants():
    assert list(choose({"a": {}, "b": {}}, ["b"])) == ["b"]
    with pytest.raises(UserError, match="`variants` c: not known; choose from a, b"):
        choose({"a": {}, "b": {}}, ["c"])


# arithmetic

def test_spread_by_hand():
    spread = Spread.of([1.0, 2.0, 6.0])  # mean 3; squares 4 + 1 + 9 = 14; 14 / 2 = 7
    assert spread.mean == 3
    assert spread.std == pytest.approx(math.sqrt(7))
    assert math.isnan(Spread.of([5.0]).std)


def test_differences_are_taken_seed_by_seed():
    rows = {"full": [figures(0.5), figures(0.7)], "without_patches": [figures(0.4), figures(0.5)]}
    compared = differences(rows, "full")
    assert list(compared) == ["without_patches"]
    assert [seed["miou"] for seed in compared["without_patches"]] == pytest.approx([-0.1, -0.2])


def test_table_by_hand():
    lines = table({"without_patches": [figures(0.5), figures(0.7)], "one_seed": [figures(0.25)]}).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == len(HEADINGS) + 2
    # mean .6, deviation sqrt(2 * .1^2 / 1) = .141
    assert lines[2].startswith("| without patches | 0.600 ± 0.141 |")
    assert "| 0.60 ± 0.14 |" in lines[2], "decibels have two decimals"
    assert lines[3].startswith("| one seed | 0.250 |")
    assert table({"one_head": [figures(math.nan)]}).splitlines()[2].startswith("| one head | - |")


def test_report_compares_trained_rows_only():
    rows = {START: [figures(0.1)], "full": [figures(0.5)], "without_patches": [figures(0.4)]}
    first, second = report(rows, "full").split("Difference from \"full\", seed by seed:")
    assert all(name in first for name in ("| warm start alone | 0.100", "| full | 0.500", "| without patches | 0.400"))
    assert "| without patches | -0.100 | " in second
    assert "warm start" not in second
    assert "Difference" not in report({START: [figures(0.1)], "full": [figures(0.5)]}, "full")


# layout and plan

def test_warm_starts_are_shared(tmp_path):
    recipe, variants = read_ablation(CONFIGS)
    rows = lay_out(tmp_path, recipe, variants, seeds=3)
    assert list(rows) == [START, "full", "without_contours", "without_extreme_poses", "without_patches"]
    assert {len(cells) for cells in rows.values()} == {3}
    assert len({cell.folder for cells in rows.values() for cell in cells}) == 15
    for seed in range(3):
        start = tmp_path / f"warm_contours_seed{seed}"
        assert rows[START][seed].folder == rows["full"][seed].start.folder == start
        assert rows["without_patches"][seed].start.folder == start
        assert rows["without_contours"][seed].start.folder == tmp_path / f"warm_labels_seed{seed}"
        assert rows["without_contours"][seed].start.options["seed"] == seed


def test_a_folder_keeps_to_its_plan(tmp_path):
    recipe, variants = read_ablation(CONFIGS)
    for name in ("decoder", "segmenter"):
        (tmp_path / name).write_text(name)
    examination = Examination(4, 1001, 32, tmp_path / "segmenter")

    def agree(names, recipe=recipe):
        chosen = {name: variants[name] for name in names}
        return agree_with_plan(tmp_path / "plan.json", make_plan(recipe, chosen, {"num_heads": 4}, tmp_path / "decoder",
                                                                 examination))

    assert list(agree(["full"])["variants"]) == ["full"]
    assert list(agree(["without_patches"])["variants"]) == ["full", "without_patches"], "variants may be added"
    assert str(tmp_path) not in (tmp_path / "plan.json").read_text(), "the folder may move"
    with pytest.raises(UserError, match=r"begun with other settings \(images\)"):
        agree(["full"], recipe.with_steps(None, 7))
    variants["full"]["train_rand_pose_prob"] = 0.9
    with pytest.raises(UserError, match=r"begun with other settings \(full\)"):
        agree(["full"])
    (tmp_path / "decoder").write_text("another")
    with pytest.raises(UserError, match=r"begun with other settings \(decoder_sha256\)"):
        agree(["without_patches"])
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(UserError, match="this plan cannot be read"):
        agree(["without_patches"])


def test_sizes_come_from_the_decoder(tmp_path):
    assert decoder_sizes(make_decoder(tmp_path / "a.pth", 16, LATENT_DIM)) == {
        "pigan_hidden_dim": 16, "pigan_zdim": LATENT_DIM}
    with pytest.raises(UserError, match=f"z has length 8, the codes of SynthHeads {LATENT_DIM}"):
        decoder_sizes(make_decoder(tmp_path / "b.pth", 16, 8))


# the script

@pytest.fixture
def command(tmp_path, monkeypatch):
    """Two variants, two seeds, one step each."""
    monkeypatch.chdir(ROOT)
    torch.manual_seed(0)
    SmallFaceSegmenter(SegmenterConfig(size=32, widths=(4, 4, 4, 4))).save(tmp_path / "segmenter.pt")
    configs = tmp_path / "configs"
    configs.mkdir()
    for name in ("base", "full", "without_contours"):
        content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
        if name == "base":
            content["both"] |= {"src_input_size": 32, "pigan_infer_ray_step": 3}
            for phase in ("warm_start", "images"):
                content[phase] |= {"batch_size": 1}
            content["images"] |= {"pigan_infer_ray_step": 3}
        (configs / f"{name}.yaml").write_text(yaml.safe_dump(content))
    decoder = make_decoder(tmp_path / "decoder.pth", 8, LATENT_DIM)
    return ["--exp_dir", str(tmp_path / "out"), "--configs", str(configs), "--pigan_weights", str(decoder),
            "--segmenter_weights", str(tmp_path / "segmenter.pt"), "--seeds", "2", "--num_heads", "3",
            "--warm_steps", "1", "--max_steps", "1", "--test_heads", "2", "--size", "16", "--workers", "1"]


@pytest.mark.slow
def test_from_nothing_to_a_table(command, tmp_path, capsys):
    run_ablations.main(command)
    out = tmp_path / "out"
    results = json.loads((out / "results.json").read_text())
    assert list(results["figures"]) == [START, "full", "without_contours"]
    assert all(len(row) == 2 and set(HEADINGS) <= set(row[0]) for row in results["figures"].values())
    text = (out / "table.md").read_text()
    assert text in capsys.readouterr().out
    for name, channels in (("full", 18), ("without_contours", 16)):
        contents = torch.load(out / f"{name}_seed1/checkpoints/iteration_1.pt", weights_only=True)
        assert contents["opts"]["input_nc"] == channels
        assert contents["opts"]["seed"] == 1
        assert "starting from the weights of" in (out / f"{name}_seed1/console.txt").read_text()
    same = [torch.load(out / f"{name}/checkpoints/iteration_1.pt", weights_only=True)["state_dict"]
            for name in ("warm_contours_seed0", "full_seed0")]
    assert torch.equal(*(state["decoder.siren.final_layer.weight"] for state in same)), "the decoder is frozen"
    assert any(not torch.equal(same[0][key], same[1][key]) for key in same[0] if key.startswith("encoder."))

    # again: what is finished is kept, what is not is done
    kept = out / "full_seed0/figures.json"
    kept.write_text(json.dumps(figures(7.0)))
    (out / "without_contours_seed1/figures.json").unlink()
    consoles = {path: path.read_text() for path in out.glob("*/console.txt")}
    run_ablations.main(command)
    assert json.loads((out / "results.json").read_text())["figures"]["full"][0]["miou"] == 7
    again = json.loads((out / "without_contours_seed1/figures.json").read_text())
    assert again == results["figures"]["without_contours"][1]
    assert {path: path.read_text() for path in out.glob("*/console.txt")} == consoles, "nothing was trained twice"


def test_stops_before_it_writes(command, tmp_path):
    bad = make_decoder(tmp_path / "bad.pth", 8, 4)
    with pytest.raises(UserError, match="z has length 4"):
        run_ablations.main([*command, "--pigan_weights", str(bad)])
    with pytest.raises(UserError, match=r"--segmenter_weights .*none: there is no such file"):
        run_ablations.main([*command, "--segmenter_weights", str(tmp_path / "none")])
    assert not (tmp_path / "out").exists()
