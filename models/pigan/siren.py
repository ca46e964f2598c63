"""pi-GAN's radiance field: a FiLM-conditioned SIREN, and the mapping network that makes its codes.

Chan et al., "pi-GAN: Periodic Implicit Generative Adversarial Networks for 3D-Aware Image Synthesis", CVPR 2021;
sine initialisation from Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions", 2020.
Module names give the state-dict keys of the published weights.
"""

import math
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.pigan.codes import Codes

FREQUENCY_SCALE, FREQUENCY_OFFSET = 15.0, 30.0
BOX_SCALE = 2 / 0.24  # the field was trained on a cube of side 0.24, stretched to [-1, 1]
MAPPING_WIDTH = 256  # hidden units of the mapping network
DENSITY_LAYERS = 8
FILM_LAYERS = DENSITY_LAYERS + 1  # the last one is the colour layer
LOCKED_DIRECTION = (0.0, 0.0, -1.0)


class FilmLayer(nn.Module):
    """sin(frequency * (W x + b) + phase)."""

    def __init__(self, in_dim: int, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(in_dim, width)

    def forward(self, x: Float[Tensor, "batch points inputs"], frequency: Float[Tensor, "batch width"],
                phase: Float[Tensor, "batch width"]) -> Float[Tensor, "batch points width"]:
        return torch.sin(frequency[:, None] * self.layer(x) + phase[:, None])


class MappingNetwork(nn.Module):
    """z -> codes of every FiLM layer: four linear layers with leaky ReLUs (0.2) between them."""

    def __init__(self, z_dim: int, codes_dim: int) -> None:
        super().__init__()
        widths = z_dim, *[MAPPING_WIDTH] * 3, 2 * codes_dim
        *hidden, last = (nn.Linear(fan_in, fan_out) for fan_in, fan_out in pairwise(widths))
        self.network = nn.Sequential(*(part for linear in hidden for part in (linear, nn.LeakyReLU(0.2))), last)
        for linear in (*hidden, last):
            nn.init.kaiming_normal_(linear.weight, a=0.2, mode="fan_in", nonlinearity="leaky_relu")
        with torch.no_grad():
            last.weight.mul_(0.25)

    def forward(self, z: Float[Tensor, "batch z_dim"]) -> Codes:
        return Codes(*self.network(z).chunk(2, dim=-1))


class FilmSiren(nn.Module):
    """The field: (position, direction, codes) -> (colour, density).

    Args:
        width: units of every hidden layer (256 in the published models).
        z_dim: length of the mapping network's input.
    """

    def __init__(self, width: int = 256, z_dim: int = 256) -> None:
        super().__init__()
        self.width, self.z_dim = width, z_dim
        self.network = nn.ModuleList(FilmLayer(3 if i == 0 else width, width) for i in range(DENSITY_LAYERS))
        self.final_layer = nn.Linear(width, 1)
        self.color_layer_sine = FilmLayer(width + 3, width)
        self.color_layer_linear = nn.Sequential(nn.Linear(width, 3))
        self.mapping_network = MappingNetwork(z_dim, FILM_LAYERS * width)
        *density, colour = self.sine_layers
        for linear in (*density, self.final_layer, colour, self.colour_output):
            bound = math.sqrt(6 / linear.in_features) / 25
            nn.init.uniform_(linear.weight, -bound, bound)
        nn.init.uniform_(density[0].weight, -1 / 3, 1 / 3)

    @property
    def sine_layers(self) -> list[nn.Linear]:
        """The linear layers under the nine sines; the last one is that of the colour layer."""
        return [cast(FilmLayer, film).layer for film in (*self.network, self.color_layer_sine)]

    @property
    def colour_output(self) -> nn.Linear:
        return cast(nn.Linear, self.color_layer_linear[0])

    def modulation(self, codes: Codes
                  ) -> tuple[Float[Tensor, "batch layers width"], Float[Tensor, "batch layers width"]]:
        """Raw codes -> the frequency and phase that each layer applies."""
        shape = (len(codes), FILM_LAYERS, self.width)
        return (codes.frequencies.reshape(shape) * FREQUENCY_SCALE + FREQUENCY_OFFSET,
                codes.phase_shifts.reshape(shape))

    def forward(self, points: Float[Tensor, "batch points 3"], codes: Codes,
                directions: Float[Tensor, "batch points 3"] | None = None
               ) -> tuple[Float[Tensor, "batch points 3"], Float[Tensor, "batch points"]]:
        """Evaluate the field, layer by layer as it is defined (differentiable in everything).

        Args:
            points: world positions.
            directions: unit vectors of the rays the points lie on; None locks the view dependence to (0, 0, -1).

        Returns:
            colour in (0, 1), and density before its clamp to positive values.
        """
        frequency, phase = self.modulation(codes)
        x = points * BOX_SCALE
        for i, film in enumerate(self.network):
            x = film(x, frequency[:, i], phase[:, i])
        density = self.final_layer(x)[..., 0]
        if directions is None:
            directions = points.new_tensor(LOCKED_DIRECTION).expand_as(points)
        x = self.color_layer_sine(torch.cat([directions, x], -1), frequency[:, -1], phase[:, -1])
        return torch.sigmoid(self.color_layer_linear(x)), density


@torch.no_grad()
def mean_code(siren: FilmSiren, samples: int = 10_000, seed: int = 0) -> Codes:
    """The mapping network's mean output over z ~ N(0, I): what `start_from_latent_avg` adds to the encoder's output.

    z is drawn on the CPU, so that a seed means the same numbers on every device.
    """
    z = torch.randn(samples, siren.z_dim, generator=torch.Generator().manual_seed(seed))
    codes = siren.mapping_network(z.to(siren.final_layer.weight.device))
    return Codes(codes.frequencies.mean(0, keepdim=True), codes.phase_shifts.mean(0, keepdim=True))


@torch.no_grad()
def style_code(siren: FilmSiren, seed: int) -> Codes:
    """The codes of a random z: the same numbers as `torch.manual_seed(seed); torch.randn(1, z_dim)` on the CPU."""
    z = torch.randn(1, siren.z_dim, generator=torch.Generator().manual_seed(seed))
    return siren.mapping_network(z.to(siren.final_layer.weight.device))
