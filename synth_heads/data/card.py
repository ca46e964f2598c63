"""The card of a dataset: a page that lies beside the data and says what it is."""

from datasets.layout import DEPTH_UNIT
from synth_heads.data.record import Record, Settings, generator_version
from synth_heads.generator.labels import LABEL_NAMES
from synth_heads.generator.latent import EDIT_LIMIT, LATENT_DIM

_VARIED = """- norms `varied`: every second head (or pair of heads) lies nearer to the mean head: its SHAPE entries
  and its COLOUR entries are each multiplied by a factor in [0, 1)
"""
_EDITS = f"""- edits: head 2 k + 1 is head 2 k with one part edited, seen from the same sides: one or more of the
  part's entries are drawn anew, evenly up to {EDIT_LIMIT:g} standard deviations
"""


def dataset_card(settings: Settings, record: Record, splits: dict[str, list[int]]) -> str:
    """Markdown: contents, numbers, conventions, licence.

    Args:
        splits: name -> numbers of the heads in it.
    """
    command = (f"python synth_heads/scripts/build_synth_heads.py --num_heads {settings.num_heads} --views "
               f"{settings.views} --size {settings.size} --seed {settings.seed} --palette {settings.palette}"
               + " --merged" * settings.merged + " --depth" * settings.depth
               + (f" --norms {settings.norms}" if settings.norms != "full" else "") + " --edits" * settings.edits
               + (f" --mask_size {settings.mask_size}" if settings.mask_size else ""))
    images = settings.num_heads * settings.views
    total = record.counts[0].sum()
    rows = "\n".join(f"| {label} | {name} | {pixels / total:.4f} | {shown / images:.3f} |"
                     for label, (name, pixels, shown) in enumerate(zip(LABEL_NAMES, *record.counts, strict=True)))
    parts = """- `CelebAMask-HQ-mask-anno/<id // 2000>/<id>_<part>.png`: one image per part, white on black. No two
  parts overlap; `python scripts/build_celeba_mask.py` makes label masks of them."""
    depth = f"""
- `depth/<id>.png`: 16 bits. Distance from the camera along the pixel's ray = value x {DEPTH_UNIT:g}; 0 is the
  background. The camera stands at distance 1 from the origin."""
    colours = {
        "free": "every head has its own colours and light",
        "fixed": "all heads share their colours and light (the COLOUR entries of z are 0), so that a mask says how its "
                 "image looks",
    }[settings.palette]
    draws = _VARIED * (settings.norms == "varied") + _EDITS * settings.edits
    sizes = ", ".join(f"{len(heads)} for {name}" for name, heads in splits.items())
    return f"""---
license: cc0-1.0
task_categories: [image-segmentation, image-to-3d]
tags: [synthetic, faces, multi-view]
---
# SynthHeads

Computer-made heads, each seen from several sides, with the 19 labels of CelebAMask-HQ, exact poses and the codes that
the heads were made from. No real person is shown.

- {settings.num_heads} heads x {settings.views} views = {images} images of {settings.size} x {settings.size} pixels
- palette `{settings.palette}`: {colours}
{draws}- made by generator {generator_version()} with
  `{command}`;
  the same command gives the same bytes

## Files

Picture `<id>` is view `id % 100` of head `id // 100`.

- `CelebA-HQ-img/<id>.jpg`: the images.
{"- `mask/<id>.png`: label masks, pixel value = label." if settings.merged else parts}{depth if settings.depth else ""}
- `CelebAMask-HQ-pose-anno.txt`: two heading lines, then `<id>.jpg yaw pitch roll`: the head's angles in degrees,
  exactly as rendered. The camera stands at yaw = rad(90 - yaw), pitch = rad(90 + pitch).
- `latents.npz`: `z` (heads, {LATENT_DIM}): one per head, `names`: of their entries, `ids` (heads, views): the images'
  numbers, `camera` (heads, views, 2): the camera's yaw and pitch in radians.
- `train_paths.txt`, `val_paths.txt`, `test_paths.txt`: names of masks. The lists share no head
  ({sizes}).
  `vis_paths.txt`: a few masks of val, to look at during training.
- `build.json`: what an interrupted build continues from.

An image is 1.25 times as wide as what pi-GAN's camera (12 degrees) sees: after the usual resize to 320 and crop to
256, a mask lies in the camera's frame.

## Labels

| label | part | share of pixels | share of images that show it |
|---|---|---|---|
{rows}

`l_` is the person's left, which is the right side of the image.

## Limits and licence

This is computer graphics: skin without pores, hair of a few thousand locks, flat backgrounds, one shape of clothes.
Looks follow normal distributions over the generator's sliders, not any population: draw no conclusions about people.

The head comes from the CC0 data of MakeHuman. Images, masks and all other files of the dataset are free to use for
anything, [CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/).
"""
