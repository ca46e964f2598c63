"""The editor's page in a real browser, and what a test asks of it."""

import base64
import io
import time

import numpy as np
import pytest
from editor_servers import demo, running
from PIL import Image

from configs.label_spaces import LABEL_SPACES

SPACE = LABEL_SPACES["CelebAMask_HQ"]
SIZES = (24, 48)  # of the volumes: what a page does with them does not depend on it
HAIR, HAT = SPACE.index("hair"), SPACE.index("hat")


@pytest.fixture(scope="module", name="editor")
def fixture_editor():
    with running(demo(), sizes=SIZES) as editor:
        yield editor


class EditorPage:
    """A page with the editor, and what a test asks of it."""

    def __init__(self, page) -> None:
        self.page = page
        page.evaluate("sem2nerf.starting")
        page.evaluate("""() => {
            globalThis.pictures = [];
            sem2nerf.editor.live.addEventListener("picture", event => pictures.push(event.detail));
        }""")

    def labels(self) -> np.ndarray:
        mask = self.page.evaluate("""() => {
            const { mask } = sem2nerf.editor;
            const bytes = Array.from(mask.labels, label => String.fromCharCode(label)).join("");
            return [mask.width, mask.height, btoa(bytes)];
        }""")
        return np.frombuffer(base64.b64decode(mask[2]), np.uint8).reshape(mask[1], mask[0])

    def until(self, condition: str, timeout: float = 60):
        """Wait until an expression is true. (Playwright's own way needs `eval`, which the page forbids.)"""
        end = time.monotonic() + timeout
        while not (value := self.page.evaluate(condition)):
            assert time.monotonic() < end, f"{condition}; the page says {self.notices()}"
            time.sleep(0.05)
        return value

    def settle(self) -> None:
        """Until the head of what is painted now is finished and drawn."""
        self.page.evaluate("sem2nerf.editor.updated")
        self.until(f"!sem2nerf.editor.head.viewer.drawing && sem2nerf.editor.head.viewer.volume?.size === {SIZES[-1]}")

    def view(self, size: int = 128) -> np.ndarray:
        """The head as the page shows it, colours in 0..255."""
        url = self.page.evaluate(f"sem2nerf.editor.head.viewer.picture({size}).then(canvas => canvas.toDataURL())")
        return pixels_of(url)

    def view_from(self, yaw: float, pitch: float, size: int = 128) -> np.ndarray:
        """The same from another side; the page's own pose stays."""
        url = self.page.evaluate("""([size, pose]) => {
            const { viewer } = sem2nerf.editor.head;
            return viewer.picture(size, { ...viewer.pose, ...pose }).then(canvas => canvas.toDataURL());
        }""", [size, {"yaw": yaw, "pitch": pitch}])
        return pixels_of(url)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the mask, in parts of its sides, is on the screen."""
        box = self.page.evaluate("(({left, top, width, height}) => [left, top, width, height])"
                                 "(sem2nerf.editor.board.canvas.getBoundingClientRect())")
        return box[0] + x * box[2], box[1] + y * box[3]

    def stroke(self, *points: tuple[float, float]) -> None:
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=4)
        mouse.up()

    def choose(self, label: int) -> None:
        self.page.locator(f"#labels [data-label='{label}']").click()

    def notices(self) -> list[str]:
        return self.page.locator(".notice p").all_text_contents()

    def open_file(self, data: bytes, name: str = "some.png", kind: str = "image/png") -> None:
        self.page.locator("#file").set_input_files({"name": name, "mimeType": kind, "buffer": data})

    def idle(self) -> None:
        """Give what must not happen a moment to happen."""
        time.sleep(0.3)


def pixels_of(url: str) -> np.ndarray:
    """Colours in 0..255 of a picture in a data: address."""
    return np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")).astype(float)


@pytest.fixture(name="opened")
def fixture_opened(editor, open_page):
    def opened(fragment: str = "", **settings) -> EditorPage:
        settings = {"viewport": {"width": 1300, "height": 820}, **settings}
        return EditorPage(open_page(editor.address + fragment, **settings))

    return opened


def png(labels: np.ndarray, palette: bool = False) -> bytes:
    image, out = Image.fromarray(labels), io.BytesIO()
    if palette:
        image.putpalette(np.array(SPACE.palette, np.uint8).tobytes())
    image.save(out, format="PNG")
    return out.getvalue()
