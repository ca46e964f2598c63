"""One module for each category of heads; a new module is found by itself.

See "A category of your own" in docs/training.md.
"""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

from configs.category import CameraPreset, Category, DataConfig, LabelSpace

Item = TypeVar("Item", LabelSpace, CameraPreset, DataConfig)

CATEGORIES: tuple[Category, ...] = tuple(
    import_module(f"{__name__}.{module.name}").CATEGORY for module in iter_modules(__path__))


def by_name(items: Iterable[Item]) -> dict[str, Item]:
    """The entries of all categories.

    Raises:
        ValueError: two have the same name.
    """
    named: dict[str, Item] = {}
    for item in items:
        if item.name in named:
            raise ValueError(f"configs/categories: two entries ({type(item).__name__}) are called {item.name}")
        named[item.name] = item
    return named
