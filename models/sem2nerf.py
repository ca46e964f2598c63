"""The whole model: mask -> codes -> scene.

    net = Sem2NeRF.from_checkpoint("pretrained_models/sem2nerf_demo.pt")
    scene = net.scene("90001.png")                                    # or an array of labels, or network input
    scene = net.scene("90001.png", style_seed=92, style_layers=[8])   # colours of a random style
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from datasets.masks.files import Encoding
from datasets.masks.mask_input import Mask, MaskInput
from datasets.masks.relabel import merged_to
from models.checkpoints import latent_avg_of, read_checkpoint
from models.config import ModelConfig
from models.encoders.swin import SwinEncoder
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import FILM_LAYERS, FilmSiren, mean_code, style_code
from models.scene import Scene
from utils.errors import UserError


class Decoder(nn.Module):
    """Holds the field under the name that published weights use for it."""

    def __init__(self, width: int, z_dim: int) -> None:
        super().__init__()
        self.siren = FilmSiren(width, z_dim)


class Sem2NeRF(nn.Module):
    """Encoder, decoder and the decoder's mean code."""

    _mean_frequencies: Tensor
    _mean_phase_shifts: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = SwinEncoder(config.encoder_type, config.input_nc, config.input_size, config.code_dim)
        self.decoder = Decoder(config.width, config.z_dim)
        self.set_latent_avg(mean_code(self.siren, samples=1))
        self.semantic_head: SemanticHead | None = None  # like the mean code, beside the weights in a checkpoint

    @classmethod
    def from_checkpoint(cls, path: str | Path, device: str | torch.device = "cpu") -> Sem2NeRF:
        """Build a model from a checkpoint of either layout, ready for inference.

        Raises:
            UserError: the file cannot be used (see `models.checkpoints.read_checkpoint`), or its weights do not fit the
                architecture that its options name.
        """
        return cls.from_contents(read_checkpoint(path), path).to(device)

    @classmethod
    def from_contents(cls, contents: Mapping[str, Any], source: str | Path, config: ModelConfig | None = None
                      ) -> Sem2NeRF:
        """The same from a file already read; `source` is named in errors, `config` replaces what the file says."""
        try:
            config = config or ModelConfig.from_contents(contents)
        except UserError as error:
            raise UserError(f"{source}: its options do not describe a model: {error}") from error
        net = cls(config)
        net.load_weights(contents["state_dict"], source)
        net.set_latent_avg(latent_avg_of(contents, source, FILM_LAYERS * config.width) or mean_code(net.siren))
        if contents.get("semantic") is not None:
            net.semantic_head = SemanticHead.from_state(contents["semantic"], source, config.width)
        return net.eval().requires_grad_(False)

    @property
    def input(self) -> MaskInput:
        """How this model reads masks."""
        return self.config.input

    @property
    def siren(self) -> FilmSiren:
        return self.decoder.siren

    @property
    def latent_avg(self) -> Codes:
        """The decoder's mean code, a batch of one."""
        return Codes(self._mean_frequencies, self._mean_phase_shifts)

    def set_latent_avg(self, codes: Codes) -> None:
        # kept out of the state dict: checkpoints hold it beside the weights
        self.register_buffer("_mean_frequencies", codes.frequencies, persistent=False)
        self.register_buffer("_mean_phase_shifts", codes.phase_shifts, persistent=False)

    def load_weights(self, state: Mapping[str, Tensor], source: str | Path) -> None:
        """Load native-layout weights; every one must be there and fit.

        Raises:
            UserError: naming the first weight that is missing, left over, of another shape, or not finite.
        """
        own = self.state_dict()
        for problem, keys in (("lacks", own.keys() - state.keys()), ("has an unknown", state.keys() - own.keys())):
            if keys:
                raise UserError(f"{source}: {problem} weight {min(keys)} ({len(keys)} such); it does not fit the "
                                f"architecture its options name ({self.config.encoder_type}, field width "
                                f"{self.config.width}); use the checkpoint with its own options")
        for key, value in own.items():
            if not state[key].isfinite().all():
                raise UserError(f"{source}: weight {key} holds values that are not finite, as after a training that "
                                "diverged; use an earlier checkpoint")
            if value.shape != state[key].shape:
                raise UserError(f"{source}: weight {key} has shape {tuple(state[key].shape)}, but its options call for "
                                f"{tuple(value.shape)}; use the checkpoint with its own options")
        self.load_state_dict(state)

    def read(self, mask: Mask, encoding: Encoding = "auto") -> Float[Tensor, "channels size size"]:
        """Network input of a mask: a PNG file, or an array of its label numbers. On the model's device.

        Raises:
            UserError: this is no mask that the model can read; see `datasets.masks.mask_input.MaskInput.labels`.

        Warns:
            MaskWarning: it can be read, but is probably not what its owner thinks.
        """
        return self.input.read(mask, encoding).to(self.latent_avg.frequencies.device)

    def encode(self, masks: Float[Tensor, "batch channels height width"]) -> Codes:
        """Codes of a batch of masks (network input)."""
        return self.codes_of(self.encoder(masks))

    def codes_of(self, out: Float[Tensor, "batch out"]) -> Codes:
        """Codes that the encoder's output stands for: it is those codes, or a z."""
        codes = self.siren.mapping_network(out) if self.config.encoder_predicts_z else Codes(*out.chunk(2, dim=-1))
        return codes + self.latent_avg if self.config.start_from_latent_avg else codes

    def styled(self, codes: Codes, style: int | Codes, layers: Iterable[int], alpha: float = 1.0) -> Codes:
        """Codes with those of some layers taken (or, with alpha < 1, blended) from a style: a seed or codes."""
        style = style_code(self.siren, style) if isinstance(style, int) else style
        return codes.with_layers_from(style, layers, self.siren.width, alpha)

    @torch.no_grad()
    def scene(self, mask: Mask | Float[Tensor, "channels size size"] | Float[np.ndarray, "channels size size"],
              style_seed: int | None = None, style_layers: Iterable[int] = (8,), alpha: float = 1.0) -> Scene:
        """Decode one mask into a scene.

        Args:
            mask: a PNG file, an array of its label numbers, or network input as `read` gives it.
            style_seed: draws the style that replaces the codes of `style_layers`; None keeps the mask's own.
            style_layers: FiLM layers, 0 to 8; the last ones decide about colours.
            alpha: 1 replaces those codes, less blends them.

        Raises:
            UserError: see `read`.
            ValueError: network input of another shape than this model's.
        """
        x = self.read(mask) if isinstance(mask, (str, Path)) or mask.ndim == 2 else torch.as_tensor(mask)
        shape = (self.config.input_nc, self.config.input_size, self.config.input_size)
        if tuple(x.shape) != shape:
            raise ValueError(f"network input of this model has shape {shape}, got {tuple(x.shape)}")
        codes = self.encode(x[None].to(self.latent_avg.frequencies))
        if style_seed is not None:
            codes = self.styled(codes, style_seed, style_layers, alpha)
        return self.scene_of(codes)

    def scene_of(self, codes: Codes, max_block: int | None = None, precision: str = "fp32") -> Scene:
        """A scene from codes of a batch of one; see `Scene` for the rest."""
        return Scene(self.siren, codes, self.config.camera, max_block, precision, self.semantic_head)

    def edit(self, scene: Scene, edited_labels: UInt8[np.ndarray, "size size"], camera: Camera | None = None) -> Scene:
        """A scene of this model, changed to show edited labels from some side; for the way see `edited_codes`.

        `editing.editor` has more: refinement, and a report of what has changed.

        Args:
            edited_labels: the labels of `scene.render(camera, size, labels=True)`, some of them changed.
            camera: default: frontal.

        Raises:
            UserError: the model has no semantic head, or see `edited_codes`.
        """
        labels = scene.render(camera, len(edited_labels), labels=True).labels
        assert labels is not None
        return self.scene_of(self.edited_codes(scene, edited_labels, labels.numpy()))

    @torch.no_grad()
    def edited_codes(self, scene: Scene, edited: UInt8[np.ndarray, "size size"],
                     unedited: UInt8[np.ndarray, "size size"]) -> Codes:
        """Delta encoding: the scene's codes + E(edited) - E(unedited).

        What the encoder E gets wrong about a map that was rendered, and about this side, is in both terms and cancels.

        Args:
            edited, unedited: labels of one view, as the scene's semantic head numbers them.

        Raises:
            UserError: a map is background all over, or the semantic head does not tell apart what the encoder does.
        """
        source, target = scene.labelled_field.head.space, self.input.network_space
        if target not in (source, source.merged):
            raise UserError(f"the semantic head knows the labels of {source.name}, the encoder needs those of "
                            f"{target.name}; train a `semantic_head` with these")
        maps = [self.input.read_seen(merged_to(labels, source, target)) for labels in (edited, unedited)]
        codes = self.encode(torch.stack(maps).to(self.latent_avg.frequencies))
        return scene.codes + (codes[0] - codes[1])
