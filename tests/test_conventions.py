"""docs/camera_conventions.md and docs/label_spaces.md say what the code does."""

import math
from xml.etree import ElementTree

import pytest
import torch
from conftest import ROOT

from configs.data_configs import DATA_CONFIGS
from configs.label_spaces import BISENET_ORDER, LABEL_ORDERS, LABEL_SPACES
from models.pigan.cameras import Camera, camera_origins, camera_rays, camera_to_world, pixel_directions
from options.arguments import LABEL_ORDER
from scripts.dev import draw_conventions
from utils.errors import UserError

CAMERAS, LABELS = ((ROOT / "docs" / name).read_text() for name in ("camera_conventions.md", "label_spaces.md"))


def test_the_drawing_shows_what_the_page_says(tmp_path):
    """Seen from above, a yaw offset of -.45 is to the right of the head (the person's left), +.45 to the left, both
    before it; from the side a smaller pitch is higher. Worked out from the page, not from the code."""
    (tmp_path / "label_spaces.md").write_text(LABELS)
    draw_conventions.main(["--docs", str(tmp_path)])
    assert len(list(tmp_path.iterdir())) == 4
    for path in (tmp_path, ROOT / "docs"):  # as drawn now, and as it lies there
        texts = {}
        for element in ElementTree.parse(path / "camera_conventions.svg").iter("{http://www.w3.org/2000/svg}text"):
            texts.setdefault(element.text, (float(element.get("x")), float(element.get("y"))))
        head = texts["From above: yaw = π/2 + offset"][0]
        assert texts["−0.45"][0] - head == pytest.approx(1.17 * draw_conventions.UNIT * math.sin(0.45), abs=1)
        assert texts["+0.45"][0] - head == pytest.approx(-1.17 * draw_conventions.UNIT * math.sin(0.45), abs=1)
        assert texts["−0.45"][1] > texts["far 1.12"][1] < texts["near 0.88"][1]
        heights = [texts[words][1] for words in ("π/2 + 0.3", "π/2", "π/2 − 0.3", "π/4, the orbit")]
        assert heights == sorted(heights, reverse=True)  # y of a drawing grows downwards


@pytest.mark.parametrize("name", draw_conventions.SPACES)
def test_every_label_has_its_swatch(name):
    space = LABEL_SPACES[name]
    drawing = (ROOT / f"docs/label_space_{name}.svg").read_text()
    for label, (part, colour) in enumerate(zip(space.labels, space.palette)):
        assert f">{label} {part}</text>" in drawing
        assert f'fill="#{bytes(colour).hex()}"' in drawing
        assert f"| {label} | {part} | {', '.join(map(str, colour))} | {space.merge[label]} " in LABELS


def test_a_page_without_its_marks_is_refused(tmp_path):
    (tmp_path / "label_spaces.md").write_text("# Label spaces")
    with pytest.raises(UserError, match="CelebAMask_HQ"):
        draw_conventions.main(["--docs", str(tmp_path)])


def test_order_of_face_parsers():
    assert f"| label here | {' | '.join(map(str, BISENET_ORDER))} |" in LABELS
    table = LABELS.partition("<!-- table of label orders -->")[2].partition("<!-- end")[0].strip().splitlines()
    assert table[0] == f"| value | {' | '.join(LABEL_ORDERS)} |"
    names = LABEL_SPACES["CelebAMask_HQ"].labels
    for value, line in enumerate(table[2:]):
        assert [cell.strip() for cell in line.split("|")[2:-1]] == [
            names[order[value]] if value < len(order) else "" for order in LABEL_ORDERS.values()]
    assert len(table) == 2 + max(map(len, LABEL_ORDERS.values()))
    for name in LABEL_ORDERS:
        assert name in LABEL_ORDER, "the help names them all"


def test_pinhole_camera_of_the_page():
    """Focal length (n - 1) / (2 tan(fov / 2)), principal point ((n - 1) / 2, (n - 1) / 2), y down and z forwards."""
    n, fov = 7, 12.0
    focal, centre = (n - 1) / (2 * math.tan(math.radians(fov) / 2)), (n - 1) / 2
    row, column = torch.meshgrid(torch.arange(n) - centre, torch.arange(n) - centre, indexing="ij")
    pinhole = torch.nn.functional.normalize(torch.stack([column, row, torch.full_like(row, focal)], -1), dim=-1)
    assert torch.allclose(pixel_directions(n, fov) * torch.tensor([1, -1, -1]), pinhole.reshape(-1, 3), atol=1e-6)


def test_axes_of_the_page():
    """x is the person's left, seen at a smaller yaw, a positive one in the pose file; a smaller pitch is above."""
    yaw, pitch = math.radians(90 - 10), math.radians(90 + 10)  # the pose file's 10 and 10 degrees
    origin = camera_origins(torch.tensor([yaw]), torch.tensor([pitch]))[0]
    assert origin[0] > 0.1
    assert origin[1] < -0.1, "a positive pitch is seen from below"
    transform = camera_to_world(origin[None])[0]
    assert torch.allclose(transform[:3, 2], origin, atol=1e-6)
    assert transform[1, 1] > 0.9
    _, directions = camera_rays(Camera(), size=3, fov_deg=12)
    assert directions[1, 1] > 0.1, "the first row is the upper one"


def test_numbers_of_the_page():
    for kind in ("celebahq", "catmask"):
        config = DATA_CONFIGS[f"{kind}_seg_to_3dface"]
        for said in (f"{config.camera.fov_deg:g}°", f"{config.camera.ray_start:.3g} to".lstrip("0"),
                     f"{config.extreme_yaw[0]} to {config.extreme_yaw[1]}".replace("0.", "."),
                     f"{config.extreme_pitch[0]} to {config.extreme_pitch[1]}".replace("0.", "."),
                     ", ".join(f"{x:g}".replace("0.", ".").replace("-", "−") for x in config.eval_yaw_offsets)):
            assert said in CAMERAS, said
