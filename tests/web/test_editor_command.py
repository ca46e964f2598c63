"""scripts/editor.py as a user runs it: the page is there once the address is printed, and Ctrl-C ends it. Its times."""

import http.client
import re
import signal
import socket
import subprocess
import sys

import pytest
from conftest import ROOT
from tiny import tiny_checkpoint

from scripts import editor
from scripts.dev import measure_editor
from utils.errors import UserError


def test_it_serves_until_it_is_interrupted(tmp_path):
    weights = tiny_checkpoint(tmp_path / "net.pt")
    command = [sys.executable, ROOT / "scripts/editor.py", "--port=0", "--device=cpu", "--checkpoint_path", weights]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said = next(line for line in process.stdout or () if "http://" in line)
            address = re.search(r"http://127\.0\.0\.1:(\d+)/", said)
            assert address, said
            connection = http.client.HTTPConnection("127.0.0.1", int(address[1]), timeout=300)
            connection.request("GET", "/")
            page = connection.getresponse()
            assert page.status == 200
            assert b"<canvas" in page.read()
            connection.close()
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=300)
        finally:
            process.kill()
    assert "Traceback" not in rest
    assert process.returncode in (0, 130), rest


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match=r"--checkpoint_path.*missing\.pt"):
        editor.main(["--port=0", "--checkpoint_path", str(tmp_path / "missing.pt")])


def test_a_port_that_is_taken_is_named_before_anything_is_loaded(tmp_path):
    with (socket.create_server(("127.0.0.1", 0)) as taken,
          pytest.raises(UserError, match=r"--port \d+: it cannot be used")):
        editor.main([f"--port={taken.getsockname()[1]}", "--checkpoint_path", str(tmp_path / "missing.pt")])


def test_strokes_are_measured(tmp_path, chromium):
    """In a process of its own: Playwright runs once per process."""
    command = [sys.executable, ROOT / "scripts/dev/measure_editor.py", "--strokes=2", "--checkpoint_path",
               tiny_checkpoint(tmp_path / "net.pt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert re.search(r"2 strokes, .*\n  first picture .* median [\d.]+ ms.*\n  final .* median [\d.]+ ms", done.stdout)
    assert "6 strokes 150 ms apart" in done.stdout


def test_a_page_to_measure_must_be_there(tmp_path):
    with pytest.raises(UserError, match=r"--page .*missing\.html"):
        measure_editor.main(["--page", str(tmp_path / "missing.html")])
