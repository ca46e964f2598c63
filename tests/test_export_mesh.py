"""scripts/export_mesh.py and the files that it writes."""

import json
import struct
import sys

import numpy as np
import pytest
import torch
import trimesh
from conftest import ROOT
from made_fields import Ball
from tiny import FACE_OPTS, tiny_model

from configs.data_configs import data_config
from inference.mesh_files import linear, painted, write_mesh
from models.checkpoints import save_checkpoint
from models.meshing.extract import mesh_of
from models.pigan.semantic_head import SemanticHead
from scripts.export_mesh import main
from utils.errors import UserError

SPACE = data_config("celebahq_seg_to_3dface").label_space.merged
SMALL = ["--resolution", "24", "--device", "cpu"]


@pytest.fixture(scope="module")
def ball():
    return mesh_of(Ball(), 40)


def export(out, weights, masks, *options):
    main(["--exp_dir", str(out), "--checkpoint_path", str(weights), "--data_path", str(masks), *SMALL, *options])
    return sorted(path.name for path in out.iterdir())


def tree_of(path):
    """The JSON part of a GLB."""
    data = path.read_bytes()
    magic, version, length, size = struct.unpack("<4sIII", data[:16])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    return json.loads(data[20:20 + size])


def with_head(path):
    """A small checkpoint that can tell labels."""
    net = tiny_model(contrast=20)
    draw = torch.Generator().manual_seed(0)
    head = SemanticHead((1, 3), SPACE.name, torch.randn(len(SPACE), 2 * net.siren.width, generator=draw),
                        torch.zeros(len(SPACE)))
    mean = net.latent_avg
    save_checkpoint(path, {"format": "sem2nerf", "state_dict": net.state_dict(), "opts": FACE_OPTS, "global_step": 1,
                           "latent_avg": [mean.frequencies, mean.phase_shifts], "semantic": head.state()})
    return path


@pytest.mark.parametrize("suffix", ["glb", "ply", "obj"])
def test_files_load_again(ball, tmp_path, suffix):
    """Whole, closed, with the same colours, whether or not equal vertices are merged."""
    path, = write_mesh(tmp_path, "ball", ball, SPACE, [suffix])
    for process in (True, False):
        read = trimesh.load(path, force="mesh", process=process, skip_materials=True)
        assert read.is_watertight
        assert read.is_winding_consistent
        assert len(read.faces) == len(ball.faces)
        assert np.allclose(read.bounds, [ball.vertices.min(0), ball.vertices.max(0)], atol=1e-6)
    if suffix != "obj":  # whose reader orders vertices anew
        assert np.allclose(read.vertices, ball.vertices, atol=1e-6)
        stored = linear(ball.colours) if suffix == "glb" else ball.colours
        assert np.abs(read.visual.vertex_colors[:, :3] / 255 - stored).max() < 0.51 / 255
    else:
        first = next(line for line in path.read_text().splitlines() if line.startswith("v ")).split()
        assert np.allclose([float(part) for part in first[1:4]], ball.vertices[0], atol=1e-6)
        assert np.allclose([float(part) for part in first[4:7]], ball.colours[0], atol=0.51 / 255)


def test_ply_holds_labels(ball, tmp_path):
    path, = write_mesh(tmp_path, "ball", ball, SPACE, ["ply"])
    read = trimesh.load(path, process=False)
    stored = read.metadata["_ply_raw"]["vertex"]["data"]["label"]
    assert np.array_equal(np.ravel(stored), ball.labels)


def test_material_of_a_glb(ball, tmp_path):
    """Without a material, viewers take a metal; colours are shown as they are, and painted labels are lit."""
    own, = write_mesh(tmp_path, "own", ball, SPACE)
    labels, = write_mesh(tmp_path, "labels", ball, SPACE, by_label="paint")
    for path, unlit in ((own, True), (labels, False)):
        tree = tree_of(path)
        primitive, = tree["meshes"][0]["primitives"]
        material = tree["materials"][primitive["material"]]
        assert material["pbrMetallicRoughness"]["metallicFactor"] == 0
        assert ("KHR_materials_unlit" in material.get("extensions", {})) == unlit
        assert ("KHR_materials_unlit" in tree.get("extensionsUsed", [])) == unlit
        accessor = tree["accessors"][primitive["attributes"]["COLOR_0"]]
        assert accessor["normalized"]
        assert accessor["count"] == len(ball.vertices)
    assert path.stat().st_size < 45 * len(ball.vertices)


def test_colours_are_linear_in_a_glb():
    assert np.allclose(linear(np.array([0.0, 0.04, 0.5, 1.0])), [0, 0.04 / 12.92, 0.21404, 1], atol=1e-5)


def test_by_label(ball, tmp_path):
    skin, hair = (np.array(SPACE.palette[label]) / 255 for label in (1, 2))
    shown = painted(ball, SPACE)
    assert np.allclose(shown.colours, np.where(ball.labels[:, None] == 1, skin, hair))
    written = write_mesh(tmp_path, "ball", ball, SPACE, ["glb", "obj", "ply"], "split")
    assert [path.name for path in written] == ["ball.glb", "ball.obj", "ball_skin.ply", "ball_nose.ply"]
    names = SPACE.labels[1], SPACE.labels[2]
    assert set(trimesh.load(written[0]).geometry) == set(names)
    objects = [line.split()[1] for line in written[1].read_text().splitlines() if line.startswith("o ")]
    assert set(objects) == set(names)
    faces = [len(trimesh.load(path, process=False).faces) for path in written[2:]]
    assert sum(faces) == len(ball.faces)
    below = trimesh.load(written[2], process=False)
    assert below.vertices[:, 1].max() < 0.01


def test_a_mesh_without_labels_cannot_be_split(tmp_path):
    mesh = mesh_of(Ball(labels=False), 24)
    with pytest.raises(UserError, match="`by_label` needs labels"):
        write_mesh(tmp_path, "ball", mesh, None, by_label="paint")
    assert not list(tmp_path.iterdir())


def test_many_masks(weights, faces, tmp_path, capsys):
    names = export(tmp_path / "out", weights, faces, "--formats=glb,ply", "--style_layers=7,8", "--style_seed=3")
    assert names == sorted(f"{name}_mask78_seed3.{suffix}" for name in ("90001", "90002", "90001_hair")
                           for suffix in ("glb", "ply"))
    said = capsys.readouterr().out
    assert "3 meshes in" in said
    assert said.count("wrote ") == 6
    for path in (tmp_path / "out").glob("*.ply"):
        assert trimesh.load(path).is_watertight
    plain = export(tmp_path / "plain", weights, faces / "90001.png", "--style_layers", "")
    assert plain == ["90001.glb"]


def test_labels_of_a_checkpoint(weights, faces, tmp_path):
    assert export(tmp_path / "out", with_head(tmp_path / "head.pt"), faces / "90001.png", "--by_label=split",
                  "--style_layers=") == ["90001.glb"]
    parts = trimesh.load(tmp_path / "out/90001.glb").geometry
    assert len(parts) > 1
    assert set(parts) <= set(SPACE.labels)
    with pytest.raises(UserError, match=r"--by_label paint: .*tiny_model_500.pt has no semantic head.*--semantic_head"):
        export(tmp_path / "none", weights, faces / "90001.png", "--by_label=paint")
    assert not (tmp_path / "none").exists()


def test_a_field_without_a_surface_is_one_line(weights, faces, tmp_path, capsys):
    """Named, with code 2; nothing is written for it, and other masks are."""
    with pytest.raises(UserError, match=r"90001.png: no mesh, since the field has no surface: no camera") as caught:
        export(tmp_path / "out", weights, faces, "--density_level", "1e9")
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().err.count("no mesh, since") == 2
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("options, message", [
    (["--resolution", "8"], "--resolution: 8 is out of range, give 16 to 1024"),
    (["--formats", "glb,stl"], "'stl' is not among glb,ply,obj"),
    (["--formats", ""], "'' is not among glb,ply,obj"),
    (["--mix_alpha", "2"], "--mix_alpha/--style_weight: 2: give a weight from 0 to 1"),
    (["--by_label", "colour"], "invalid choice"),
])
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        main(options)


@pytest.mark.parametrize("package, asks", [("trimesh", "pip install trimesh"), ("skimage", "pip install scikit-image")])
def test_packages_are_asked_for(package, asks, weights, faces, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=asks):
        export(tmp_path / "out", weights, faces)
    assert not (tmp_path / "out").exists()


def test_help_names_a_page_that_exists(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "docs/mesh.md" in capsys.readouterr().out
    assert (ROOT / "docs/mesh.md").is_file()
