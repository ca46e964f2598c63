"""What the training loop needs to know of a run: its step, its validation, and what belongs in a checkpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from models.pigan.codes import Codes
from training.validation import Validation
from utils.errors import UserError
from utils.panels import Image


@dataclass(frozen=True)
class StepResult:
    """What a step of one process was."""

    losses: list[tuple[dict[str, Float[Tensor, ""]], list[str]]]  # per micro-batch: by name, and its samples' names
    samples: int  # over all processes
    panel: Image | None = None  # for looking at
    waited: float = 0.0  # seconds that this process waited for data


class Objective(ABC):
    """What a run learns. Subclasses set the attributes and define the abstract methods.

    Attributes:
        opts: all options of the run, also those that follow from others.
        model: what the run is for, a checkpoint's `state_dict`; it may be averaged over the steps.
        modules: other networks that train (none, if it is not set), and `optimizers` of all, by the names a checkpoint
            keeps them under.
        step_samples: samples of one step over all processes; for checkpoints that do not say how many were seen.
    """

    opts: Namespace
    model: nn.Module
    modules: Mapping[str, nn.Module] = MappingProxyType({})
    optimizers: Mapping[str, Optimizer]
    step_samples: int = 0

    @abstractmethod
    def schedule(self, step: int) -> None:
        """Set the learning rates of step number `step` (from 0)."""

    @abstractmethod
    def step(self, step: int, samples_seen: int) -> StepResult:
        """Take step number `step` (from 0), without schedules and averages.

        Args:
            samples_seen: by the steps before, over all processes.
        """

    @abstractmethod
    def validate(self, stopped: Callable[[], bool]) -> Validation | None:
        """Metrics, of which `loss` chooses the best checkpoint, and a panel (call it on every process). None where
        there is nothing to validate on.

        Args:
            stopped: whether to give up (the result is None then).
        """

    @abstractmethod
    def mean_code(self) -> Codes:
        """The decoder's mean FiLM codes, with the weights that `model` has now."""

    @property
    def measure(self) -> Mapping[str, Any]:
        """What the validation loss is made of: losses of another measure do not compare."""
        return {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """Further plain entries of a checkpoint."""
        return {}

    def restore(self, contents: Mapping[str, Any]) -> None:
        """Take over weights and optimisers of a checkpoint of the run.

        Raises:
            UserError: it does not fit.
        """
        try:
            self.model.load_state_dict(contents.get("train_state_dict", contents["state_dict"]))
            for part in (self.modules, self.optimizers):
                for name, module in part.items():
                    module.load_state_dict(contents[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(f"`exp_dir` {self.opts.exp_dir}: its checkpoint is of another kind of run "
                            f"({str(error).splitlines()[0]}); give that run's options, or `overwrite` it") from error

    def export(self, folder: Path, contents: Mapping[str, Any]) -> None:  # noqa: B027 - most have none
        """Write further files beside a checkpoint (on the main process)."""

    def close(self) -> None:  # noqa: B027 - some have nothing to end
        """End what `step` has started, such as loader processes."""
