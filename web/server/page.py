"""The page's files, read once: nothing else can be asked for by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from web.pages import build_page

WEB = Path(__file__).resolve().parents[1]
FOLDERS = ("editor", "viewer")
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
PAGE = "text/html; charset=utf-8"


@dataclass(frozen=True)
class PageFile:
    data: bytes
    media_type: str


class PageFiles:
    """The editor's page with everything that it loads, by the path that the page asks for."""

    def __init__(self) -> None:
        found = {f"{folder}/{path.name}": path for folder in FOLDERS for path in sorted((WEB / folder).iterdir())
                 if path.suffix in TYPES}
        self._files = {name: PageFile(path.read_bytes(), TYPES[path.suffix]) for name, path in found.items()}
        self._files[""] = PageFile(build_page(WEB / "editor/page.html", inline=False).encode(), PAGE)

    def file(self, folder: str, name: str) -> PageFile | None:
        """The page itself is '' in ''. None where the page has no such file."""
        return self._files.get(f"{folder}/{name}".strip("/"))
