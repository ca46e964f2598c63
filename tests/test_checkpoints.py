"""Reading and writing checkpoint files: both layouts, start weights, and files that must be refused."""

import os
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from timm.models.swin_transformer import SwinTransformer as TimmSwin

from datasets.masks.mask_input import MaskInput
from models.checkpoints import (
    is_official,
    read_checkpoint,
    save_checkpoint,
    to_native,
    to_official,
)
from models.config import ModelConfig
from models.encoders.swin import SWIN_SIZES
from models.sem2nerf import Sem2NeRF
from models.start_weights import read_pigan_weights
from models.weight_files import read_file
from scripts.convert_checkpoint import main as convert
from utils.errors import UserError

DEMO = ROOT / "pretrained_models/sem2nerf_demo.pt"
OPTS = {"encoder_type": "SwinEncoderNano", "input_nc": 16, "use_contour": False, "src_input_size": 224,
        "pigan_hidden_dim": 8, "pigan_zdim": 4, "start_from_latent_avg": True, "pigan_curriculum_type": "CelebAMask_HQ"}


@pytest.fixture(scope="module")
def contents():
    """A small model in the native layout, with an optimiser's state for each encoder parameter."""
    torch.manual_seed(0)
    net = Sem2NeRF(ModelConfig.from_opts(OPTS))
    torch.nn.init.normal_(net.encoder.head.weight)
    parameters = list(net.encoder.parameters())
    states = {i: {"step": 3, "exp_avg": torch.randn_like(p)} for i, p in enumerate(parameters)}
    return {"format": "sem2nerf", "state_dict": net.state_dict(), "input": net.input.to_dict(), "opts": OPTS,
            "global_step": 7, "best_val_loss": None,
            "latent_avg": [net.latent_avg.frequencies, net.latent_avg.phase_shifts],
            "optimizer": {"state": states, "param_groups": [{"lr": 1e-4, "params": list(range(len(parameters)))}]}}


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_round_trip_is_lossless(contents, tmp_path):
    save_checkpoint(tmp_path / "native.pt", contents)
    convert([str(tmp_path / "native.pt"), str(tmp_path / "official.pt")])
    convert([str(tmp_path / "official.pt"), str(tmp_path / "back.pt")])
    official = torch.load(tmp_path / "official.pt", weights_only=True)
    assert is_official(official)
    assert "encoder.layers.0.downsample.norm.weight" in official["state_dict"]
    assert equal(torch.load(tmp_path / "back.pt", weights_only=True), contents)


def test_half_precision_survives_conversion(tmp_path):
    convert([str(DEMO), str(tmp_path / "official.pt")])
    convert([str(tmp_path / "official.pt"), str(tmp_path / "back.pt")])
    demo = to_native(torch.load(DEMO, weights_only=True))
    assert demo["state_dict"]["encoder.head.weight"].dtype == torch.float16
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert MaskInput.from_dict(back.pop("input")) == MaskInput.of_checkpoint(demo)
    assert equal(back, demo)


def test_convert_does_not_overwrite(contents, tmp_path):
    save_checkpoint(tmp_path / "a.pt", contents)
    with pytest.raises(UserError, match="--overwrite"):
        convert([str(tmp_path / "a.pt"), str(tmp_path / "a.pt")])


def earlier_file(contents):
    """The same contents as files of earlier versions hold them: timm's names, and its order in the optimiser; an
    average of the weights. The moments are the weights themselves."""
    config = ModelConfig.from_opts(contents["opts"])
    size = SWIN_SIZES[config.encoder_type]
    swin = TimmSwin(img_size=config.input_size, patch_size=size.patch_size, in_chans=config.input_nc, window_size=7,
                    num_classes=config.code_dim, embed_dim=size.embed_dim, depths=size.depths, num_heads=size.num_heads)
    torch.nn.init.normal_(swin.head.fc.weight)
    decoder = {key: value for key, value in contents["state_dict"].items() if key.startswith("decoder.")}
    state = {**{f"encoder.{key}": value for key, value in swin.state_dict().items()}, **decoder}
    states = {i: {"step": 3, "exp_avg": p.detach().clone()} for i, p in enumerate(swin.parameters())}
    return {**contents, "state_dict": {key: value + 1 for key, value in state.items()}, "train_state_dict": state,
            "optimizer": {**contents["optimizer"], "state": states}}


@pytest.mark.parametrize("kind", ["of a run", "with an unused parameter", "converted from official"])
def test_earlier_native_files(contents, tmp_path, kind):
    """timm's names become the authors', and the moments stay with their parameters."""
    earlier = earlier_file(contents)
    count = len(earlier["optimizer"]["state"])
    names = [f"encoder.{name}" for name, _ in Sem2NeRF(ModelConfig.from_opts(OPTS)).encoder.named_parameters()]
    if kind == "with an unused parameter":  # one that never had a gradient has no moments
        merging = [i for i, name in enumerate(earlier["state_dict"]) if name.endswith("downsample.reduction.weight")]
        del earlier["optimizer"]["state"][merging[0]]
        count -= 1
    if kind == "converted from official":  # there the weights had the authors' order already
        for name in ("state_dict", "train_state_dict"):
            keys = list(earlier[name])
            for i in [i for i, key in enumerate(keys) if key.endswith("downsample.norm.weight")]:
                keys[i : i + 3] = keys[i + 2], keys[i], keys[i + 1]
            earlier[name] = {key: earlier[name][key] for key in keys}
    save_checkpoint(tmp_path / "earlier.pt", earlier)
    native = read_checkpoint(tmp_path / "earlier.pt")
    state, moments = native["train_state_dict"], native["optimizer"]["state"]
    assert state.keys() == native["state_dict"].keys() == contents["state_dict"].keys()
    assert len(moments) == count
    for i, name in enumerate(names):
        assert torch.equal(native["state_dict"][name], state[name] + 1)
        if i in moments:
            assert torch.equal(moments[i]["exp_avg"], state[name]), name
        else:
            assert kind == "with an unused parameter"
            assert name == "encoder.layers.0.downsample.reduction.weight"
    assert torch.equal(state["encoder.layers.1.downsample.norm.bias"],
                       earlier["train_state_dict"]["encoder.layers.2.downsample.norm.bias"])
    Sem2NeRF.from_checkpoint(tmp_path / "earlier.pt")
    assert equal(to_native(to_official(earlier)), to_native(earlier))


@pytest.mark.parametrize("as_tuple", [False, True])
def test_ddp_prefixes(contents, tmp_path, as_tuple):
    """A multi-GPU run of the official code saves `encoder.module.*` and a tuple as mean code."""
    official = to_official(contents)
    official["state_dict"] = {key.replace("coder.", "coder.module.", 1): value
                              for key, value in official["state_dict"].items()}
    official["latent_avg"] = (tuple if as_tuple else list)(official["latent_avg"])
    torch.save(official, tmp_path / "ddp.pt")
    net = Sem2NeRF.from_checkpoint(tmp_path / "ddp.pt")
    assert equal(dict(net.state_dict()), dict(contents["state_dict"]))
    assert torch.equal(net.latent_avg.frequencies, contents["latent_avg"][0])


@pytest.mark.slow
@pytest.mark.parametrize("ddp", [False, True])
def test_reference_checkpoint_files(tmp_path, ddp):
    """Whole files in the official layout, as the reference's generator writes them (144 MB)."""
    import make_checkpoint

    official = make_checkpoint.build("celebahq", ddp)
    torch.save(official, tmp_path / "official.pt")
    net = Sem2NeRF.from_checkpoint(tmp_path / "official.pt")
    key = "encoder.layers.0.downsample.reduction.weight"
    source = f"encoder.{'module.' if ddp else ''}layers.0.downsample.reduction.weight"
    assert torch.equal(net.state_dict()[key], official["state_dict"][source])


def test_pigan_start_weights(contents, tmp_path):
    siren = {key.removeprefix("decoder."): value for key, value in contents["state_dict"].items()
             if key.startswith("decoder.")}
    torch.save(siren, tmp_path / "pigan.pth")
    net = Sem2NeRF(ModelConfig.from_opts(OPTS))
    net.decoder.load_state_dict(read_pigan_weights(tmp_path / "pigan.pth"))
    assert equal(dict(net.decoder.state_dict()), siren)
    for contents, words in (({"something": torch.zeros(1)}, "siren"), ({"siren.x": 3}, "should hold tensors")):
        torch.save(contents, tmp_path / "other.pth")
        with pytest.raises(UserError, match=words):
            read_pigan_weights(tmp_path / "other.pth")


class Exploit:
    def __reduce__(self):
        return os.system, ("touch /tmp/should-never-exist",)


def damaged(path, contents, kind):
    if kind == "missing":
        return
    if kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "empty":
        path.touch()
    elif kind == "pickle":
        torch.save({**contents, "opts": Exploit()}, path)
    elif kind == "plain pickle":
        path.write_bytes(pickle.dumps(Exploit()))
    elif kind == "truncated":
        save_checkpoint(path, contents)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "no weights":
        torch.save({"opts": OPTS}, path)
    elif kind == "no opts":
        torch.save({"state_dict": contents["state_dict"]}, path)
    elif kind == "other width":
        torch.save({**contents, "opts": {**OPTS, "pigan_hidden_dim": 16}}, path)
    elif kind == "missing weight":
        torch.save({**contents, "state_dict": dict(list(contents["state_dict"].items())[1:])}, path)
    elif kind == "unknown encoder":
        torch.save({**contents, "opts": {**OPTS, "encoder_type": "Transformer9000"}}, path)
    elif kind == "width in words":
        torch.save({**contents, "opts": {**OPTS, "pigan_hidden_dim": "wide"}}, path)
    elif kind == "not finite":
        state = {**contents["state_dict"]}
        state["decoder.siren.final_layer.bias"] = torch.tensor([float("nan")])
        torch.save({**contents, "state_dict": state}, path)
    elif kind == "weight of words":
        torch.save({**contents, "state_dict": {**contents["state_dict"], "decoder.siren.note": "words"}}, path)
    elif kind == "numbered weight":
        torch.save({**contents, "state_dict": {**contents["state_dict"], 3: torch.zeros(1)}}, path)
    elif kind == "averaged words":
        torch.save({**contents, "train_state_dict": "words"}, path)
    elif kind == "odd name":
        torch.save({**contents, "state_dict": {**contents["state_dict"], "zzz": torch.zeros(1)}}, path)
    elif kind == "mean code":
        torch.save({**contents, "latent_avg": 3}, path)
    elif kind == "short mean code":
        torch.save({**contents, "latent_avg": [torch.zeros(1, 3), torch.zeros(1, 3)]}, path)


@pytest.mark.parametrize("kind, words", [
    ("missing", "no such"), ("text", "not a PyTorch checkpoint|damaged"), ("empty", "damaged"), ("pickle", "run code"),
    ("plain pickle", "run code|not a PyTorch"), ("truncated", "damaged"), ("no weights", "state_dict"),
    ("no opts", "opts"), ("other width", "shape"), ("missing weight", "lacks"),
    ("unknown encoder", "Transformer9000"), ("width in words", "pigan_hidden_dim` wide"), ("not finite", "not finite"),
    ("weight of words", "'state_dict' should hold tensors"), ("numbered weight", "'state_dict' should hold tensors"),
    ("averaged words", "'train_state_dict' should hold tensors"), ("odd name", "unknown weight zzz "),
    ("mean code", "latent_avg"), ("short mean code", "latent_avg")])
def test_unusable_files(contents, tmp_path, kind, words):
    path = tmp_path / "model.pt"
    damaged(path, contents, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=words) as error:
            Sem2NeRF.from_checkpoint(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not Path("/tmp/should-never-exist").exists()


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_scalars(tmp_path, module):
    """As numpy 1 and numpy 2 write them, whichever is here."""
    path = tmp_path / "scalar.pt"
    values = {"loss": np.float64(0.5), "step": np.int64(7), "rate": np.float32(0.25)}
    torch.save(values, path)
    with zipfile.ZipFile(path) as old:
        files = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in files.items():
            new.writestr(name, re.sub(rb"numpy\._?core\.multiarray", module.encode(), content))
    assert b"c" + module.encode() + b"\nscalar\n" in path.read_bytes()
    assert read_file(path) == values


def test_failed_write_leaves_the_old_file(contents, tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "model.pt", contents)
    before = (tmp_path / "model.pt").read_bytes()

    def full(*_):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="disk full"):
        save_checkpoint(tmp_path / "model.pt", contents)
    assert (tmp_path / "model.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_loading_is_exact(contents, tmp_path):
    save_checkpoint(tmp_path / "model.pt", contents)
    assert equal(read_checkpoint(tmp_path / "model.pt"), contents)
