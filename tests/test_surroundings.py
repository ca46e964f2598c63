"""The machine around a program: memory that runs out, no home folder, a long wait that has to show something."""

import re
import subprocess
import sys
import time

import cv2
import pytest
import torch
from conftest import ROOT

from configs.data_configs import data_config
from datasets.inference_set import InferenceDataset, read_all
from scripts.inference3d import main as inference
from utils import progress
from utils.errors import UserError
from utils.memory import lack_of_memory, memory_named


@pytest.mark.parametrize("error, words", [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"), r"the GPU .*\(2.00 GiB more"),
    (RuntimeError("CUDA error: out of memory\nCUDA kernel errors"), "the GPU is out of memory"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), "the GPU is out of memory"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to "
                  "allocate 1024 bytes. Error code 12"), r"^out of memory \(1024 bytes more"),
    (MemoryError("Unable to allocate 412. MiB for an array"), r"^out of memory \(412 MiB more"),
    (MemoryError(), "^out of memory$"), (OSError(12, "Cannot allocate memory"), "^out of memory"),
    (cv2.error("OpenCV(5.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9"), "out of memory"),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "a loader process ran out of memory"),
    (RuntimeError("unable to open shared memory object </torch_1> in read-write mode"), "shared memory"),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None), (ValueError("memory"), None),
], ids=lambda value: type(value).__name__)
def test_lack_of_memory(error, words):
    found = lack_of_memory(error)
    assert (found is None) if words is None else re.search(words, found)
    with pytest.raises(type(error) if words is None else UserError), memory_named("lower `batch_size`"):
        raise error


def test_caches_are_chosen_where_there_is_no_home(tmp_path):
    code = ("from utils.caches import choose_writable_caches, VARIABLES; choose_writable_caches(); import os; "
            "print([os.environ.get(name) for name in VARIABLES])")

    def chosen(**environment):
        return eval(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True,
                                   env={"TMPDIR": str(tmp_path), "USER": "somebody", **environment}).stdout)

    assert chosen(HOME=str(tmp_path)) == [None] * 4
    found = chosen(HOME="/proc/none", TRITON_CACHE_DIR="mine")
    assert [name for name in found if name.startswith(str(tmp_path))] == [*found[:2], found[3]]
    assert found[2] == "mine"


def test_a_long_wait_shows_how_far_it_is(monkeypatch, capsys, faces):
    """Where there is no terminal, a line now and then; nothing for what is done in a moment."""
    monkeypatch.setattr(progress, "FIRST", 0.03)
    monkeypatch.setattr(progress, "NEXT", 0.1)
    items = []
    for item in progress.progress_bar(range(20), "checking masks", 20):
        items.append(item)
        time.sleep(0.02)
    lines = capsys.readouterr().err.splitlines()
    assert items == list(range(20))
    assert 2 <= len(lines) <= 6
    assert re.fullmatch(r"checking masks: \d+ of 20 masks, about \d s left", lines[0])
    monkeypatch.setattr(progress, "FIRST", 0.0)
    list(read_all(InferenceDataset(faces, data_config("celebahq_seg_to_3dface"))))
    assert "masks read: 1 of 3 masks" in capsys.readouterr().err
    monkeypatch.setattr(progress, "FIRST", 60.0)
    list(progress.progress_bar(range(3), "checking masks", 3))
    assert not capsys.readouterr().err


def test_out_of_memory_in_inference_names_what_to_lower(monkeypatch, weights, faces, tmp_path):
    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 5 bytes.")

    monkeypatch.setattr("models.scene.Scene.render", full)
    with pytest.raises(UserError, match=r"^out of memory \(5 bytes .*; lower --pigan_infer_max_batch .*--test_output"):
        inference([f"--checkpoint_path={weights}", f"--data_path={faces}", f"--exp_dir={tmp_path}", "--device=cpu",
                   "--test_output_size=16"])
