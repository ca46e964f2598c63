"""The camera and compositing constants that a pretrained pi-GAN goes with."""

from dataclasses import dataclass

from configs.data_configs import canonical_curriculum


@dataclass(frozen=True)
class Curriculum:
    """One pi-GAN's geometry. Distances in world units (the camera is at distance 1 from the origin)."""

    name: str
    fov_deg: float  # edge to edge
    ray_start: float
    ray_end: float
    last_back: bool  # in training: the last sample takes the left-over weight
    eval_last_back: bool  # the same, at inference
    clamp_mode: str = "relu"


CURRICULUMS = {
    curriculum.name: curriculum
    for curriculum in (
        Curriculum("CelebAMask_HQ", fov_deg=12, ray_start=0.88, ray_end=1.12, last_back=True, eval_last_back=True),
        Curriculum("CatMask", fov_deg=18, ray_start=0.8, ray_end=1.2, last_back=False, eval_last_back=True),
    )
}


def get_curriculum(name: str) -> Curriculum:
    """Look up a curriculum by its name or its old name.

    Raises:
        UserError: there is none of that name.
    """
    return CURRICULUMS[canonical_curriculum(name)]
