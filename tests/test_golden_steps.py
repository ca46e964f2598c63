"""The steps inside encoder, field and renderer against the official code's: where a difference begins, if there is one.

tests/test_models_golden.py compares what comes out at the end; its fixtures are used here too.
"""

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from test_models_golden import assert_close, masks, net, official, siren_inputs, tag  # noqa: F401

from models.pigan import render as definition
from models.pigan.cameras import camera_origins, camera_to_world, patch_rays, pixel_directions, rotate
from models.pigan.codes import Codes
from models.pigan.fast import render as fast
from models.pigan.fast.fold import FoldedField
from models.pigan.integration import composite
from models.pigan.sampling import RayNoise, importance_depths, stratified_depths
from training.patches import PatchConfig, draw_patches


def outputs_of(modules, call):
    """What each of the named modules returned during `call()`."""
    seen = {}
    hooks = [module.register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, out))
             for name, module in modules.items()]
    try:
        with torch.no_grad():
            call()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def test_encoder_blocks(net, masks, tag, golden):  # noqa: F811
    """Every block and stage of the encoder."""
    reference, encoder = golden(f"encoder_{tag}"), net.encoder
    blocks = {f"layer{i}_block{j}": block for i, layer in enumerate(encoder.layers)
              for j, block in enumerate(layer.blocks)}
    stages = {f"layer{i}": stage for i, stage in enumerate(encoder.layers)}
    seen = outputs_of({"patch_embed": encoder.patch_embed, **blocks, **stages, "norm": encoder.norm},
                      lambda: encoder(masks[:1]))
    recorded = {key.removeprefix("feat_"): value for key, value in reference.items() if key.startswith("feat_")}
    pooled = recorded.pop("pooled")
    assert seen.keys() == recorded.keys()
    for name, expected in recorded.items():
        assert_close(seen[name].flatten(0, -2)[:6, :24], expected, 5e-4)
    assert_close(seen["norm"].mean((1, 2))[0], pooled, 5e-4)


def test_codes_in_double_precision(net, masks, tag, golden):  # noqa: F811
    """Our float32 codes are as near to the official float64 ones as to the official float32 ones."""
    reference = golden(f"encoder_{tag}")
    with torch.no_grad():
        frequencies, phase_shifts = net.encoder(masks[:1])[0].chunk(2)
    assert_close(frequencies, reference["freq64_0"], 2e-5)
    assert_close(phase_shifts, reference["shift64_0"], 2e-5)


def test_mapping_network(net, tag, golden):  # noqa: F811
    import golden_values as gv

    reference = golden(f"latents_{tag}")
    with torch.no_grad():
        codes = net.siren.mapping_network(torch.from_numpy(gv.normal("mapping.z", (8, 256))))
    assert_close(codes.frequencies[:, ::16], reference["map8_freq"], 5e-4)
    assert_close(codes.phase_shifts[:, ::16], reference["map8_shift"], 5e-4)
    np.testing.assert_array_equal(net.latent_avg.frequencies, reference["avg_freq"])
    np.testing.assert_array_equal(net.latent_avg.phase_shifts, reference["avg_shift"])
    for seed in (0, 92, 711, 390234):
        z = torch.randn(1, 256, generator=torch.Generator().manual_seed(seed))
        np.testing.assert_array_equal(z, reference[f"z_{seed}"])


def test_film_layers(net, tag, golden):  # noqa: F811
    """Every FiLM layer, and the field against float64."""
    reference = golden(f"siren_{tag}")
    points, dirs, codes = siren_inputs(tag)
    layers = {f"act{i}": film for i, film in enumerate(net.siren.network)}
    seen = outputs_of({**layers, "act_color": net.siren.color_layer_sine}, lambda: net.siren(points, codes, dirs))
    for name, value in seen.items():
        assert_close(value[:, :4, :64], reference[name], 5e-4)
    with torch.no_grad():
        for name, view in (("out64", dirs), ("out_locked64", None)):
            rgb, density = net.siren(points, codes, view)
            assert_close(rgb, reference[name][..., :3], 5e-4)
            assert_close(density, reference[name][..., 3], 5e-4)


def test_features_of_the_folded_field(net, tag, golden):  # noqa: F811
    reference = golden(f"siren_{tag}")["act7"]
    points, _, codes = siren_inputs(tag)
    for k in (0, 1):
        features = FoldedField(net.siren, codes[k]).features(points[k])
        assert_close(features[:4, :64], reference[k], 5e-4)


# name, and whether: hierarchical, view dependence locked, last_back, white_back
TRAINING = [("hier_lock", True, True, True, False), ("hier_nolock", True, False, False, False),
            ("flat_nolock", False, False, True, False), ("flat_white", False, True, False, True)]


def small_render(net, tag, name, hierarchical, lock, last_back, white, first, renderer=fast):  # noqa: F811
    """The recorded 8 x 8 image; `first` is the number of its first draw."""
    import golden_values as gv

    camera_preset = net.config.camera
    codes = Codes(*(torch.from_numpy(gv.normal(f"{tag}.code.0.{i}", (1, 2304), 0.3)) for i in (0, 1)))
    origin = camera_origins(torch.tensor([1.3]), torch.tensor([1.7]))
    dirs = rotate(pixel_directions(8, camera_preset.fov_deg), camera_to_world(origin))
    draws = [torch.from_numpy(gv.uniform(f"{tag}.inner.{name}.{first + k}", (1, 64, 6))) for k in (0, 4)]
    with torch.no_grad():
        return renderer.render_rays(
            net.siren, codes, origin, dirs, near=camera_preset.ray_start, far=camera_preset.ray_end, samples=6,
            hierarchical=hierarchical, lock_view_dependence=lock, last_back=last_back, white_back=white,
            noise=RayNoise(*draws))


@pytest.mark.parametrize("renderer", [definition, fast], ids=["definition", "fast"])
@pytest.mark.parametrize("settings", TRAINING, ids=[settings[0] for settings in TRAINING])
def test_training_render(net, tag, golden, settings, renderer):  # noqa: F811
    """The official inference and training entry points, with each combination of their switches."""
    reference = golden(f"render_inner_{tag}")
    for kind, first in (("image", 1), ("forward_pixels", 0)):
        out = small_render(net, tag, *settings, first, renderer)
        image = (out.rgb * 2 - 1).transpose(1, 2).reshape(1, 3, 8, 8).numpy()
        error = np.abs(image - reference[f"{settings[0]}_{kind}"])
        assert error.max() < 1e-3, (kind, error.max())
        assert error.mean() < 1e-5, (kind, error.mean())
        if kind == "image":
            np.testing.assert_allclose(out.depth.reshape(1, 8, 8), reference[f"{settings[0]}_depth"], atol=1e-4)


@pytest.mark.parametrize("name", ["hier_lock", "flat_nolock"])
def test_rays_and_samples(net, tag, golden, name):  # noqa: F811
    """Directions, depths, points and weights. Rays were recorded in the training call, integrals in both calls."""
    import golden_values as gv

    reference = golden(f"render_inner_{tag}")
    camera_preset = net.config.camera
    steps = {key.removeprefix(f"{name}__"): value for key, value in reference.items() if key.startswith(f"{name}__")}
    camera_dirs = pixel_directions(8, camera_preset.fov_deg)
    np.testing.assert_allclose(camera_dirs, steps["get_initial_rays_trig_2"][0], atol=1e-6)
    origin = camera_origins(torch.tensor([1.3]), torch.tensor([1.7]))
    dirs = rotate(camera_dirs, camera_to_world(origin))
    draws = torch.from_numpy(gv.uniform(f"{tag}.inner.{name}.0", (64, 6)))
    coarse = stratified_depths(camera_preset.ray_start, camera_preset.ray_end, 6, draws)
    np.testing.assert_allclose(coarse, steps["transform_sampled_points_1"][0, ..., 0], atol=1e-6)
    np.testing.assert_allclose(dirs, steps["transform_sampled_points_2"], atol=1e-6)
    np.testing.assert_allclose(origin.expand(64, 3), steps["transform_sampled_points_3"][0], atol=1e-6)
    points = origin + dirs[0, :, None] * coarse[..., None]
    np.testing.assert_allclose(points, steps["transform_sampled_points_0"][0], atol=1e-6)

    settings = next(settings for settings in TRAINING if settings[0] == name)
    passes = 2 if settings[1] else 1
    for call, first in enumerate((1, 0)):  # inference, training
        out, last = small_render(net, tag, *settings, first), passes * (call + 1) - 1
        np.testing.assert_allclose(out.rgb, steps[f"fancy_integration{last}_0"], atol=5e-4)
        np.testing.assert_allclose(out.depth[..., None], steps[f"fancy_integration{last}_1"], atol=1e-4)
        np.testing.assert_allclose(out.weights[..., None], steps[f"fancy_integration{last}_2"], atol=2e-3)
    if passes == 2:
        weights = torch.from_numpy(steps["fancy_integration2_2"])[0, ..., 0]
        u = torch.from_numpy(gv.uniform(f"{tag}.inner.{name}.4", (64, 6)))
        np.testing.assert_allclose(importance_depths(coarse, weights, u), steps["sample_pdf_0"], atol=1e-5)


@pytest.mark.parametrize("iteration", [0, 50000])
def test_patch_render(net, tag, golden, iteration):  # noqa: F811
    """A patch of 16 x 16 rays of a 64-pixel image with 4 samples, as the official training renders it."""
    import golden_values as gv

    reference = golden(f"render_inner_{tag}")
    camera_preset = net.config.camera
    config = PatchConfig({"celebahq": 0.125, "catmask": 0.08}[tag], 1.0, 0.0019, shift="diagonal")
    grid = draw_patches(config, 16, iteration, 1, torch.Generator().manual_seed(5))
    expected_grid = reference[f"patch_it{iteration}_seeded_pattern"]
    np.testing.assert_allclose(grid, expected_grid, rtol=0, atol=2.5e-7)
    codes = Codes(*(torch.from_numpy(gv.normal(f"{tag}.code.0.{i}", (1, 2304), 0.3)) for i in (0, 1)))
    origins, dirs = patch_rays(torch.tensor([[1.3, 1.7]]), grid, 64, camera_preset.fov_deg)
    noise = RayNoise(torch.from_numpy(gv.uniform(f"{tag}.patch.{iteration}.0", (1, 256, 4, 1)))[..., 0])
    with torch.no_grad():
        out = fast.render_rays(
            net.siren, codes, origins, dirs, near=camera_preset.ray_start, far=camera_preset.ray_end, samples=4,
            hierarchical=False, lock_view_dependence=False, last_back=tag == "celebahq", noise=noise)
    image = (out.rgb * 2 - 1).transpose(1, 2).reshape(1, 3, 16, 16).numpy()
    error = np.abs(image - reference[f"patch_it{iteration}_seeded_pixels"])
    assert error.max() < 1e-3, error.max()
    assert error.mean() < 1e-5, error.mean()


def test_opacity_is_the_official_weight_fill(golden):
    """The official "weight" filling paints a ray's summed weights; here they are the opacity of a view."""
    reference = golden("integrate")
    rgb, density = torch.from_numpy(reference["in_rgb_sigma"]).split([3, 1], -1)
    depths = torch.from_numpy(reference["in_z"])[..., 0]
    for clamp in ("relu", "softplus"):
        out = composite(rgb, density[..., 0], depths, clamp=clamp)
        for channel in range(3):
            np.testing.assert_allclose(out.weights.sum(-1), reference[f"{clamp}_lb0_wb0_weight_rgb"][..., channel],
                                       atol=1e-5)


def test_reference_data_is_complete():
    """The list of fixtures that the tests know, so that new ones are noticed."""
    known = {"build_celeba_mask", "contours", "integrate", "losses", "poses", "ranger", "sampling_pattern",
             "swin_buffers", "visuals", *(f"{kind}_{name}" for name in ("celebahq", "catmask") for kind in (
                 "encoder", "inputs", "latents", "render", "render_inner", "siren", "train_step"))}
    assert {path.stem for path in GOLDEN.glob("*.npz")} == known
