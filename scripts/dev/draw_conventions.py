"""Draw the cameras of docs/camera_conventions.md and the colour tables of docs/label_spaces.md, from the code itself.

    python scripts/dev/draw_conventions.py              # after a change of cameras, label tables or colours
    python scripts/dev/draw_conventions.py --docs FOLDER
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from configs.data_configs import data_config
from configs.label_spaces import LABEL_SPACES, Colour, LabelSpace
from options.arguments import Parser
from utils.cli import command, run
from utils.errors import UserError
from utils.files import write_text

DOCS = Path(__file__).resolve().parents[2] / "docs"
SPACES = ("CelebAMask_HQ", "CatMask")
UNIT = 140  # pixels of the drawing for the distance from camera to head, 1
INK, FAINT, ACCENT, WARM = "#222", "#999", "#0b62a4", "#b5531c"


def text(x: float, y: float, words: str, *, anchor: str = "middle", colour: str = INK, size: int = 13) -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">'
            f"{words.replace('&', '&amp;').replace('<', '&lt;')}</text>")


def line(x1: float, y1: float, x2: float, y2: float, colour: str = INK, extra: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>'


def dot(x: float, y: float, colour: str = ACCENT, radius: float = 5) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'


def svg(width: int, height: int, parts: Sequence[str]) -> str:
    """An image on white, so that it can be read on a dark page too."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>', *parts, "</svg>", ""])


def position(yaw: float, pitch: float) -> tuple[float, float, float]:
    """Where the code puts a camera: x, y, z."""
    import torch

    from models.pigan.cameras import camera_origins

    x, y, z = camera_origins(torch.tensor([yaw]), torch.tensor([pitch]))[0].tolist()
    return x, y, z


def sphere(centre_x: float, centre_y: float) -> list[str]:
    """The unit sphere, on which all cameras stand."""
    return [f'<circle cx="{centre_x}" cy="{centre_y}" r="{UNIT}" fill="none" stroke="{FAINT}" stroke-dasharray="4 4"/>']


def seen_from_above(centre_x: float, centre_y: float) -> list[str]:
    """x to the right, z downwards: the yaws of a result row, and near and far along the frontal ray."""
    config = data_config("celebahq_seg_to_3dface")
    parts = sphere(centre_x, centre_y)
    for offset in config.eval_yaw_offsets:
        x, _, z = position(math.pi / 2 + offset, math.pi / 2)
        at = centre_x + UNIT * x, centre_y + UNIT * z
        parts += [line(centre_x, centre_y, *at, colour=FAINT), dot(*at),
                  text(centre_x + 1.17 * UNIT * x + (0 if offset else 10), centre_y + 1.17 * UNIT * z + 4,
                       f"{offset:+.2f}".replace("-", "−") if offset else "0", colour=ACCENT)]
    for depth, word in ((config.camera.ray_start, "near"), (config.camera.ray_end, "far")):
        z = centre_y + UNIT * (1 - depth)
        parts += [line(centre_x - 34, z, centre_x + 34, z, WARM),
                  text(centre_x - 40, z + 4, f"{word} {depth}", anchor="end", colour=WARM)]
    x, z = centre_x, centre_y
    parts += [f'<ellipse cx="{x}" cy="{z}" rx="13" ry="15" fill="#ddd" stroke="{INK}"/>',
              f'<path d="M{x - 4} {z + 14} L{x} {z + 21} L{x + 4} {z + 14}" fill="#ddd" stroke="{INK}"/>',
              text(x, centre_y - UNIT - 34, "From above: yaw = π/2 + offset", size=15),
              line(x, z, x + UNIT + 24, z, extra='marker-end="url(#tip)"'), text(x + UNIT + 34, z + 4, "x"),
              text(x + UNIT - 22, z - 10, "the person's left", size=11),
              line(x, z, x, z + UNIT + 50, extra='marker-end="url(#tip)"'), text(x + 12, z + UNIT + 56, "z")]
    return parts


def seen_from_the_side(centre_x: float, centre_y: float) -> list[str]:
    """z to the right, y upwards: pitches."""
    parts = sphere(centre_x, centre_y)
    for pitch, words in ((math.pi / 2, "π/2"), (math.pi / 2 - 0.3, "π/2 − 0.3"), (math.pi / 2 + 0.3, "π/2 + 0.3"),
                         (math.pi / 4, "π/4, the orbit")):
        _, y, z = position(math.pi / 2, pitch)
        at = centre_x + UNIT * z, centre_y - UNIT * y
        parts += [line(centre_x, centre_y, *at, colour=FAINT), dot(*at),
                  text(at[0] + 10, at[1] + (18 if pitch == math.pi / 2 else 4), words, anchor="start", colour=ACCENT)]
    x, y = centre_x, centre_y
    parts += [f'<ellipse cx="{x}" cy="{y}" rx="15" ry="19" fill="#ddd" stroke="{INK}"/>',
              f'<path d="M{x + 14} {y - 4} L{x + 22} {y + 3} L{x + 13} {y + 5}" fill="#ddd" stroke="{INK}"/>',
              text(x, centre_y - UNIT - 34, "From the side: pitch", size=15),
              line(x, y, x + UNIT + 70, y, extra='marker-end="url(#tip)"'), text(x + UNIT + 80, y + 4, "z"),
              line(x, y, x, y - UNIT - 20, extra='marker-end="url(#tip)"'), text(x + 12, y - UNIT - 16, "y")]
    return parts


def pixel_grid(left: float, top: float, side: float) -> list[str]:
    """The image plane with the pixels of a 5 x 5 image."""
    parts = [f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="#eef4fa" stroke="{FAINT}"/>',
             text(left + side / 2, top - 46, "The image: rays through pixels", size=15)]
    for row in range(5):
        parts += [dot(left + side * column / 4, top + side * row / 4, radius=3.5) for column in range(5)]
    return [*parts,
            text(left, top - 12, "row 0, column 0", anchor="start", size=11),
            text(left + side / 2, top + side + 20, "x = −1 … +1, both ends included", size=12),
            text(left + side + 10, top + 4, "y = +1", anchor="start", size=12),
            text(left + side + 10, top + side + 4, "y = −1", anchor="start", size=12),
            text(left + side / 2, top + side + 40, "direction ∝ (x, y, −1 / tan(fov / 2))", size=12)]


def cameras_svg() -> str:
    """The drawing of docs/camera_conventions.md."""
    tip = (f'<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">'
           f'<path d="M0 0 L7 3 L0 6 z" fill="{INK}"/></marker></defs>')
    return svg(1090, 420, [tip, *seen_from_above(190, 200), *seen_from_the_side(560, 200), *pixel_grid(870, 120, 150)])


class Part(NamedTuple):
    """One label of a space."""

    label: int
    name: str
    colour: Colour

    def __str__(self) -> str:
        return f"{self.label} {self.name}"


def part(space: LabelSpace, label: int) -> Part:
    return Part(label, space.labels[label], space.palette[label])


def merges(space: LabelSpace) -> list[tuple[Part, Part]]:
    """Each part with what it becomes when labels are merged."""
    if space.merge is None or space.merged is None:
        raise ValueError(f"label space {space.name} is merged already")
    return [(part(space, label), part(space.merged, merged)) for label, merged in enumerate(space.merge)]


def labels_svg(space: LabelSpace) -> str:
    """Every label with its colour, and what it becomes when labels are merged."""
    parts = [text(x, 18, words, anchor="start", colour=FAINT) for x, words in ((10, "in the file"), (250, "merged"))]
    for own, merged in merges(space):
        y = 28 + 22 * own.label
        parts += [*swatch(10, y, own), line(180, y + 8, 236, y + 8, FAINT), *swatch(250, y, merged)]
    return svg(420, 36 + 22 * len(space), parts)


def swatch(x: float, y: float, own: Part) -> list[str]:
    colour = "#{:02x}{:02x}{:02x}".format(*own.colour)
    return [f'<rect x="{x}" y="{y}" width="26" height="17" fill="{colour}" stroke="{FAINT}"/>',
            text(x + 34, y + 13, str(own), anchor="start")]


def labels_table(space: LabelSpace) -> str:
    """The same as a Markdown table."""
    rows = ["| label | part | colour (R, G, B) | merged | its colour |", "|---|---|---|---|---|"]
    for own, merged in merges(space):
        colours = [", ".join(map(str, colour)) for colour in (own.colour, merged.colour)]
        rows.append(f"| {own.label} | {own.name} | {colours[0]} | {merged} | {colours[1]} |")
    return "\n".join(rows)


def with_tables(page: str) -> str:
    """The page docs/label_spaces.md with its tables made anew, each between a pair of comments that name its space.

    Raises:
        UserError: the page has lost one of these comments.
    """
    for name in SPACES:
        start, end = f"<!-- table {name} -->\n", f"\n<!-- end of table {name} -->"
        if page.count(start) != 1 or page.count(end) != 1:
            raise UserError(f"docs/label_spaces.md: the comments around the table {name} are missing; restore them")
        before, _, rest = page.partition(start)
        page = before + start + labels_table(LABEL_SPACES[name]) + end + rest.partition(end)[2]
    return page


@command()
def main(argv: Sequence[str]) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder docs (default: the project's own)")
    docs = parser.parse_args(argv).docs
    page = docs / "label_spaces.md"
    if not page.is_file():
        raise UserError(f"--docs {docs}: there is no label_spaces.md in it; give the folder docs")
    write_text(page, with_tables(page.read_text(encoding="utf-8")))
    write_text(docs / "camera_conventions.svg", cameras_svg())
    for name in SPACES:
        write_text(docs / f"label_space_{name}.svg", labels_svg(LABEL_SPACES[name]))
    print(f"drew {2 + len(SPACES)} files in {docs}/")


if __name__ == "__main__":
    run(main)
