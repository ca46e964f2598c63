"""One process of a training whose process group cannot be left in order, as under NCCL while other processes wait.

    torchrun ... tests/training_process.py OPTIONS OF train3d.py     ({rank} in them is the process's number)
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch.distributed as dist

from scripts.train3d import main
from utils.cli import run

dist.destroy_process_group = lambda *_: time.sleep(3600)
run(main, [word.replace("{rank}", os.environ["RANK"]) for word in sys.argv[1:]])
