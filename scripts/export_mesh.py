"""Semantic masks -> closed, coloured triangle meshes of heads, as GLB, PLY or OBJ. `--help` shows worked commands."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.data_configs import data_config
from options.inference_options import check_inputs, complete, find_checkpoint, model_answers
from options.mesh_options import parse_options
from utils.cli import command, run
from utils.errors import UserError
from utils.progress import progress_bar


@command("lower `resolution`, then `pigan_infer_max_batch` (points computed at a time, e.g. 20000)",
         paths_list="infer_paths_conf")
def main(argv: Sequence[str]) -> None:
    opts, given = parse_options(argv)
    checkpoint, source = find_checkpoint(opts, given)
    check_inputs(opts, given)
    print(f"weights: {source}")

    from datasets.inference_set import InferenceDataset, read_all
    from datasets.masks.mask_input import MaskInput
    from inference.mesh_files import import_trimesh
    from inference.meshes import write_mesh_of
    from models.checkpoints import read_checkpoint
    from models.config import with_options
    from models.meshing.extract import NoSurfaceError
    from models.meshing.surface import import_measure
    from models.sem2nerf import Sem2NeRF
    from models.semantic_files import load_semantic_head
    from utils.device import pick_device
    from utils.files import make_folder

    import_measure()
    import_trimesh()
    device = pick_device(opts.device)
    contents = with_options(read_checkpoint(checkpoint), model_answers(opts, given), checkpoint)
    opts = complete(opts, given, contents["opts"])
    data = InferenceDataset(
        opts.data_path, data_config(opts.dataset_type), MaskInput.of_checkpoint(contents), encoding=opts.mask_encoding,
        paths_list=opts.infer_paths_conf, n_images=opts.n_images, use_shuffle=opts.use_shuffle, seed=opts.seed)
    masks = read_all(data)
    net = Sem2NeRF.from_contents(contents, checkpoint).to(device)
    if opts.semantic_head:
        net.semantic_head = load_semantic_head(opts.semantic_head, net.siren)
    if opts.by_label and net.semantic_head is None:
        raise UserError(f"`by_label` {opts.by_label}: {checkpoint} has no semantic head, which labels are read with; "
                        "train one with scripts/train_semantics.py and give it with `semantic_head`")
    style = opts.latent_mask, opts.inject_code_seed, 1.0 if opts.mix_alpha is None else opts.mix_alpha
    out, start, written, without = make_folder(opts.exp_dir), time.perf_counter(), [], []
    for item in progress_bar(masks, "meshes", len(data)):
        try:
            written += write_mesh_of(net, item, out, opts.resolution, opts.density_level, opts.formats, opts.by_label,
                                     *style, opts.pigan_infer_max_batch)
        except NoSurfaceError as error:
            without.append(f"{item.path}: no mesh, since {error}")
    seconds = time.perf_counter() - start
    for path in written:
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    for line in without[1:]:
        print(f"warning: {line}", file=sys.stderr)
    if without:
        raise UserError(without[0])
    print(f"{len(data)} mesh{'es' * (len(data) > 1)} in {seconds:.1f} s: {seconds / len(data):.1f} s each on {device}")


if __name__ == "__main__":
    run(main)
