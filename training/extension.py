"""Where a data set that holds more than photographs enters the training of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets.sample_stream import BatchShard, SampleStream
from datasets.training_set import ExtraData, ImagesDataset3D
from models.sem2nerf import Sem2NeRF
from training.step import ExtraLoss


class Extension:
    """What is added to the paper's training. This one adds nothing; override what you need."""

    def extra_data(self, root: Path, masks: list[Path]) -> ExtraData | None:
        """What each sample holds besides mask, photograph and pose; it arrives as `Batch.extra`.

        Raises:
            UserError: the data set does not have it.
        """
        return None

    def check(self, dataset: ImagesDataset3D) -> None:
        """
        Raises:
            UserError: this cannot be trained on.
        """

    def sampler(self, dataset: ImagesDataset3D, seed: int, shard: BatchShard, start: int) -> SampleStream:
        """The order in which samples are read, from a position on."""
        return SampleStream(len(dataset), seed, shard, start)

    def noise_position(self, position: int) -> int:
        """The position whose random numbers (patch, ray noise, stochastic depth) the sample at `position` gets."""
        return position

    def losses(self, net: Sem2NeRF) -> Sequence[ExtraLoss]:
        """Further terms of a step's loss."""
        return ()

    def validation_losses(self, net: Sem2NeRF) -> Sequence[ExtraLoss]:
        """Further terms of the validation loss; they see no images."""
        return ()
