"""Weight files as other programs write them: what is plain is read, everything else is named, nothing is executed."""

import argparse
import collections
import pathlib
import types

import numpy as np
import pytest
import torch
from timm.models.swin_transformer import SwinTransformer as TimmSwin
from tiny import FACE_OPTS, tiny_model

from models.checkpoints import to_official
from models.encoders.swin import SwinEncoder
from models.pigan.siren import FilmSiren
from models.sem2nerf import Decoder, Sem2NeRF
from models.start_weights import load_siren, read_pigan_weights, read_swin_weights
from models.weight_files import read_file
from utils.errors import UserError

NET = tiny_model(seed=3)
STATE = dict(NET.state_dict())
CONTENTS = {"format": "sem2nerf", "state_dict": STATE, "opts": FACE_OPTS, "global_step": 1,
            "latent_avg": [NET.latent_avg.frequencies, NET.latent_avg.phase_shifts]}
SIREN = {key.removeprefix("decoder."): value for key, value in STATE.items() if key.startswith("decoder.")}


def saved(folder, contents, **options):
    torch.save(contents, folder / "file.pt", **options)
    return folder / "file.pt"


def assert_same(state, other):
    assert state.keys() == other.keys()
    assert all(torch.equal(value, other[key]) for key, value in state.items())


def assert_read(path):
    net = Sem2NeRF.from_checkpoint(path)
    assert_same(dict(net.state_dict()), STATE)
    assert torch.equal(net.latent_avg.frequencies, NET.latent_avg.frequencies)


@pytest.mark.parametrize("letter", "?bBhHiIlLqQefdgFDG")
def test_numpy_scalars_and_arrays(tmp_path, letter):
    array = np.array([0, 1], letter)
    scalar, whole = read_file(saved(tmp_path, [array[1], array]))
    assert scalar == 1
    assert type(scalar) in (bool, int, float, complex)
    assert isinstance(whole, torch.Tensor)
    assert whole.tolist() == [0, 1]


def test_plain_values_of_other_classes(tmp_path):
    """What a run's options are made of, in a Namespace as argparse gives them."""
    odd = {"folder": pathlib.PosixPath("/data/faces"), "other": pathlib.PureWindowsPath("c:/faces"),
           "inner": types.SimpleNamespace(rate=np.float32(0.5)), "names": np.array(["a", "b"]), "word": np.str_("w"),
           "lists": collections.defaultdict(list, {"a": [1]}), "big": np.arange(3, dtype=">f8"), "some": {1, 2}}
    path = saved(tmp_path, {**CONTENTS, "opts": argparse.Namespace(**FACE_OPTS, **odd), "best_val_loss": np.float16(2)})
    opts = read_file(path)["opts"]
    assert torch.equal(opts.pop("big"), torch.arange(3.0, dtype=torch.float64))
    assert opts == {**FACE_OPTS, "folder": "/data/faces", "other": opts["other"], "inner": {"rate": 0.5},
                    "names": ["a", "b"], "word": "w", "lists": {"a": [1]}, "some": {1, 2}}
    assert isinstance(opts["other"], str)
    assert_read(path)


def test_weights_in_numpy(tmp_path):
    arrays = {key: value.numpy() for key, value in STATE.items()}
    assert_read(saved(tmp_path, {**CONTENTS, "state_dict": arrays,
                                 "latent_avg": tuple(value.numpy() for value in CONTENTS["latent_avg"])}))


@pytest.mark.parametrize("rename", [
    lambda key: f"module.{key}", lambda key: f"_orig_mod.{key}", lambda key: f"_orig_mod.module.{key}",
    lambda key: key.replace("encoder.", "encoder._orig_mod.", 1),
    lambda key: key.replace("coder.", "coder.module._orig_mod.", 1),
    lambda key: key.replace("layers.1.", "layers.1._checkpoint_wrapped_module.", 1), lambda key: f"model.net.{key}",
    lambda key: key.replace("encoder.", "encoder.backbone.", 1), lambda key: f"backbone.{key}",
], ids=lambda rename: rename("encoder.layers.1.weight"))
@pytest.mark.parametrize("official", [False, True])
def test_wrapped_models(tmp_path, rename, official):
    contents = to_official(CONTENTS) if official else CONTENTS
    state = {rename(key): value for key, value in contents["state_dict"].items()}
    assert_read(saved(tmp_path, {**contents, "state_dict": state}))


def test_a_wrapped_whole_model_is_read(tmp_path):
    net = torch.nn.DataParallel(torch.compile(tiny_model(seed=3), backend="eager"))
    assert_read(saved(tmp_path, {**CONTENTS, "state_dict": net.state_dict()}))


def test_weights_under_another_name(tmp_path):
    others = {key: value for key, value in CONTENTS.items() if key != "state_dict"}
    with pytest.warns(UserWarning, match="its weights are those under 'model_ema'"):
        assert_read(saved(tmp_path, {**others, "model_ema": STATE}))


@pytest.mark.parametrize("contents, words", [
    (STATE, "holds the bare weights of a Sem2NeRF, and no 'opts'"),
    ({f"module.{key}": value for key, value in STATE.items()}, "holds the bare weights of a Sem2NeRF"),
    ({"ema": STATE}, "holds the weights of a Sem2NeRF under 'ema', and no 'opts'"),
    ({"generator": SIREN, "step": 3}, "it holds generator, step"),
    (NET, r"\(models.sem2nerf.Sem2NeRF\) and loading that would run code"),
])
def test_what_is_no_checkpoint_is_named(tmp_path, contents, words):
    with pytest.raises(UserError, match=words) as error:
        Sem2NeRF.from_checkpoint(saved(tmp_path, contents))
    assert "\n" not in str(error.value)


class Average:
    """As torch_ema's `ExponentialMovingAverage`, of which pi-GAN's training pickles the whole object."""

    def __init__(self, module):
        self.decay, self.num_updates, self.collected_params = 0.999, 7, []
        self.shadow_params = [parameter.detach().clone() for parameter in module.parameters()]


class Generator(Decoder):
    """As pi-GAN's `ImplicitGenerator3d`: with attributes that are no weights."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.device, self.step, self.activation, self.owner = torch.device("cpu"), 3, torch.sin, [self]


def generator():
    out = Generator(16, 8)
    out.load_state_dict(SIREN)
    return out


@pytest.mark.parametrize("contents", [
    SIREN, {"generator": SIREN, "step": 3}, {"generator_state_dict": SIREN}, {"model": {"G": SIREN}},
    {f"_orig_mod.{key}": value for key, value in SIREN.items()}, CONTENTS,
    {"decay": 0.999, "num_updates": 1, "shadow_params": list(SIREN.values())}, Average(generator()),
    generator(), torch.nn.DataParallel(generator()), {"generator": generator()},
], ids=lambda contents: type(contents).__name__)
def test_generators(tmp_path, contents):
    siren = FilmSiren(16, 8)
    load_siren(siren, saved(tmp_path, contents))
    assert_same({f"siren.{key}": value for key, value in siren.state_dict().items()}, SIREN)


@pytest.mark.parametrize("contents", [
    {"shadow_params": list(SIREN.values())[1:]}, {"shadow_params": [value[None] for value in SIREN.values()]},
    {"generator": {"layer.weight": torch.zeros(3)}}, [1]])
def test_no_generator(tmp_path, contents):
    with pytest.raises(UserError, match="holds no pi-GAN generator"):
        read_pigan_weights(saved(tmp_path, contents))


class Harmful:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("function", [eval, exec])
def test_nothing_is_executed(tmp_path, function):
    """Where whole modules are read, too."""
    mark = tmp_path / "mark"
    path = saved(tmp_path, {**SIREN, "more": Harmful(function, f"open({str(mark)!r}, 'w')")})
    for read in (read_file, read_pigan_weights):
        with pytest.raises(UserError, match="would run code"):
            read(path)
    path = saved(tmp_path, {**SIREN, "more": Harmful(touch, str(mark))})
    assert_same(read_pigan_weights(path), SIREN)
    assert not mark.exists()


def touch(path):
    pathlib.Path(path).touch()


@pytest.mark.parametrize("options, words", [
    ({"pickle_protocol": 4}, "written with a pickle protocol"),
    ({"_use_new_zipfile_serialization": False}, "holds more than tensors and plain values"),
])
def test_what_cannot_be_read_says_why(tmp_path, options, words):
    with pytest.raises(UserError, match=words) as error:
        read_pigan_weights(saved(tmp_path, generator(), **options))
    assert "get the file again" not in str(error.value)


ENCODER = SwinEncoder("SwinEncoder", 3, 224, 1000)
SWIN = {key: torch.randn_like(value) for key, value in ENCODER.state_dict().items()}
TAKEN = {key: value for key, value in SWIN.items() if not key.startswith(("patch_embed.", "head."))}


def mmdetection(state):
    """mmdetection's names and orders, by the rules with which it converts the authors' files."""
    out = {"neck.convs.0.weight": torch.zeros(1), "backbone.norm0.weight": torch.ones(96)}
    for key, value in state.items():
        if ".downsample." in key:  # patches 0, 1, 2, 3 -> 0, 2, 1, 3, then channel by channel
            patches = value.reshape(*value.shape[:-1], 4, -1)[..., [0, 2, 1, 3], :]
            value = patches.transpose(-1, -2).reshape(value.shape)
        for ours, theirs in (("layers.", "stages."), (".attn.", ".attn.w_msa."), (".mlp.fc1.", ".ffn.layers.0.0."),
                             (".mlp.fc2.", ".ffn.layers.1.")):
            key = key.replace(ours, theirs)
        out["backbone." + (f"norm3.{key[5:]}" if key.startswith("norm.") else key)] = value
    return out


@pytest.mark.parametrize("contents", [
    {"model": SWIN}, SWIN, {"state_dict": SWIN, "arch": "swin"},
    {f"module.{key}": value for key, value in SWIN.items()},
    {"meta": {}, "state_dict": {f"backbone.{key}": value for key, value in SWIN.items()}},
    {"state_dict": {f"module.backbone.{key}": value for key, value in SWIN.items()}},
    {"state_dict_ema": SWIN}, {"state_dict": mmdetection(TAKEN)},
], ids=["authors", "bare", "timm", "ddp", "backbone", "wrapped", "average", "mmdetection"])
def test_swins(tmp_path, contents):
    assert_same(read_swin_weights(saved(tmp_path, contents)), TAKEN)


def test_timm_training(tmp_path):
    state = TimmSwin(num_classes=10).state_dict()
    taken = read_swin_weights(saved(tmp_path, {"epoch": 3, "state_dict": state}))
    assert taken.keys() == TAKEN.keys()
    assert torch.equal(taken["layers.0.downsample.reduction.weight"], state["layers.1.downsample.reduction.weight"])


def test_no_swin(tmp_path):
    with pytest.raises(UserError, match=r"holds no Swin .*\(it holds conv1.weight, epoch\)"):
        read_swin_weights(saved(tmp_path, {"conv1.weight": torch.zeros(1), "epoch": 3}))
