"""How long a stroke takes to become a head, in the editor in a headless browser.

    python scripts/dev/measure_editor.py                                  # scripts/editor.py with the demo weights
    python scripts/dev/measure_editor.py --page out/editor.html           # a page of scripts/export_editor.py

Strokes are made with the mouse; times are from the end of a stroke to a drawn picture, as the page measures them. The
browser's software renderer takes the same cores as the model: on a loaded machine look at the processor seconds.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from options.arguments import HelpFormatter, Parser, positive
from utils.cli import command, run
from utils.errors import UserError
from utils.files import PROJECT

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FRAMES, SIDE = 30, 256  # pictures of a turning head whose time is taken, and pixels along each side of them
QUICK, APART = 6, 0.15  # strokes in quick succession, and seconds between them
PATIENCE = 120.0        # seconds
TURNING = f"""async () => {{
    const {{ renderer, pose, mode }} = sem2nerf.editor.head.viewer, times = [];
    for (let frame = 0; frame < {FRAMES}; frame++) {{
        const start = performance.now();
        renderer.draw({{ ...pose, yaw: 0.02 * frame - 0.3 }}, {SIDE}, mode);
        await renderer.finished();
        times.push(performance.now() - start);
    }}
    sem2nerf.editor.head.viewer.draw();
    return times;
}}"""
LATEST_IS_FINAL = "pictures.some(picture => !picture.first && picture.run === sem2nerf.editor.live.runs)"


@command()
def main(argv: Sequence[str]) -> None:
    parser = Parser(usage="%(prog)s [options]", description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--page", help="a page without a server; default: the server is started")
    parser.add_argument("--checkpoint_path", help="of the server")
    parser.add_argument("--strokes", type=positive, default=20, help="how many are measured")
    opts = parser.parse_args(argv)
    if opts.page and not Path(opts.page).is_file():
        raise UserError(f"`page` {opts.page}: there is no such file; scripts/export_editor.py makes one")
    try:
        import psutil
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install psutil playwright") from error
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise UserError("there is no Chromium here: install one")

    def processor_seconds() -> float:
        """Of all processes that this one has started and that are still there."""
        times = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
        return sum(one.user + one.system for one in times)

    with address_of(opts) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path)
        page = browser.new_page(viewport={"width": 1300, "height": 820})
        page.goto(address)
        page.evaluate("sem2nerf.starting")
        page.evaluate("""() => {
            globalThis.pictures = [];
            const { live, head: { viewer: { renderer } } } = sem2nerf.editor, given = {};
            const update = live.update.bind(live), setVolume = renderer.setVolume.bind(renderer);
            let start = 0;
            live.update = (...asked) => { start = performance.now(); return update(...asked); };
            renderer.setVolume = volume => {
                setVolume(volume);
                given[volume.size] = Math.round(performance.now() - start);
            };
            live.addEventListener("picture", ({ detail }) => pictures.push({ ...detail, given: given[detail.size] }));
        }""")
        wait(page, "document.querySelector('#status').textContent.includes('texels')")
        load = os.getloadavg()[0]
        before = processor_seconds()
        rows = [times_of(page, number) for number in range(opts.strokes)]
        spent = (processor_seconds() - before) / opts.strokes
        print(f"{opts.strokes} strokes, load {load:.1f} to {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, "
              f"{spent:.2f} processor seconds a stroke (model and browser):")
        for index, size in enumerate(sorted({size for row in rows for size in row})):
            values, given = zip(*sorted(row[size] for row in rows if size in row), strict=True)
            print(f"  {('first picture', 'final', 'finest')[min(index, 2)]} ({size} texels): median "
                  f"{statistics.median(values)} ms, {values[0]} to {values[-1]}, {len(values)} of {opts.strokes}; "
                  f"given to the renderer after {statistics.median(given)} ms, {min(given)} to {max(given)}")
        begun = page.evaluate("sem2nerf.editor.live.runs")
        page.evaluate("pictures.length = 0")
        for number in range(QUICK):
            start = time.monotonic()
            stroke(page, opts.strokes + number)  # elsewhere: what is painted already would change nothing
            time.sleep(max(0.0, APART - (time.monotonic() - start)))
        wait(page, LATEST_IS_FINAL)
        pictures = [picture for picture in page.evaluate("pictures") if picture["run"] > begun]
        coarse = [picture["ms"] for picture in pictures if picture["first"]]
        final = [picture["ms"] for picture in pictures if not picture["first"]]
        print(f"{QUICK} strokes {APART * 1000:.0f} ms apart: {len(coarse)} first pictures after {coarse} ms, "
              f"{len(final)} final after {final} ms")
        times = page.evaluate(TURNING)
        print(f"the turning head at {SIDE} px: median {statistics.median(times):.0f} ms a picture, "
              f"{min(times):.0f} to {max(times):.0f}")
        browser.close()


@contextmanager
def address_of(opts: argparse.Namespace) -> Iterator[str]:
    """The address of a page to measure, while it can be asked."""
    if opts.page:
        yield Path(opts.page).resolve().as_uri()
        return
    checkpoint = ["--checkpoint_path", opts.checkpoint_path] if opts.checkpoint_path else []
    script = str(PROJECT / "scripts/editor.py")
    server = subprocess.Popen([sys.executable, script, "--port", "0", *checkpoint], text=True, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        words = ""
        while found := server.stdout.readline():
            words += found
            if address := re.search(r"http://\S+", found):
                yield address[0]
                return
        raise UserError(f"the server did not start: {words.strip()}")
    finally:
        server.terminate()
        server.wait(20)


def times_of(page: Any, number: int) -> dict[int, tuple[int, int]]:
    """Texels of each volume that a stroke led to, and when it was on the screen and when the renderer got it."""
    page.evaluate("pictures.length = 0")
    stroke(page, number)
    wait(page, LATEST_IS_FINAL)
    latest = page.evaluate("sem2nerf.editor.live.runs")
    return {picture["size"]: (picture["ms"], picture["given"]) for picture in page.evaluate("pictures")
            if picture["run"] == latest}


def stroke(page: Any, number: int) -> None:
    """A short stroke of the hair's edge, each at another place."""
    box = page.locator("#board canvas.labels").bounding_box()
    x = box["x"] + box["width"] * (0.3 + 0.02 * (number % 20))
    y = box["y"] + box["height"] * (0.16 + 0.01 * (number % 3) + 0.04 * (number // 20))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 14, y + 6, steps=2)
    page.mouse.up()


def wait(page: Any, condition: str) -> None:
    """Until an expression is true. (Playwright's own way needs `eval`, which the page forbids.)"""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise UserError(f"the page did not come to this within {PATIENCE:.0f} s: {condition}")
        time.sleep(0.02)


if __name__ == "__main__":
    run(main)
