"""Runs of train_encoder.py in processes of their own, as `launching` starts those of train3d.py."""

import functools

import launching

SCRIPT = "synth_heads.scripts.train_encoder"
Run = functools.partial(launching.Run, script=SCRIPT)
train = functools.partial(launching.train, script=SCRIPT)
