"""How every script of the project starts and ends."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence

from utils.errors import UserError


def run(main: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> None:
    """Call `main(argv)` and turn a `UserError` into one line on stderr and exit code 2.

    With `--debug` among the arguments the full traceback is shown instead. Ctrl-C ends with code 130, as in a shell. A
    warning is one line too, and the same words are said once, however often a file is read.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    said: set[str] = set()

    def warn_once(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in said:
            said.add(str(message))
            print(f"warning: {message}", file=sys.stderr)

    warnings.showwarning = warn_once
    try:
        main(argv)
    except UserError as error:
        if "--debug" in argv:
            raise
        message = " ".join(str(error).split())
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        if "--debug" in argv:
            raise
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # e.g. `... | head`: the reader left, nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
