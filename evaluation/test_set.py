"""The masks that a model is evaluated on: their poses, photographs and, where a head was seen from several sides,
another view of it.

    data = EvaluationSet.find("data/SynthHeads", data_config("synthheads_seg_to_3dface"))
    data.masks[0].pose, data.masks[0].novel
    data.truth(transform, size=128)[0]["label"]        # the true labels of the first mask, as the camera sees them
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from configs.data_configs import DataConfig
from datasets.inference_set import InferenceDataset
from datasets.layout import DEPTH_FOLDER, DEPTH_UNIT, images_of_heads
from datasets.masks.maps import MaskTransform
from datasets.poses import find_pose_file, image_id, read_poses
from datasets.split import describe, find_list, list_digest
from datasets.training_set import ImagesDataset3D, ImagesOptions
from utils.errors import UserError, settings_named

Pose = tuple[float, float]


@dataclass(frozen=True)
class OtherView:
    """The same head from another side."""

    path: Path          # its mask
    pose: Pose


@dataclass(frozen=True)
class TestMask:
    """One mask to render."""

    __test__ = False    # not a test, whatever pytest thinks of the name

    path: Path
    pose: Pose                    # yaw, pitch, radians
    novel: tuple[OtherView, ...] = ()    # views of the same head from other sides, where the data set says whose it is

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class EvaluationSet:
    """Masks of one data root."""

    root: Path
    config: DataConfig
    masks: tuple[TestMask, ...]
    source: str                   # in words: which masks these are, e.g. "the authors' test list (test_paths.txt)"
    split_sha256: str | None = None    # of the list, see `datasets.split.list_digest`; None: no list

    @staticmethod
    def find(data_path: str | Path, config: DataConfig, paths_list: str | Path | None = None,
             n_images: int | None = None) -> EvaluationSet:
        """Look up masks and poses.

        Args:
            data_path: a data root, or its folder of masks.
            paths_list: a list of masks; by default the root's test_paths.txt, or else that of a split of our own, or
                else all masks.
            n_images: only the first of them.

        Raises:
            UserError: masks, list or poses are missing.
        """
        path = Path(data_path)
        folder = next((path / name for name in config.mask_folders if (path / name).is_dir()), path)
        root = folder.parent
        paths_list = find_list(root, "test") if paths_list is None else paths_list
        with settings_named(paths_list="eval_paths_conf"):
            found = InferenceDataset(folder, config, paths_list=paths_list, use_original_pose=True, n_images=n_images)
        poses, novel = found.poses, _other_views(root, folder, found.paths, config)
        assert poses is not None, "asked for with use_original_pose"
        masks = tuple(TestMask(mask, poses[image_id(mask)], novel.get(mask, ())) for mask in found.paths)
        if paths_list is None:
            return EvaluationSet(root, config, masks, f"no split: all of {folder.name}/")
        return EvaluationSet(root, config, masks, describe(paths_list, config), list_digest(paths_list))

    @property
    def known_to_authors(self) -> str | None:
        """A word of caution for the authors' weights, unless these masks are those that they tested on."""
        if not self.config.authors_lists or ("test", self.split_sha256) in self.config.authors_lists:
            return None
        return (f"{self.source}: the authors' weights were trained on most of these faces, so their scores here are no "
                f"test; the authors' own test list is {self.config.authors_page}")

    def truth(self, transform: MaskTransform, size: int, merged: bool = True, novel: bool = False,
              label_order: str = "celebamask") -> ImagesDataset3D:
        """Labels, photographs and poses of all masks (or of their other views), framed as the model's camera does.

        Raises:
            UserError: a photograph is missing.
        """
        paths = [mask.novel[0].path if novel else mask.path for mask in self.masks]
        options = ImagesOptions(replace(transform, crop=self.config.crop).at(size), size, merged, use_contour=False,
                                label_order=label_order)
        return ImagesDataset3D(self.root, self.config, paths, options)

    @property
    def has_novel(self) -> bool:
        """Whether every mask has another view of its head."""
        return all(mask.novel for mask in self.masks)

    @property
    def has_depth(self) -> bool:
        return (self.root / DEPTH_FOLDER).is_dir()

    def depth(self, mask: Path, transform: MaskTransform, size: int) -> Float[Tensor, "size size"]:
        """True distances along the rays, infinite on the background, framed as the model's camera does.

        Raises:
            UserError: the image is missing.
        """
        path = self.root / DEPTH_FOLDER / f"{image_id(mask)}.png"
        try:
            with Image.open(path) as file:
                steps = np.asarray(file).astype(np.int32)
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{path}: this depth image cannot be read ({error}); build the data set again") from error
        steps = replace(transform, crop=self.config.crop).at(size).apply(steps)
        return torch.from_numpy(np.where(steps > 0, steps * DEPTH_UNIT, np.inf).astype(np.float32))


def _other_views(root: Path, folder: Path, paths: list[Path], config: DataConfig) -> dict[Path, tuple[OtherView]]:
    """For each mask the view of the same head whose yaw differs most, if it has a mask and a pose, too."""
    heads = images_of_heads(root)
    if heads is None:
        return {}
    poses = read_poses(find_pose_file(folder, config), config.pose_format)
    views = {int(identity): row for row in heads for identity in row}
    found = {}
    for path in paths:
        own = image_id(path)
        others = [int(other) for other in views.get(own, ()) if int(other) != own and int(other) in poses
                  and path.with_name(f"{int(other)}.png").is_file()]
        if others and path.stem == str(own):      # an edited mask has no image from another side
            best = max(others, key=lambda other: abs(poses[other][0] - poses[own][0]))
            found[path] = (OtherView(path.with_name(f"{best}.png"), poses[best]),)
    return found
