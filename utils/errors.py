"""Errors that a user can cause and mend, and warnings."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator

_SETTING = re.compile(r"`(\w+)`")


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line that names the file or the setting, says what is wrong with it, and what to do. Settings
    stand in backticks, by the name they have in the library: "`data_root` /x: there is no such folder". A command
    shows them as its flags (see `utils.cli.command`); library callers catch the exception and read the names of its
    arguments.
    """

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings that the message is about, in its order."""
        return tuple(dict.fromkeys(_SETTING.findall(str(self))))

    def with_settings(self, show: Callable[[str], str]) -> UserError:
        """The same error with each setting (and its backticks) replaced by `show(name)`."""
        return UserError(_SETTING.sub(lambda match: show(match[1]), str(self)))


@contextlib.contextmanager
def settings_named(**names: str) -> Iterator[None]:
    """While inside, errors about a setting `inner` are about the caller's setting: settings_named(inner="outer")."""
    try:
        yield
    except UserError as error:
        raise error.with_settings(lambda name: f"`{names.get(name, name)}`") from error


_lists: list[list[str]] = []


@contextlib.contextmanager
def listed_warnings() -> Iterator[list[str]]:
    """While inside, `warn` fills a list, from whichever thread it is called. Python's own way of recording warnings
    loses some where threads record or import at the same time."""
    found: list[str] = []
    _lists.append(found)
    try:
        yield found
    finally:
        _lists.remove(found)


def warn(text: str, category: type[Warning] = UserWarning, stacklevel: int = 2) -> None:
    """`warnings.warn`, or see `listed_warnings`."""
    if _lists:
        _lists[-1].append(text)
    else:
        warnings.warn(text, category, stacklevel=stacklevel + 1)
