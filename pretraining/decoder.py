"""What all trainings of a decoder alone have in common: its start weights, its keys in a checkpoint, generator.pth."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.pigan.codes import Codes
from models.pigan.siren import FilmSiren, mean_code
from models.start_weights import load_siren
from training.objectives.objective import Objective
from utils.files import atomic_path

GENERATOR = "generator.pth"  # the decoder in the layout of published pi-GAN weights


class DecoderObjective(Objective):
    """An objective whose model is a decoder; call `start_from` before you make the optimisers."""

    siren: FilmSiren

    def start_from(self, siren: FilmSiren, contents: Mapping[str, Any] | None, report: Callable[[str], None]) -> None:
        """Take `siren` as the decoder, with the weights of `pigan_weights` if a new run names such a file.

        Args:
            siren: on its device.
            contents: a checkpoint of the run, if it is continued.

        Raises:
            UserError: the weights do not fit.
        """
        self.siren = siren
        self.model = nn.ModuleDict({"decoder": nn.ModuleDict({"siren": siren})})  # keys of Sem2NeRF's state dict
        if self.opts.pigan_weights and contents is None:
            load_siren(siren, self.opts.pigan_weights)
            report(f"decoder: {self.opts.pigan_weights}")
        self.opts = Namespace(**{**vars(self.opts), "pigan_zdim": siren.z_dim})

    def mean_code(self) -> Codes:
        return mean_code(self.siren)

    def export(self, folder: Path, contents: Mapping[str, Any]) -> None:
        with atomic_path(folder / GENERATOR) as path:
            torch.save({key.removeprefix("decoder."): value for key, value in contents["state_dict"].items()}, path)
