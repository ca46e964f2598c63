"""From options to the parts of an encoder's training: data, networks with their start weights, settings."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from configs.data_configs import config_of_opts, data_config
from configs.paths_config import PIGAN_CHECKPOINTS, SWIN_CHECKPOINT
from criteria.perceptual import Perceptual
from datasets.masks.maps import MaskTransform
from datasets.masks.order import read_label_order
from datasets.split import find_masks
from datasets.training_set import ImagesDataset3D, ImagesOptions
from models.checkpoints import latent_avg_of
from models.config import ModelConfig
from models.discriminators.patch_discriminator import PatchDiscriminator
from models.pigan.fast.kernels import multiplies
from models.pigan.siren import FILM_LAYERS, mean_code
from models.sem2nerf import Sem2NeRF
from models.start_weights import load_siren, read_swin_weights
from models.weight_files import unwrapped
from training.data_check import check_masks
from training.extension import Extension
from training.extreme_poses import ExtremePoseRanges
from training.patches import PatchConfig
from training.runtime.processes import Report, World
from training.size_schedule import Stage
from training.step import LossWeights, Rendering
from training.step_noise import StepNoiseConfig
from training.validation import ValidationSettings
from utils.errors import UserError
from utils.files import in_project

# what the weights of a checkpoint decide: a command line cannot say otherwise
OF_THE_WEIGHTS = ("encoder_type", "pigan_hidden_dim", "pigan_zdim", "encoder_not_zplus", "start_from_latent_avg",
                  "use_contour", "use_merged_labels", "dataset_type")


def options_of_weights(contents: Mapping[str, Any], source: str | Path) -> dict[str, Any]:
    """What a training that starts from a checkpoint's weights takes from it, where the command line is silent.

    Raises:
        UserError: the checkpoint's options do not describe a model.
    """
    try:
        return {**ModelConfig.from_contents(contents).to_opts(), "dataset_type": config_of_opts(contents["opts"]).name}
    except UserError as error:
        raise UserError(f"{source}: its options do not describe a model: {error}") from error


def check_weights_fit(opts: Namespace, of_weights: Mapping[str, Any], source: str | Path) -> None:
    """
    Raises:
        UserError: the command line names another architecture or label table than the checkpoint's.
    """
    for name in OF_THE_WEIGHTS:
        asked, own = getattr(opts, name), of_weights[name]
        if asked != own and not (name == "dataset_type" and data_config(asked).label_space is
                                 data_config(own).label_space):
            raise UserError(f"`{name}` {asked}: the weights of {source} are for {own}; leave it out, or start from "
                            "other weights")


def resolve_options(opts: Namespace, stages: tuple[Stage, ...], framing: MaskTransform | None = None) -> Namespace:
    """The options with what follows from others filled in: label_nc, input_nc and the image sizes.

    Args:
        framing: of the weights that training starts from; the published one otherwise.

    Raises:
        UserError: label_nc or input_nc were given and contradict the data.
    """
    space = data_config(opts.dataset_type).label_space
    merged = space.merged if opts.use_merged_labels and space.merged is not None else space
    derived = {"label_nc": len(merged), "input_nc": len(merged) + 2 * opts.use_contour}
    for name, value in derived.items():
        if getattr(opts, name) not in (value, {"label_nc": 16, "input_nc": 18}[name]):
            raise UserError(f"`{name}` {getattr(opts, name)}: {opts.dataset_type} has {len(merged)} labels with the "
                            f"given `use_merged_labels` and `use_contour`, so it is {value}; leave it out")
    framing = framing or MaskTransform()
    output = opts.output_size if opts.output_size != -1 else max(stage.img_size for stage in stages)
    crop = opts.image_crop_size if opts.image_crop_size != -1 else max(256, output)
    load = opts.image_load_size if opts.image_load_size != -1 else round(crop * framing.load_size / framing.crop_size)
    return Namespace(**{**vars(opts), **derived, "output_size": output, "image_crop_size": crop,
                        "image_load_size": load})


def report_steps_file(opts: Namespace, stages: tuple[Stage, ...], report: Report) -> None:
    """Say what of the file of sizes counts against the command line, and what does not."""
    samples = sorted({stage.num_steps for stage in stages if stage.num_steps} - {opts.pigan_infer_ray_step})
    if samples:
        report(f"{opts.pigan_steps_conf}: training takes {', '.join(map(str, samples))} samples per ray (num_steps), "
               f"validation {opts.pigan_infer_ray_step}")
    for name, value in {key: value for stage in stages for key, value in stage.others.items()}.items():
        if name != "batch_size":
            report(f"{opts.pigan_steps_conf}: {name} {value} has no effect")
        elif value != opts.batch_size:
            report(f"{opts.pigan_steps_conf}: batch_size {value} has no effect, each process takes {opts.batch_size} "
                   "samples per step as the command line says")


@dataclass(frozen=True)
class Data:
    """Both sides of a data set."""

    train: ImagesDataset3D
    val: ImagesDataset3D | None


def build_data(opts: Namespace, extension: Extension, report: Report, world: World) -> Data:
    """Both sides of the data set that resolved options name, without masks that cannot be trained on.

    Raises:
        UserError: something of the data set is missing.
    """
    config = data_config(opts.dataset_type)
    root = Path(opts.data_root) if opts.data_root else in_project(config.data_root)
    transform = MaskTransform(opts.image_load_size, opts.image_crop_size, opts.src_input_size, config.crop)
    cache = None if opts.map_cache == "none" else Path(opts.map_cache or root / ".map_cache")
    order = read_label_order(opts.label_order, config.label_space)
    options = ImagesOptions(transform, opts.output_size, opts.use_merged_labels, opts.use_contour, cache,
                            label_order=order)
    train, val, source = find_masks(root, config, opts.train_paths_conf, opts.test_paths_conf)
    val = val[:opts.val_images or None]
    report(f"data: {len(train)} masks for training, {len(val)} for validation in {root} ({source})")
    extra_data = extension.extra_data(root, [*train, *val])

    def side(masks: list[Path], mirror: bool) -> ImagesDataset3D:
        return ImagesDataset3D(root, config, masks, replace(options, mirror=mirror), extra_data)

    both = side(list(dict.fromkeys([*train, *val])), False)
    train, val = check_masks(both, (train, val), world, report)
    data = Data(side(train, opts.mirror), side(val, False) if val else None)
    extension.check(data.train)
    return data


def build_net(opts: Namespace, contents: Mapping[str, Any] | None, source: str | Path | None, report: Report,
              resume: bool = False) -> Sem2NeRF:
    """The model, ready to train: from a checkpoint's contents, else from the decoder's and the encoder's own weights.

    A decoder that `pigan_weights` names goes before the checkpoint's own, unless a run is resumed.

    Raises:
        UserError: weights are missing or do not fit.
    """
    net = Sem2NeRF(ModelConfig.from_opts(vars(opts)))
    if contents is not None:
        net.load_weights(contents.get("train_state_dict", contents["state_dict"]), source or "the checkpoint")
        net.set_latent_avg(latent_avg_of(contents, source or "the checkpoint") or mean_code(net.siren))
        if opts.pigan_weights and not resume:
            _start_decoder(net, opts, report)
            net.set_latent_avg(mean_code(net.siren, seed=opts.seed))
    else:
        _start_decoder(net, opts, report)
        _start_encoder(net, opts, report)
        net.set_latent_avg(mean_code(net.siren, seed=opts.seed))
    net.siren.requires_grad_(opts.train_decoder)
    if not opts.encoder_not_zplus:  # then nothing reads the mapping network any more
        net.siren.mapping_network.requires_grad_(False)
    return net.train()


def _start_decoder(net: Sem2NeRF, opts: Namespace, report: Report) -> None:
    if opts.pigan_weights == "random":
        report("decoder: random weights, as asked for")
        return
    default = data_config(opts.dataset_type).decoder or PIGAN_CHECKPOINTS[net.config.camera_preset]
    path = Path(opts.pigan_weights or in_project(default))
    if not opts.pigan_weights and not path.is_file():
        if opts.train_decoder:
            report(f"decoder: random weights, since there is no {path} and it is trained too")
            return
        raise UserError(f"{path}: the pretrained decoder is missing, and training would start from noise; put it there "
                        "(pretrained_models/README.md says where to get it), name a pi-GAN or a Sem2NeRF checkpoint "
                        "with `pigan_weights`, or train the decoder as well with `train_decoder`")
    load_siren(net.siren, path)
    report(f"decoder: {path}")


def _start_encoder(net: Sem2NeRF, opts: Namespace, report: Report) -> None:
    fits = opts.encoder_type == "SwinEncoder"
    if opts.swin_weights == "none" or (not opts.swin_weights and not (fits and in_project(SWIN_CHECKPOINT).is_file())):
        hint = f" (ImageNet weights in {SWIN_CHECKPOINT} would speed up the start)" if fits else ""
        report(f"encoder: {opts.encoder_type}, random weights{hint}")
        return
    path = Path(opts.swin_weights or in_project(SWIN_CHECKPOINT))
    state, own = read_swin_weights(path), net.encoder.state_dict()
    for key, value in state.items():
        if key not in own or own[key].shape != value.shape:
            raise UserError(f"`swin_weights` {path}: weight {key} does not fit {opts.encoder_type}; give a file of "
                            "this size, or none")
    net.encoder.load_state_dict(state, strict=False)
    report(f"encoder: {opts.encoder_type}, {path}")


def build_discriminator(opts: Namespace, stages: tuple[Stage, ...], contents: Mapping[str, Any] | None,
                        resume: bool = False, report: Report = print) -> nn.Module | None:
    """The discriminator for the stages' patches, or None without an adversarial term. It starts from a checkpoint's, as
    released; one that does not fit starts anew, unless a run is resumed.

    Raises:
        UserError: there is none of that size, the sizes change, or a resumed run's does not fit.
    """
    if not opts.dis_lambda:
        return None
    sizes = {stage.resolution_vol for stage in stages}
    if len(sizes) > 1:
        raise UserError(f"`pigan_steps_conf` {opts.pigan_steps_conf}: resolution_vol changes, and the discriminator "
                        "takes patches of one size; keep it the same, or train without it (`dis_lambda` 0)")
    dtype = torch.bfloat16 if opts.amp == "bf16" else torch.float32
    settings = sizes.pop(), opts.input_nc if opts.use_cond_dis else 0, dtype
    net = PatchDiscriminator(*settings)
    state = (contents or {}).get("dis_state_dict")
    if state:
        try:
            net.load_state_dict(unwrapped(state))
        except RuntimeError as error:
            if resume:
                raise UserError("the checkpoint's discriminator is of another size: continue with the resolution_vol "
                                "and `use_cond_dis` that it was trained with") from error
            report("the checkpoint's discriminator is of another size: it starts anew")
            return PatchDiscriminator(*settings)
    return net


def build_perceptual(opts: Namespace, device: torch.device) -> Callable[[Tensor, Tensor], Tensor] | None:
    """LPIPS, or None where its weight is 0. With `amp` bf16 its network runs in bfloat16."""
    if not opts.lpips_lambda:
        return None
    metric = Perceptual(opts.lpips_weights).to(device)
    if opts.amp != "bf16":
        return metric
    metric.to(memory_format=torch.channels_last)

    def distance(image: Tensor, target: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            return metric(*(x.contiguous(memory_format=torch.channels_last) for x in (image, target))).float()

    return distance


def loss_weights(opts: Namespace) -> LossWeights:
    """Of resolved options."""
    return LossWeights(opts.l2_lambda, opts.l1_lambda, opts.lpips_lambda, opts.w_norm_lambda, opts.dis_lambda)


def rendering(opts: Namespace, device: torch.device, report: Report) -> Rendering:
    """How a training step renders; the precision is one that the device has."""
    precision = opts.field_precision if device.type != "cpu" else "fp32"
    if precision != "fp32" and device.type == "cuda" and not multiplies(device, torch.bfloat16):
        report(f"field: this GPU has no {precision}, its products stay in fp32")
        precision = "fp32"
    return Rendering(opts.pigan_infer_ray_step, opts.pigan_train_hs, opts.pigan_train_lvd, precision, opts.sample_chunk)


def noise_config(opts: Namespace, drop_paths: int) -> StepNoiseConfig:
    """What is random in a training step.

    Args:
        drop_paths: stochastic-depth layers of the encoder.
    """
    data = data_config(opts.dataset_type)
    patches = PatchConfig(opts.ray_min_scale, opts.ray_max_scale, opts.ray_scale_anneal, not opts.no_ray_random_shift,
                          opts.patch_shift)
    return StepNoiseConfig(
        opts.seed, opts.pigan_infer_ray_step, opts.pigan_train_hs, patches if opts.patch_train else None,
        ExtremePoseRanges(data.extreme_yaw, data.extreme_pitch),
        # without a discriminator an extreme pose would teach nothing
        extreme_probability=max(0.0, opts.train_rand_pose_prob) if opts.dis_lambda else 0.0, drop_paths=drop_paths,
    )


def validation_settings(opts: Namespace) -> ValidationSettings:
    """How validation renders.

    Raises:
        UserError: `val_latent_mask` names a layer that does not exist.
    """
    text = (opts.val_latent_mask or "").replace(" ", "")
    numbers = [part for part in text.split(",") if part]
    if not all(number.isdigit() and int(number) < FILM_LAYERS for number in numbers):
        raise UserError(f"`val_latent_mask` {opts.val_latent_mask}: give layers from 0 to {FILM_LAYERS - 1}, e.g. 7,8")
    return ValidationSettings(opts.test_output_size, opts.pigan_infer_ray_step, opts.pigan_infer_max_batch,
                              tuple(map(int, numbers)), opts.test_pigan_latent_avg)
