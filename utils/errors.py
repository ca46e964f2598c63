"""Errors that a user can cause and mend."""

from __future__ import annotations

import contextlib
import re
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
