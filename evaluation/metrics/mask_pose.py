"""A head's pose from its mask: where nose, mouth and brows lie in the face.

    model = fit_pose([face_layout(mask) for mask in masks], poses)     # true masks with their true poses
    model.error_deg                                                    # how far it can be trusted, (yaw, pitch)
    yaw, pitch = model(face_layout(segmented_image))                   # radians

Landmark detectors bring weights of their own and are unsure about soft images; the face segmenter is there anyhow.
Yaw is read well (on computer-made heads r = .99 with the true one, half of the masks within a degree), pitch roughly
(r = .87, 2.3 degrees): a long nose looks like a lowered head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from configs.label_spaces import LABEL_SPACES
from evaluation.metrics.registry import Evaluation, Metric
from evaluation.metrics.segmentation import segmented

SPACE = LABEL_SPACES["CelebAMask_HQ_merged"]
FACE = ("skin", "nose", "eye_g", "eye", "brow", "mouth", "u_lip", "l_lip")
PLACES = (("nose",), ("mouth", "u_lip", "l_lip"), ("brow",))
FEWEST_PIXELS = 5      # of a part that has a place
FEWEST_MASKS = 60      # to fit 28 coefficients
RIDGE = 1e-3

Layout = Float[np.ndarray, " layout"]


def face_layout(labels: UInt8[np.ndarray, "height width"]) -> Layout | None:
    """(x, y) of nose, mouth and brows from the middle of the face, in roots of the face's area; None if one is hidden.

    Args:
        labels: of CelebAMask_HQ_merged.
    """
    face = _centre(labels, FACE)
    places = [place for parts in PLACES if (place := _centre(labels, parts)) is not None]
    if face is None or len(places) < len(PLACES):
        return None
    return np.concatenate([(place[:2] - face[:2]) / np.sqrt(face[2]) for place in places])


@dataclass(frozen=True)
class PoseModel:
    """A quadratic function of the face's layout, and its median error on masks left out of its fit."""

    coefficients: Float[np.ndarray, "terms 2"]
    error_deg: tuple[float, float]          # yaw, pitch; degrees

    def __call__(self, layout: Layout) -> tuple[float, float]:
        """Yaw and pitch, radians."""
        yaw, pitch = _terms(layout[None])[0] @ self.coefficients
        return float(yaw), float(pitch)


def fit_pose(layouts: Sequence[Layout | None], poses: Sequence[tuple[float, float]]) -> PoseModel | None:
    """Least squares (a ridge of 1e-3) over the masks that show all parts; None if those are fewer than 60.

    Args:
        poses: yaw and pitch of each mask, radians.
    """
    seen = [(layout, pose) for layout, pose in zip(layouts, poses, strict=True) if layout is not None]
    if len(seen) < FEWEST_MASKS:
        return None
    terms, target = _terms(np.stack([layout for layout, _ in seen])), np.array([pose for _, pose in seen])
    inverse = np.linalg.inv(terms.T @ terms + RIDGE * np.eye(terms.shape[1]))
    coefficients = inverse @ terms.T @ target
    # what a fit without mask i says about mask i, without fitting again: residual / (1 - leverage)
    leverage = np.einsum("nt,tu,nu->n", terms, inverse, terms)
    left_out = np.abs(target - terms @ coefficients) / (1 - leverage)[:, None]
    yaw, pitch = np.degrees(np.median(left_out, axis=0))
    return PoseModel(coefficients, (float(yaw), float(pitch)))


def _terms(layouts: Float[np.ndarray, "masks layout"]) -> Float[np.ndarray, "masks terms"]:
    first, second = np.triu_indices(layouts.shape[1])
    return np.column_stack([np.ones(len(layouts)), layouts, layouts[:, first] * layouts[:, second]])


def _centre(labels: UInt8[np.ndarray, "height width"], parts: Sequence[str]) -> Float[np.ndarray, " three"] | None:
    """Mean column, mean row and number of pixels of some parts."""
    rows, columns = np.nonzero(np.isin(labels, [SPACE.index(part) for part in parts]))
    return np.array([columns.mean(), rows.mean(), len(rows)]) if len(rows) >= FEWEST_PIXELS else None


def pose_accuracy(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """Median difference between the camera's pose and what the segmented image says, degrees.

    The reading is calibrated on the true masks of this set; `mask_...` are its own errors on these, each left out of
    the fit. Empty where too few masks show nose, mouth and brows.
    """
    views, poses = segmented(evaluation, "own"), [mask.pose for mask in evaluation.tests.data.masks]
    model = fit_pose([face_layout(labels.numpy()) for labels in views.true], poses)
    layouts = [face_layout(labels.numpy()) for labels in views.found]
    read = [(model(layout), pose) for layout, pose in zip(layouts, poses, strict=True)
            if model is not None and layout is not None]
    if model is None or len(read) < 2:
        evaluation.notes.append(f"pose: too few masks that show nose, mouth and brows, {FEWEST_MASKS} are needed")
        return {}
    found, asked = (np.degrees(values) for values in zip(*read, strict=True))
    yaw, pitch = np.median(np.abs(found - asked), axis=0).tolist()
    return {"pose_yaw_deg": yaw, "pose_pitch_deg": pitch, "mask_yaw_deg": model.error_deg[0],
            "mask_pitch_deg": model.error_deg[1], "pose_faces": len(read) / len(poses),
            "pose_yaw_correlation": float(np.corrcoef(found.T[0], asked.T[0])[0, 1])}


METRIC = Metric(
    needs={"pose": ("face_segmenter",)}, compute=pose_accuracy,
    scores={
        "pose_yaw_deg": ("yaw read from the segmented image, median error, degrees", "lower"),
        "pose_pitch_deg": ("pitch read from the segmented image, median error, degrees", "lower"),
        "mask_yaw_deg": ("the same reading of the true masks, yaw, degrees", ""),
        "mask_pitch_deg": ("the same reading of the true masks, pitch, degrees", ""),
        "pose_yaw_correlation": ("correlation of the yaw that was read with the camera's", "higher"),
        "pose_faces": ("fraction of the images whose face could be read", "higher"),
    })
