"""How every script of the project starts and ends."""

import functools
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

from utils.caches import choose_writable_caches
from utils.errors import UserError
from utils.files import PROJECT
from utils.memory import memory_named

Result = TypeVar("Result")


def command(memory: str = "give it a machine with more, or end other programs", **flags: str
            ) -> Callable[[Callable[[Sequence[str]], Result]], Callable[[Sequence[str]], Result]]:
    """Decorates a script's `main(argv)`: errors of the library name the command's flags.

    A setting has the flag of its name; `flags` holds those that are called otherwise here, e.g.
    `@command(paths_list="infer_paths_conf")`. `memory` says what to lower where memory runs out.
    """
    def decorate(main: Callable[[Sequence[str]], Result]) -> Callable[[Sequence[str]], Result]:
        @functools.wraps(main)
        def wrapped(argv: Sequence[str]) -> Result:
            try:
                with memory_named(memory):
                    return main(argv)
            except UserError as error:
                raise error.with_settings(lambda name: f"--{flags.get(name, name)}") from error.__cause__

        return wrapped

    return decorate


def run(main: Callable[[Sequence[str]], object], argv: Sequence[str] | None = None) -> None:
    """Call `main(argv)` and turn a `UserError` into one line on stderr and exit code 2.

    With `--debug` among the arguments the full traceback is shown instead. Ctrl-C ends with code 130, as in a shell. A
    missing package is named in one line; a warning is one line too, and the same words are said once, however often a
    file is read.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the console lacks is shown escaped
            stream.reconfigure(errors="backslashreplace")
    said: set[str] = set()

    def warn_once(message: Warning | str, *_: object, **__: object) -> None:
        text = str(UserError(str(message)).with_settings(lambda name: f"--{name}"))
        if text not in said:
            said.add(text)
            print(f"warning: {text}", file=sys.stderr)

    warnings.showwarning = warn_once
    choose_writable_caches()
    try:
        main(argv)
    except (UserError, KeyboardInterrupt) as error:
        if "--debug" in argv:
            raise
        sys.exit(report(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if "--debug" in argv or not package or (PROJECT / package).exists():
            raise
        sys.exit(report(UserError(f"{package} is not installed: pip install -r environment/requirements.txt")))
    except BrokenPipeError:  # e.g. `... | head`: the reader left, nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report(error: BaseException, debug: bool = False) -> int:
    """Say on stderr what ends the program: one line for what a user can mend, a traceback for all else.

    Args:
        debug: a traceback in any case.

    Returns:
        the exit code.
    """
    if debug or not isinstance(error, (UserError, KeyboardInterrupt)):
        traceback.print_exception(error)
        return 1
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return 130
    print("error: " + " ".join(str(error.with_settings(lambda name: f"--{name}")).split()), file=sys.stderr)
    return 2
