"""A network as the engine in the browser reads it (web/engine/model.js): a table of contents, then the weights.

Layout: the length of the table as a little-endian uint32; the table, JSON in UTF-8, padded so that the weights begin at
a multiple of 16 bytes; the weights. Encoder and mapping network are stored in half precision, as in the released
checkpoints; the field's layers and the mean code in single precision, for their errors become large in its sines.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from configs.data_configs import CameraPreset
from configs.label_spaces import LABEL_ORDERS, order_table
from datasets.masks import oddities, order
from datasets.masks.files import MIN_FACE
from datasets.masks.maps import MASK_SIZE
from datasets.masks.mask_input import MaskInput
from datasets.masks.relabel import unmerged_to
from editing.editor import editable
from models.encoders.swin import WINDOW
from models.pigan.siren import BOX_SCALE, FREQUENCY_OFFSET, FREQUENCY_SCALE, LOCKED_DIRECTION
from models.sem2nerf import Sem2NeRF
from utils.errors import UserError
from web.volume import baking, visibility
from web.volume.viewing import Viewing

ALIGNMENT = 16
# What a browser can be asked to do: the released network (Swin-T and a field of 256) is well within these limits
MOST_WEIGHTS, WIDEST_FIELD = 60_000_000, 512


def model_file(net: Sem2NeRF) -> bytes:
    """The whole file.

    Raises:
        UserError: the network is too large for a browser.
    """
    check_size(net)
    table, parts, offset = {}, [], 0
    for name, value in engine_weights(net).items():
        array = value.detach().cpu().numpy()
        array = array.astype(np.float32 if in_single_precision(name) else np.float16)
        table[name] = [str(array.dtype), offset, list(array.shape)]
        parts.append(array.tobytes() + b"\0" * (-array.nbytes % ALIGNMENT))
        offset += len(parts[-1])
    header = json.dumps({**described(net), "tensors": table}, separators=(",", ":")).encode()
    header += b" " * (-(4 + len(header)) % ALIGNMENT)
    return struct.pack("<I", len(header)) + header + b"".join(parts)


def check_size(net: Sem2NeRF) -> None:
    """
    Raises:
        UserError: the network is too large for a browser.
    """
    count = sum(value.numel() for value in net.state_dict().values())
    if count > MOST_WEIGHTS or net.config.width > WIDEST_FIELD:
        raise UserError(f"this network has {count / 1e6:.0f} million weights and a field of width {net.config.width}, "
                        f"too many for a browser (at most {MOST_WEIGHTS / 1e6:.0f} million, and {WIDEST_FIELD}); use "
                        "scripts/editor.py, whose server computes")


def engine_weights(net: Sem2NeRF) -> dict[str, Tensor]:
    """All weights under their names in checkpoints; `mean_code`, where codes are relative to it; a semantic head's."""
    weights = dict(net.state_dict())
    if net.config.start_from_latent_avg:
        mean = net.latent_avg
        weights["mean_code"] = torch.cat([mean.frequencies[0], mean.phase_shifts[0]])
    if net.semantic_head is not None:
        weights.update({f"semantic.{layer}.weight": weight for layer, weight in net.semantic_head.by_layer.items()})
        weights["semantic.bias"] = net.semantic_head.bias
    return weights


def in_single_precision(name: str) -> bool:
    """Whether a weight must keep all its digits."""
    field = name.startswith(("decoder.siren.", "semantic.")) and ".mapping_network." not in name
    return field or name == "mean_code"


def described(net: Sem2NeRF) -> dict[str, Any]:
    """Everything about a network but its weights."""
    config, size, siren = net.config, net.encoder.size, net.siren
    names = {module: name for name, module in net.named_modules()}
    return {
        "encoder": {"inputSize": config.input_size, "patch": size.patch_size, "depths": size.depths,
                    "heads": size.num_heads, "window": WINDOW},
        "codes": {"encoderPredictsZ": config.encoder_predicts_z},
        "field": {"width": config.width, "zDim": config.z_dim, "boxScale": BOX_SCALE, "direction": LOCKED_DIRECTION,
                  "frequencyScale": FREQUENCY_SCALE, "frequencyOffset": FREQUENCY_OFFSET,
                  "sines": [names[layer] for layer in siren.sine_layers], "density": names[siren.final_layer],
                  "colour": names[siren.colour_output],
                  "mapping": [names[layer] for layer in siren.mapping_network.network if isinstance(layer, nn.Linear)]},
        "semanticLayers": net.semantic_head.layers if net.semantic_head else [],
        "input": described_input(config.input),
        "mapLabels": map_labels(net), "viewing": Viewing.of(config.camera).as_preset(),
        "bake": baking_constants(config.camera),
    }


def map_labels(net: Sem2NeRF) -> list[int] | None:
    """The label of mask files for each of the semantic head's; None where heads cannot be edited from any side."""
    if not editable(net):
        return None
    assert net.semantic_head is not None
    space = net.semantic_head.space
    return unmerged_to(np.arange(len(space), dtype=np.uint8)[None], space, net.input.space)[0].tolist()


def described_input(reader: MaskInput) -> dict[str, Any]:
    """How masks are read, and what is odd about one."""
    space, network = reader.space, reader.network_space
    parts, (least, most), centre = oddities.usual(network)
    known = LABEL_ORDERS if len(space) == len(LABEL_ORDERS["celebamask"]) else ()
    return {
        "space": space.name, "labels": space.labels, "palette": space.palette, "face": space.index(space.face),
        "merge": space.merge if network is not space else None, "networkNames": network.labels,
        "networkFace": network.index(network.face), "useContour": reader.use_contour,
        "transform": vars(reader.transform), "maskSize": MASK_SIZE,
        "orders": {name: order_table(name, space) for name in (reader.label_order, "celebamask", *known)},
        "checks": {"minFace": MIN_FACE, "squareEnough": oddities.SQUARE_ENOUGH, "order": order.rules(space),
                   "fewestEdges": oddities.FEWEST_EDGES, "between": oddities.BETWEEN,
                   "framing": {"parts": parts, "least": least, "most": most, "centre": centre, "far": oddities.FAR}},
    }


def baking_constants(camera: CameraPreset) -> dict[str, Any]:
    """The constants of web/volume/baking.py and visibility.py, and what follows from the camera."""
    viewing = Viewing.of(camera)
    return {
        "sizes": baking.SIZES, "firstBackground": int(baking.SIZES[0] * baking.FIRST_BACKGROUND),
        "background": baking.SIZES[0] * baking.BACKGROUND,
        "half": viewing.half, "backgroundHalf": viewing.background_half, "lastBack": camera.eval_last_back,
        "softplus": camera.clamp_mode == "softplus", "zero": baking.ZERO, "roomAbove": baking.ROOM_ABOVE,
        "minScale": baking.MIN_SCALE, "middle": baking.MIDDLE, "overshoot": baking.OVERSHOOT,
        "minShare": visibility.MIN_SHARE, "stepsPerTexel": visibility.STEPS_PER_TEXEL,
        "yaws": visibility.YAWS, "pitches": visibility.PITCHES, "rays": visibility.RAYS,
        "backgroundYaws": visibility.BACKGROUND_YAWS, "backgroundPitches": visibility.BACKGROUND_PITCHES,
        "backgroundRays": visibility.BACKGROUND_RAYS,
    }
