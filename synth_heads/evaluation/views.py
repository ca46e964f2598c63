"""The views of held-out heads that metrics look at, and what a model makes of the heads besides.

    tests = HeldOutViews.render(heads, checkpoint, folder, options)
    tests.truth("novel", 0)              # two views: what the generator shows from 25 degrees to both sides
    tests.shuffled(0)                    # the first head's pose, rendered from another head's mask
    tests.codes[0].decoder_psnr
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from datasets.masks.maps import merge_labels
from datasets.training_set import ImagesDataset3D
from evaluation.metrics.diversity import STYLES
from evaluation.metrics.image_quality import psnr
from evaluation.rendering import Renders, RenderSettings, SavedViews, load_model
from evaluation.test_views import TestViews, Track, TrueView, silent
from models.checkpoints import read_checkpoint
from models.config import ModelConfig
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from synth_heads.evaluation.heads import DATASET_TYPE, HeldOutHeads
from synth_heads.generator.renderer import HeadView
from synth_heads.losses.known_z import SHAPE_LAYERS
from utils.errors import UserError
from utils.images import to_tensor
from utils.parallel import process_map

STYLE_LAYERS = (6, 7, 8)
DECODER_SIZE = 64  # pixels of the decoder's own figure
SAMPLES = 24  # per ray, in each of two passes


@dataclass(frozen=True)
class HeadCodes:
    """What encoder and decoder make of one head."""

    predicted: Float[np.ndarray, " codes"]     # of the shape layers, from the mask
    true: Float[np.ndarray, " codes"]          # the same from the head's own z
    decoder_psnr: float                        # of the view from the head's own z, dB; nan: not rendered


def render_settings(checkpoint: Path, size: int, sampler: str) -> RenderSettings:
    """Views at `size` pixels, kept as they are computed.

    Raises:
        UserError: the checkpoint cannot be used, or its model does not read merged labels.
    """
    try:
        model = ModelConfig.from_contents(read_checkpoint(checkpoint))
    except UserError as error:
        raise UserError(f"`checkpoint_path` {checkpoint}: {error}") from error
    if not model.input.merged:
        raise UserError(f"`checkpoint_path` {checkpoint}: this model reads masks without merged labels; the figures of "
                        "held-out heads are for models that read merged ones")
    return RenderSettings(checkpoint, model, DATASET_TYPE, size, SAMPLES, sampler, STYLE_LAYERS, STYLES, rounded=False)


class HeldOutViews(TestViews):
    """Made by `render`."""

    def __init__(self, heads: HeldOutHeads, renders: Renders, shuffled: Renders | None, codes: list[HeadCodes],
                 track: Track) -> None:
        super().__init__(heads.data, renders, track)
        self.heads, self._shuffled, self.codes = heads, shuffled, codes

    @classmethod
    def render(cls, heads: HeldOutHeads, settings: RenderSettings, folder: Path, style_heads: int = 0,
               comparisons: bool = True, workers: int = 0, track: Track = silent) -> HeldOutViews:
        """Render what is not in the folder yet.

        Args:
            style_heads: the first heads, which are rendered in styles too.
            comparisons: also render with other heads' masks, and by the decoder alone.
            workers: processes; 0: in this one.

        Raises:
            UserError: the folder holds renders of another model, or a file cannot be written.
        """
        renders, shuffled = Renders.open(folder / "own", settings), None
        wanted = {"own": heads.count, "novel": heads.count, "styles": style_heads}
        todo = [(renders, heads.data, wanted)]
        if comparisons:
            shuffled = Renders.open(folder / "shuffled", settings)
            todo.append((shuffled, heads.shuffled, {"own": heads.count}))
        for each, data, views in todo:
            names = each.render_missing(data, views, workers, ["cpu"])
            for _ in track(names, "rendering", len(each.missing(data, views))):
                pass
        jobs = [(heads, settings, number, comparisons) for number in range(heads.count)]
        codes = list(process_map(head_codes, jobs, min(workers, len(jobs))) if workers else map(head_codes, jobs))
        return cls(heads, renders, shuffled, codes, track)

    @property
    def has_depth(self) -> bool:
        return True

    def labels(self, kind: str, index: int, merged: bool = True) -> UInt8[Tensor, "views size size"]:
        space, views = self.data.config.label_space, self._true_views(kind, index)
        return torch.stack([torch.from_numpy(merge_labels(view.labels, space) if merged else view.labels)
                            for view in views])

    def truth(self, kind: str, index: int) -> list[TrueView]:
        labels = self.labels(kind, index)
        return [TrueView(torch.from_numpy(view.rgb).permute(2, 0, 1), merged, torch.from_numpy(view.depth))
                for view, merged in zip(self._true_views(kind, index), labels, strict=True)]

    def photographs(self, kind: str = "own") -> ImagesDataset3D:
        raise NotImplementedError("held-out heads are no data set on disk; use `truth`")

    def shuffled(self, index: int) -> SavedViews:
        """The head's pose, rendered from another head's mask."""
        assert self._shuffled is not None, "rendered without comparisons"
        return self._shuffled.load("own", self.heads.shuffled.masks[index].name)

    def _true_views(self, kind: str, index: int) -> tuple[HeadView, ...]:
        views = self.heads.head(index).views
        return {"own": views[:1], "novel": views[1:], "styles": views[:1] * STYLES}[kind]


@torch.no_grad()
def head_codes(job: tuple[HeldOutHeads, RenderSettings, int, bool]) -> HeadCodes:
    """Encode one head's mask, and let the decoder draw the head from its own z."""
    heads, settings, number, with_decoder = job
    net, head = load_model(settings.checkpoint, settings.model), heads.head(number)
    predicted = net.encode(net.read(heads.path(number, "png"))[None])
    plain = net.siren.mapping_network(torch.from_numpy(head.plain_z)[None])
    score = math.nan
    if with_decoder:
        known = net.siren.mapping_network(torch.from_numpy(head.z)[None])
        view = net.scene_of(known).render(Camera(*head.angles[0].tolist()), settings.size, settings.samples,
                                          sampler=settings.sampler)
        # both reduced alike: a pixel of the truth is the mean of its area, not the colour of its middle
        both = F.interpolate(torch.stack([view.rgb, to_tensor(head.free.rgb)]), (DECODER_SIZE,) * 2, mode="bilinear",
                             antialias=True)
        score = psnr(*both)
    width = net.config.width
    return HeadCodes(shape_codes(predicted, width), shape_codes(plain, width), score)


def shape_codes(codes: Codes, width: int) -> Float[np.ndarray, " codes"]:
    """Frequencies and phase shifts of the shape layers of one scene."""
    columns = slice(0, SHAPE_LAYERS * width)
    return torch.cat([codes.frequencies[0, columns], codes.phase_shifts[0, columns]]).numpy()
