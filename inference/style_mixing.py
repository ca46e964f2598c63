"""Heads in other colours, and between one another: strips and grids of styles, frames of videos.

    mixer = StyleMixer(ViewRenderer(net), layers=(6, 7, 8))
    images = mixer.in_styles(codes, [0, 1, 2])                    # one image for each seed
    for frame in mixer.between(first, last, cameras): ...         # from one head to another while the camera turns
    for frame in mixer.sequence(codes_of_masks, cameras): ...     # numbered masks, one palette
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from inference.view_renderer import ViewRenderer
from models.pigan.cameras import Camera
from models.pigan.codes import Codes

FRONT = Camera()
Image = UInt8[np.ndarray, "size size 3"]


@dataclass(frozen=True)
class StyleMixer:
    """Replaces the codes of some layers of heads and renders them.

    Args:
        renderer: of the views.
        layers: FiLM layers, 0 to 8, whose codes come from a style.
        weight: 1 replaces those codes, less blends them.
    """

    renderer: ViewRenderer
    layers: tuple[int, ...] = (6, 7, 8)
    weight: float = 1.0

    def styled(self, codes: Codes, style: int | Codes) -> Codes:
        """A head in the style of a seed, or of the head whose codes are given."""
        return self.renderer.net.styled(codes, style, self.layers, self.weight)

    def in_styles(self, codes: Codes, styles: Iterable[int | Codes], camera: Camera = FRONT) -> Iterator[Image]:
        """One image for each style."""
        yield from self._views(codes, ((self.styled(codes, style), camera) for style in styles))

    def between(self, first: Codes, last: Codes, cameras: Sequence[Camera]) -> Iterator[Image]:
        """One image for each camera, from the head `first` to the head `last`, slow at both ends."""
        steps = (index / max(1, len(cameras) - 1) for index in range(len(cameras)))
        yield from self._views(first, ((first.lerp(last, eased(step)), camera)
                                       for step, camera in zip(steps, cameras, strict=True)))

    def sequence(self, heads: Iterable[Codes], cameras: Iterable[Camera], style: int | None = None
                 ) -> Iterator[Image]:
        """One image for each head, all in one style: that of a seed, or the colours of the first head."""
        def styled() -> Iterator[tuple[Codes, Camera]]:
            shared: int | Codes | None = style
            for codes, camera in zip(heads, cameras, strict=True):
                shared = codes if shared is None else shared
                yield self.styled(codes, shared), camera

        shown = styled()
        first = next(shown)
        yield from self._views(first[0], chain([first], shown))

    def _views(self, like: Codes, shown: Iterable[tuple[Codes, Camera]]) -> Iterator[Image]:
        """One image of each of these heads, which are alike: how samples are placed is found out on one of them."""
        renderer = self.renderer.settled(self.renderer.scene(like))
        for codes, camera in shown:
            yield from renderer.views(renderer.scene(codes), [camera])


def eased(part: float) -> float:
    """0..1 -> 0..1, slow at both ends."""
    return (1 - math.cos(math.pi * part)) / 2


def by_number(paths: Sequence[Path]) -> list[Path]:
    """In the order of the numbers in their names: frame_2 before frame_10. Names without numbers go by their text."""
    def key(path: Path) -> list[tuple[int, str]]:
        parts = re.split(r"([0-9]+)", path.stem)
        return [(-1, part) if index % 2 == 0 else (int(part), "") for index, part in enumerate(parts)]

    return sorted(paths, key=key)
