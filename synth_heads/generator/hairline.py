"""Where hair grows: the polar angle of the hair line as a function of the azimuth around the head."""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

# Degrees: azimuth from the front, polar angle from the top of the head. 74: side burn, 92: above the ear, 180: nape.
_AZIMUTH = [0, 22, 38, 50, 60, 67, 74, 81, 88, 96, 106, 116, 130, 150, 180]
_POLAR = [52, 54, 58, 63, 72, 86, 99, 99, 88, 86, 92, 112, 127, 133, 135]
_CURVE = PchipInterpolator(np.radians([-a for a in _AZIMUTH[:0:-1]] + _AZIMUTH), np.radians(_POLAR[:0:-1] + _POLAR))


def hairline_polar(azimuth: Float[np.ndarray, "*any"], recede: float = 0.0) -> Float[np.ndarray, "*any"]:
    """Polar angle (radians) of the hair line at an azimuth in -pi..pi, 0 at the front.

    `recede` in 0..1 moves it back, most at the temples' corners.
    """
    corner = np.exp(-(((np.abs(azimuth) - 0.62) / 0.33) ** 2))
    front = np.exp(-((azimuth / 0.8) ** 2))
    return _CURVE(azimuth) - recede * (np.radians(16) * corner + np.radians(9) * front)
