"""Argument types and helpers that the command lines share."""

import argparse
import contextlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import UserError

LABEL_ORDER = ("how mask files number the parts: celebamask, bisenet, facer, facesynthetics, lapa, makeup, a list of "
               "parts (background,skin,...: the first is value 0), or a file of one")
MOST_SEEDS = 1000  # in one range: more is a slip of the finger


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose mistakes are one line, like all of our errors; options are written out in full. A value
    that begins with ~ is a path in the home folder: shells leave it alone in --option=~/path.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        return super()._get_values(action, [_expanded(text) for text in arg_strings])

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message}; see --help")


def _expanded(text: str) -> str:
    if text.startswith("~"):
        with contextlib.suppress(RuntimeError):  # of an unknown user, or no home folder
            return str(Path(text).expanduser())
    return text


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the examples of a description as they are written and shows every default."""


def boolean(text: str) -> bool:
    """'true', '1', 'yes' ... as a real boolean."""
    if text.lower() in ("true", "t", "yes", "y", "1", "on"):
        return True
    if text.lower() in ("false", "f", "no", "n", "0", "off"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def add_flag(parser: argparse._ActionsContainer, name: str, help: str, *aliases: str, default: bool = False) -> None:
    """A flag that can be given bare (`--flag`) or with a value (`--flag False`)."""
    parser.add_argument(name, *aliases, type=boolean, nargs="?", const=True, default=default, metavar="BOOL", help=help)


def add(group: argparse._ActionsContainer, name: str, default: Any, help: str | None, *aliases: str, **settings: Any
        ) -> None:
    """An option whose default says of which type it is, and stands in the help. True or False as default makes a flag,
    `help=None` hides the option, `settings` are argparse's.
    """
    if isinstance(default, bool):
        add_flag(group, name, help or argparse.SUPPRESS, *aliases, default=default)
        return
    kind = settings.pop("type", str if default is None else type(default))
    if "choices" not in settings and kind in (int, float, str):
        settings.setdefault("metavar", kind.__name__.upper())
    shown = "" if default in (None, argparse.SUPPRESS) else " (default: %(default)s)"
    group.add_argument(name, *aliases, default=default, type=kind,
                       help=argparse.SUPPRESS if help is None else help + shown, **settings)


def positive(text: str) -> int:
    """An integer of at least one."""
    return bounded_integer(text, 1)


def natural(text: str) -> int:
    """An integer of at least zero."""
    return bounded_integer(text, 0)


def seed(text: str) -> int:
    """A number that random generators can start from."""
    return bounded_integer(text, 0, 2**63 - 1)


def port(text: str) -> int:
    """A port of this machine; 0 stands for any that is free."""
    return bounded_integer(text, 0, 65535)


def ray_samples(text: str) -> int:
    """Samples per ray: placing more of them where the surface is takes three at least."""
    return bounded_integer(text, 3)


def weight(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: give a weight from 0 to 1")
    return value


def some_of(names: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """The type of a list such as 'a,b': one at least of these names, in their order."""
    def chosen(text: str) -> tuple[str, ...]:
        given = [part.strip().lower() for part in text.split(",") if part.strip()]
        if unknown := [name for name in given or [text] if name not in names]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not among {','.join(names)}")
        return tuple(name for name in names if name in given)

    return chosen


def layer_list(text: str) -> tuple[int, ...]:
    """'8,6,7' -> (8, 6, 7): files are named by them; '' -> (). Layers of the field are 0 to 8."""
    return tuple(dict.fromkeys(bounded_integer(part, 0, 8) for part in text.split(",") if part.strip()))


def seed_list(text: str) -> tuple[int, ...]:
    """'0-5,9' -> (0, 1, 2, 3, 4, 5, 9), each once."""
    found: dict[int, None] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        first, dash, last = part.partition("-")
        low, high = seed(first), seed(last if dash else first)
        if high < low:
            raise argparse.ArgumentTypeError(f"{part!r} runs backwards; give the smaller seed first, as in 0-5")
        if high - low >= MOST_SEEDS:
            raise argparse.ArgumentTypeError(f"{part!r} are {high - low + 1} seeds; give {MOST_SEEDS} at most")
        found |= dict.fromkeys(range(low, high + 1))
    if not found:
        raise argparse.ArgumentTypeError("name one seed at least, such as 0-5,9")
    return tuple(found)


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """Parse, and say which options the command line gave itself; the parser has no defaults any more afterwards.

    Raises:
        UserError: the arguments are wrong.
    """
    opts = parser.parse_args(argv)
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return opts, set(vars(parser.parse_args(argv)))


@dataclass(frozen=True)
class CommandLine:
    """The options of a run that can be continued: those not given again are those of the run."""

    build_parser: Callable[[], argparse.ArgumentParser]
    check: Callable[[argparse.Namespace], None]  # refuses values that cannot work
    per_start: frozenset[str]  # options of one start of the program, never taken over from an earlier one

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse and check; a run that is continued in `exp_dir` gives the defaults.

        Raises:
            UserError: a value is out of range, or options contradict each other.
        """
        opts = self.build_parser().parse_args(argv)
        continued = opts.exp_dir and (opts.auto_resume or getattr(opts, "continue_training", False))
        return self.inherit(options_of_run(Path(opts.exp_dir)) if continued else {}, argv)

    def inherit(self, earlier: Mapping[str, Any], argv: Sequence[str]) -> argparse.Namespace:
        """The same with a checkpoint's `opts` as defaults.

        Raises:
            UserError: as `parse`.
        """
        parser = self.build_parser()
        names = {action.dest for action in parser._actions} - self.per_start
        parser.set_defaults(**{name: value for name, value in earlier.items() if name in names})
        opts = parser.parse_args(argv)
        self.check(opts)
        return opts


def options_of_run(exp_dir: Path) -> dict[str, Any]:
    """The options of an earlier start in the same folder, from its opt.json; none if there is no such file.

    Raises:
        UserError: the file cannot be read.
    """
    file = exp_dir / "opt.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: the options of the run cannot be read ({error}); delete the file and give all "
                        "options again") from error


def bounded_integer(text: str, low: int, high: float = math.inf) -> int:
    """An integer in this range."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not low <= value <= high:
        bounds = f"{low} or more" if high == math.inf else f"{low} to {high}"
        raise argparse.ArgumentTypeError(f"{value} is out of range, give {bounds}")
    return value
