"""SynthHeads: free parametric 3D heads, rendered with colours, CelebAMask-HQ labels and depth from any view.

    head = Head.from_latent(np.random.default_rng(0).standard_normal(LATENT_DIM))
    view = render(head, yaw=np.pi / 2, pitch=np.pi / 2, size=256)   # view.rgb, view.labels, view.depth
"""

from synth_heads.generator.head import Head
from synth_heads.generator.latent import COLOUR, LATENT_DIM, LATENT_SLICES, SHAPE, mirror_latent
from synth_heads.generator.renderer import HeadView, render

__all__ = ["COLOUR", "LATENT_DIM", "LATENT_SLICES", "SHAPE", "Head", "HeadView", "mirror_latent", "render"]
