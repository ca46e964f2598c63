"""Draws how the cost of a view grows (a part of benchmark.py)."""

from pathlib import Path

from utils.errors import UserError
from utils.files import atomic_path

LAWS = {"size": ("pixels along each side", 2), "samples": ("coarse samples per ray", 1),
        "width": ("width of the field", 2)}  # label, and the power that one would expect


def draw_growth(figures: dict[str, float], path: str | Path) -> None:
    """One panel for each thing that is varied: measured points, and the power of it that one would expect.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("--plot: matplotlib is not installed; pip install matplotlib") from error
    figure = Figure((9, 2.6), layout="constrained")
    for axes, (what, (label, power)) in zip(figure.subplots(1, 3), LAWS.items()):
        points = [(int(name.split()[1].rstrip(":")), value) for name, value in figures.items()
                  if name.startswith(f"{what} ")]
        values, seconds = zip(*points)
        scale = seconds[-1] / values[-1] ** power
        axes.loglog(values, [scale * value**power for value in values], "--", color="0.6", label=f"power {power}")
        axes.loglog(values, seconds, "o-", color="C0", label="measured")
        axes.set_xticks(values, [str(value) for value in values])
        axes.minorticks_off()
        axes.set_xlabel(label)
        axes.legend(frameon=False, fontsize="small")
    figure.axes[0].set_ylabel("processor seconds per view")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, metadata={"Date": None} if Path(path).suffix == ".svg" else None)
