"""What computer-made heads add to the training of an encoder: their known z, and pairs before and after an edit."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from datasets.sample_stream import BatchShard, SampleStream
from datasets.training_set import ExtraData, ImagesDataset3D
from models.sem2nerf import Sem2NeRF
from synth_heads.data.edit_pairs import PairStream, check_pairs, pairs_of
from synth_heads.data.known_z import KnownZ
from synth_heads.losses.known_z import EditLoss, KnownZLoss
from training.extension import Extension
from training.step import ExtraLoss


class KnownHeads(Extension):
    """See `training.extension.Extension`.

    Args:
        opts: of synth_heads/encoder/options.py.
    """

    def __init__(self, opts: Namespace) -> None:
        self.opts = opts

    def extra_data(self, root: Path, masks: list[Path]) -> ExtraData | None:
        opts = self.opts
        needed_by = [name for name in ("latent_lambda", "z_lambda") if getattr(opts, name)]
        return KnownZ(root, masks, opts.mirror, needed_by[0]) if needed_by else None

    def check(self, dataset: ImagesDataset3D) -> None:
        if self.opts.edit_lambda:
            check_pairs(pairs_of(dataset), len(dataset))

    def sampler(self, dataset: ImagesDataset3D, seed: int, shard: BatchShard, start: int) -> SampleStream:
        if not self.opts.edit_lambda:
            return super().sampler(dataset, seed, shard, start)
        return PairStream(pairs_of(dataset), seed, shard, start)

    def noise_position(self, position: int) -> int:
        """Before and after an edit are seen through the same rays."""
        return position - position % 2 if self.opts.edit_lambda else position

    def losses(self, net: Sem2NeRF) -> Sequence[ExtraLoss]:
        opts = self.opts
        edit = EditLoss(opts.edit_lambda if opts.l2_lambda else 0.0, opts.edit_lambda * opts.z_lambda)
        return edit.images, *self.validation_losses(net), edit.z

    def validation_losses(self, net: Sem2NeRF) -> Sequence[ExtraLoss]:
        weights = self.opts.latent_lambda, self.opts.z_lambda
        return (KnownZLoss(net.siren, *weights),) if any(weights) else ()
