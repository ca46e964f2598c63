"""Training of the small face segmenter. Everything is a function of the settings and the step: a run that was stopped
goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from datasets.training_set import ImagesDataset3D
from evaluation.face_segmentation.small_network import SegmenterConfig, SmallFaceSegmenter
from evaluation.metrics.segmentation import SegmentationScore, confusion_matrix, segmentation_score
from models.weight_files import read_file
from synth_heads.segmentation.augmentation import Augmentation, augment
from training.optimizers import build_optimizer, build_scheduler
from training.runtime.weight_average import WeightAverage
from utils.errors import UserError
from utils.images import from_bytes

RUN_FORMAT = "sem2nerf_parser_run"
SEGMENT_BATCH = 32


@dataclass(frozen=True)
class TrainSettings:
    """What the weights depend on, beside the data."""

    steps: int = 1500
    batch_size: int = 16
    learning_rate: float = 3e-3
    warmup: int = 50
    ema: float = 0.995
    seed: int = 0
    network: SegmenterConfig = field(default_factory=SegmenterConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels, in memory."""

    images: UInt8[Tensor, "count 3 size size"]
    labels: UInt8[Tensor, "count size size"]

    def __len__(self) -> int:
        return len(self.labels)


def read_all(dataset: ImagesDataset3D, track: Callable[[Iterable[int]], Iterable[int]] = lambda numbers: numbers,
             ) -> LabelledImages:
    """Read a data set into memory (64 kB per image of 128 pixels)."""
    count, first = len(dataset), dataset[0]
    images = torch.empty(count, *first["image"].shape, dtype=torch.uint8)
    labels = torch.empty(count, *first["label"].shape, dtype=torch.uint8)
    for index in track(range(count)):
        item = dataset[index]
        images[index], labels[index] = item["image"], item["label"]
    return LabelledImages(images, labels)


def segmentation_loss(logits: Float[Tensor, "batch classes size size"], labels: UInt8[Tensor, "batch size size"],
                 ) -> Float[Tensor, ""]:
    """Cross-entropy + 1 - mean soft IoU of the classes in the batch (small parts count as much as large ones)."""
    target = labels.long()
    entropy = F.cross_entropy(logits, target)
    probability = logits.softmax(1)
    truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(probability)
    both = (probability * truth).sum((0, 2, 3))
    size = truth.sum((0, 2, 3))
    iou = both / (probability.sum((0, 2, 3)) + size - both)
    return entropy + 1 - iou[size > 0].mean()


def read_run(path: Path, settings: TrainSettings) -> dict[str, Any]:
    """The checkpoint to go on from, for `SegmenterTrainer`; empty if there is none yet.

    Raises:
        UserError: it is of a run with other settings (but for the number of steps).
    """
    if not path.is_file():
        return {}
    contents = read_file(path)
    if not isinstance(contents, dict) or contents.get("format") != RUN_FORMAT or (
            {**contents["settings"], "steps": settings.steps} != asdict(settings)):
        raise UserError(f"`exp_dir` {path.parent}: {path.name} there is of a run with other settings; give another "
                        "folder, or delete it to start anew")
    return contents


class SegmenterTrainer:
    """
    Args:
        settings: of the run.
        data: what is trained on.
        earlier: contents of a checkpoint of this run; empty for a start.
        device: where the network computes.
    """

    def __init__(self, settings: TrainSettings, data: LabelledImages, earlier: Mapping[str, Any],
                 device: torch.device) -> None:
        self.settings, self.data, self.device = settings, data, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.net = SmallFaceSegmenter(settings.network).to(device, memory_format=torch.channels_last)
        self.optimizer = build_optimizer("adamw", self.net.parameters(), settings.learning_rate, weight_decay=0.01)
        self.average = WeightAverage(self.net, settings.ema)
        self.step = 0
        if earlier:
            self.step = earlier["step"]
            self.net.load_state_dict(earlier["net"])
            self.optimizer.load_state_dict(earlier["optimizer"])
            self.average.load(earlier["average"])
        self.scheduler = build_scheduler("cosine", self.optimizer, settings.steps, settings.warmup)
        self.scheduler.step_update(self.step)

    def train_step(self) -> float:
        """One optimiser step; returns the loss."""
        generator = _generator(self.settings.seed + 1, self.step)
        chosen = self._samples()
        images, labels = augment(from_bytes(self.data.images[chosen]), self.data.labels[chosen],
                                   self.settings.augmentation, generator)
        self.net.train()
        images = images.to(self.device, memory_format=torch.channels_last)
        loss = segmentation_loss(self.net(images), labels.to(self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self.average.update(self.step)
        self.scheduler.step_update(self.step)
        return loss.item()

    def _samples(self) -> Int[Tensor, " batch"]:
        """Numbers of this step's samples: every epoch goes through all of them in an order of its own."""
        count, batch = len(self.data), self.settings.batch_size
        places = range(self.step * batch, (self.step + 1) * batch)
        orders = {epoch: torch.randperm(count, generator=_generator(self.settings.seed, epoch))
                  for epoch in {place // count for place in places}}
        return torch.stack([orders[place // count][place % count] for place in places])

    def score(self, held_out: LabelledImages) -> SegmentationScore:
        """Of the averaged weights."""
        with self.average.in_place():
            return score(self.net, held_out)

    def contents(self) -> dict[str, Any]:
        """A checkpoint of the run."""
        with self.average.in_place():
            average = {name: value.detach().clone() for name, value in self.net.named_parameters()}
        return {"format": RUN_FORMAT, "settings": asdict(self.settings), "step": self.step,
                "net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), "average": average}


def score(net: SmallFaceSegmenter, held_out: LabelledImages,
          changed: Callable[[Tensor], Tensor] = lambda images: images) -> SegmentationScore:
    """How well a segmenter reads images, after `changed` (a blur, say) has been done to them."""
    net.eval()
    classes, device = net.config.classes, next(net.parameters()).device
    counts = torch.zeros(classes, classes, dtype=torch.long)
    for start in range(0, len(held_out), SEGMENT_BATCH):
        part = slice(start, start + SEGMENT_BATCH)
        labels = net.segment(changed(from_bytes(held_out.images[part])).to(device)).cpu()
        counts += confusion_matrix(labels, held_out.labels[part], classes)
    return segmentation_score(counts)


def _generator(seed: int, number: int) -> torch.Generator:
    """Random numbers of their own for each number (an epoch, a step)."""
    return torch.Generator().manual_seed(seed * 1_000_003 + number)
