"""The networks that measure: Inception for distances between sets of images, AlexNet for LPIPS, a face segmenter.

    files = NetworkFiles(segmenter="bisenet")
    networks = Networks.load(needed={"face_segmenter"}, wanted={"lpips"}, files, device)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from criteria.perceptual import Perceptual, find_alexnet
from evaluation.face_segmentation.registry import FaceSegmenter, find_segmenter, load_segmenter
from utils.errors import UserError

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
WITHOUT_LPIPS = "leave lpips_diversity out of `metrics` to go without"

PerceptualDistance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class NetworkFiles:
    """What the user gave; None: the usual places. `face_segmenter` is the kind of network."""

    inception: str | Path | None = None
    lpips: str | Path | None = None
    face_segmenter: str = "synthheads"
    segmenter_weights: str | Path | None = None

    def find(self, network: str, optional: bool = False) -> Path | None:
        """The file of a network by the name that metrics have for it.

        Args:
            optional: None where it lies in none of the usual places.

        Raises:
            UserError: it is not there; the message says where to get it.
        """
        finders: dict[str, tuple[str | Path | None, Callable[[], Path]]] = {
            "inception": (self.inception, lambda: find_inception(self.inception)),
            "lpips": (self.lpips, lambda: find_alexnet(self.lpips, *([] if optional else [WITHOUT_LPIPS]))),
            "face_segmenter": (self.segmenter_weights,
                               lambda: find_segmenter(self.face_segmenter, self.segmenter_weights)),
        }
        given, find = finders[network]
        try:
            return find()
        except UserError:
            if optional and given is None:
                return None
            raise


@dataclass
class Networks:
    """Those that the metrics of an evaluation need; `files` are theirs, by name."""

    device: torch.device
    face_segmenter: FaceSegmenter | None = None
    perceptual: PerceptualDistance | None = None
    files: dict[str, Path] = field(default_factory=dict)

    @staticmethod
    def load(needed: Collection[str], wanted: Collection[str], files: NetworkFiles, device: torch.device) -> Networks:
        """
        Args:
            needed: names of networks (inception, lpips, face_segmenter) that a metric cannot do without.
            wanted: names of those that are used where their files are there.

        Raises:
            UserError: the file of a needed network is missing, or a file holds something else.
        """
        names = [name for name in ("inception", "lpips", "face_segmenter") if name in needed or name in wanted]
        found = {name: files.find(name, optional=name not in needed) for name in names}
        out = Networks(device, files={name: path for name, path in found.items() if path is not None})
        if "face_segmenter" in out.files:
            out.face_segmenter = load_segmenter(files.face_segmenter, out.files["face_segmenter"], device)
        if "lpips" in out.files:
            network = Perceptual(out.files["lpips"]).to(device)
            out.perceptual = lambda image, target: network(image.to(device), target.to(device))
        return out


def find_inception(weights: str | Path | None) -> Path:
    """The Inception weights' file, proved to hold the tensors of the network that FID is defined with, and no more.

    Raises:
        UserError: it is not given or not there (the message says what to get), or it is something else; or there is no
            torch-fidelity.
    """
    if weights is None or not Path(weights).is_file():
        was = "needs a file" if weights is None else f"{weights}: there is no such file"
        raise UserError(f"`inception_weights` {was}; download {INCEPTION_URL} (about 91 MB) and name it with "
                        f"`inception_weights` pretrained_models/{INCEPTION_FILE}, or leave fid, kid, is and prc out of "
                        "`metrics`")
    try:  # torch-fidelity itself would run code that a file brings along
        torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"`inception_weights` {weights}: this is not a file of weights ({type(error).__name__}); get "
                        f"{INCEPTION_URL} again") from error
    import_fidelity()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        with torch.device("meta"), warnings.catch_warnings():  # names and shapes alone are compared
            warnings.simplefilter("ignore")
            FeatureExtractorInceptionV3("inception", ["2048"], str(weights))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(f"`inception_weights` {weights}: these are not the weights of the Inception network that "
                        f"FID is defined with; get {INCEPTION_URL}") from error
    return Path(weights)


def import_fidelity():
    """torch-fidelity.

    Raises:
        UserError: it is not installed.
    """
    try:
        import torch_fidelity
    except ModuleNotFoundError as error:
        raise UserError("`metrics` fid,kid,is,prc need torch-fidelity: pip install torch-fidelity, or leave them out"
                        ) from error
    return torch_fidelity
