"""SegFormer and FaRL: the published layouts, orders of parts, and what foreign files are told."""

import json

import pytest
import torch
from torch import nn

from configs.label_spaces import LABEL_SPACES
from evaluation.face_segmentation import segformer
from evaluation.face_segmentation.farl import ORDER
from evaluation.face_segmentation.registry import SEGMENTERS, find_segmenter, load_segmenter
from evaluation.face_segmentation.segformer import FIRST_VERSION, label_order
from options.eval_options import SEGMENTERS as OPTIONS
from utils.errors import UserError

FACES, MERGED = LABEL_SPACES["CelebAMask_HQ"], LABEL_SPACES["CelebAMask_HQ_merged"]
# id2label of the published config.json, since its labels were corrected
PUBLISHED = ["background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth",
             "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"]
# `label_names` of facer's celebm/448: rr and lr are ears, rb and lb brows, re and le eyes, imouth the inner mouth
FACER = ["background", "neck", "face", "cloth", "rr", "lr", "rb", "lb", "re", "le", "nose", "imouth", "llip", "ulip",
         "hair", "eyeg", "hat", "earr", "neck_l"]
FACER_NAMES = {"face": "skin", "rr": "ear", "lr": "ear", "rb": "brow", "lb": "brow", "re": "eye", "le": "eye",
               "imouth": "mouth", "llip": "l_lip", "ulip": "u_lip", "eyeg": "eye_g", "earr": "ear_r"}


def merged(name):
    """'l_eye' -> 'eye'; lips stay."""
    return name[2:] if name[2:] in ("eye", "brow", "ear") else name


def published_keys(depths):
    """Names of the published file's tensors, for any number of blocks in its four stages."""
    keys = []
    for stage, depth in enumerate(depths):
        pair = lambda name: [f"{name}.weight", f"{name}.bias"]  # noqa: E731
        at = "segformer.encoder"
        keys += pair(f"{at}.patch_embeddings.{stage}.proj") + pair(f"{at}.patch_embeddings.{stage}.layer_norm")
        for block in range(depth):
            here = f"{at}.block.{stage}.{block}"
            names = ["layer_norm_1", "attention.self.query", "attention.self.key", "attention.self.value",
                     "attention.output.dense", "layer_norm_2", "mlp.dense1", "mlp.dwconv.dwconv", "mlp.dense2"]
            names += ["attention.self.sr", "attention.self.layer_norm"] * (stage < 3)
            keys += [key for name in names for key in pair(f"{here}.{name}")]
        keys += pair(f"{at}.layer_norm.{stage}") + pair(f"decode_head.linear_c.{stage}.proj")
    return sorted(keys + ["decode_head.linear_fuse.weight", "decode_head.classifier.weight",
                          "decode_head.classifier.bias"]
                  + [f"decode_head.batch_norm.{name}" for name in ("weight", "bias", "running_mean", "running_var",
                                                                   "num_batches_tracked")])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder as the published one: seeded weights of four stages, one or two blocks each."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(0)
    config = SegformerConfig(num_labels=19, depths=[1, 2, 1, 1], hidden_sizes=[8, 8, 8, 8], decoder_hidden_size=8,
                             num_attention_heads=[1, 1, 2, 2], id2label=dict(enumerate(PUBLISHED)),
                             label2id={name: number for number, name in enumerate(PUBLISHED)})
    network = SegformerForSemanticSegmentation(config).eval()
    folder = tmp_path_factory.mktemp("face-parsing")
    network.save_pretrained(folder)
    return folder, network


def with_config(folder, out, **changes):
    out.mkdir()
    contents = json.loads((folder / "config.json").read_text()) | changes
    (out / "config.json").write_text(json.dumps(contents))
    (out / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return out


def test_segformer_has_the_published_layout(tiny):
    from safetensors import safe_open

    with safe_open(tiny[0] / "model.safetensors", "pt") as file:
        assert sorted(file.keys()) == published_keys([1, 2, 1, 1])
    # MiT-B5, as published: 3 + 6 + 40 + 3 blocks
    assert len(published_keys([3, 6, 40, 3])) == 52 * 18 + 49 * 4 + 4 * 8 + 8


def test_segformer_labels_images(tiny, monkeypatch):
    monkeypatch.setattr(segformer, "SIZE", 64)
    folder, network = tiny
    segmenter = load_segmenter("segformer", folder)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = segmenter.segment(images)
    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    logits = network(pixel_values=((images + 1) / 2 - mean) / std).logits
    expected = nn.functional.interpolate(logits, (64, 64), mode="bilinear").argmax(1)
    for number in expected.unique().tolist():
        names = {MERGED.labels[label] for label in found[expected == number].unique().tolist()}
        assert merged(PUBLISHED[number]) in names
    assert (found == torch.tensor([MERGED.index(merged(name)) for name in PUBLISHED], dtype=torch.uint8)[expected]
            ).float().mean() > 0.999
    assert found.dtype == torch.uint8
    by_file = load_segmenter("segformer", folder / "model.safetensors")
    assert (segmenter.segment(images) == by_file.segment(images)).all()


def test_orders_of_parts(tiny, tmp_path):
    assert [FACES.labels[label] for label in label_order(tiny[0] / "config.json")] == PUBLISHED
    shuffled = PUBLISHED[::-1]
    other = with_config(tiny[0], tmp_path / "other", id2label=dict(enumerate(shuffled)))
    assert [FACES.labels[label] for label in label_order(other / "config.json")] == shuffled
    # the first config.json of that page named some parts wrongly: number 3 are glasses, as corrected, not an eye
    first = with_config(tiny[0], tmp_path / "first", id2label=dict(enumerate(FIRST_VERSION)))
    assert FIRST_VERSION[3] == "r_eye.png"
    assert [FACES.labels[label] for label in label_order(first / "config.json")] == PUBLISHED
    assert [merged(FACES.labels[label]) for label in ORDER] == [FACER_NAMES.get(name, name) for name in FACER]


class MadeFaRL(nn.Module):
    """Gives the number of the quarter of the image that a pixel lies in, and something more, as FaRL does."""

    def __init__(self, labels: int):
        super().__init__()
        self.labels = labels

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = torch.zeros(images.shape[0], self.labels, images.shape[2], images.shape[3])
        half = images.shape[2] // 2
        logits[:, 2, :half] = images[:, 0, :half]       # skin where the upper half is red
        logits[:, 10, half:] = 1.0                      # a nose below
        return logits, images


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")
def test_farl_from_torchscript(tmp_path):
    torch.jit.script(MadeFaRL(19)).save(str(tmp_path / "farl.pt"))
    segmenter = load_segmenter("farl", tmp_path / "farl.pt")
    images = torch.full((1, 3, 32, 32), -1.0)
    images[:, 0, :, 16:] = 1.0
    labels = segmenter.segment(images)[0]
    assert labels.dtype == torch.uint8
    assert (labels[20:] == MERGED.index("nose")).all()
    assert (labels[:12, 20:] == MERGED.index("skin")).all()
    assert (labels[:12, :12] == MERGED.index("background")).all()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")
def test_foreign_files(tiny, tmp_path):
    torch.jit.script(MadeFaRL(11)).save(str(tmp_path / "lapa.pt"))
    with pytest.raises(UserError, match="but that of LaPa, which knows neither neck"):
        load_segmenter("farl", tmp_path / "lapa.pt")
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(UserError, match=r"text\.pt: this is not FaRL's face segmenter .*get face_parsing\.farl"):
        load_segmenter("farl", tmp_path / "text.pt")
    with pytest.raises(UserError, match=r"absent: there is no such file; get config\.json and model\.safet"):
        load_segmenter("segformer", tmp_path / "absent")
    animals = with_config(tiny[0], tmp_path / "animals", id2label={"0": "cat", "1": "dog"})
    with pytest.raises(UserError, match=r"it describes a segformer of 2 labels, not a SegFormer of CelebAMask-HQ"):
        load_segmenter("segformer", animals)
    wider = with_config(tiny[0], tmp_path / "wider", decoder_hidden_size=16)
    with pytest.raises(UserError, match="these are not the weights of the SegFormer face segmenter"):
        load_segmenter("segformer", wider)
    deeper = with_config(tiny[0], tmp_path / "deeper", depths=[1, 3, 1, 1])
    with pytest.raises(UserError, match="missing keys"):
        load_segmenter("segformer", deeper)
    broken = with_config(tiny[0], tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError) as caught:
        load_segmenter("segformer", broken)
    assert "\n" not in str(caught.value)
    (broken / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json: these are not .*this is not its config\.json"):
        load_segmenter("segformer", broken)


def test_transformers_is_asked_for(monkeypatch, tiny):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(UserError, match="`face_segmenter` segformer needs transformers: pip install transformers"):
        load_segmenter("segformer", tiny[0])


def test_every_kind_can_be_asked_for():
    assert tuple(SEGMENTERS) == OPTIONS
    for kind in ("segformer", "farl"):
        with pytest.raises(UserError, match="there is no such file; get"):
            find_segmenter(kind, "nowhere/at_all.pt")
