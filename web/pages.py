"""One HTML file from a template: scripts, styles and data inside it, so that it opens anywhere and asks for nothing.

    page = build_page(Path("web/viewer/page.html"), text={"title": "90001"}, values={"preset": {...}},
                      data={"volume": b"..."})

A template is a page that also works when it is served: it names its scripts and styles by `<script src="...">` and
`<link rel="stylesheet" href="...">`, relative to itself, says `<!-- data -->` where data belongs, and `{{name}}` where
a text does. web/viewer/page_data.js reads the data: `sem2nerf.pageValue("preset")`, `sem2nerf.pageBytes("volume")`.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SCRIPT = re.compile(r'<script src="([^":]+)"></script>')
_STYLE = re.compile(r'<link rel="stylesheet" href="([^":]+)">')
_TEXT = re.compile(r"\{\{(\w+)\}\}")
DATA_PLACE = "<!-- data -->"


def build_page(template: Path, *, text: Mapping[str, str] | None = None, values: Mapping[str, Any] | None = None,
               data: Mapping[str, bytes] | None = None, inline: bool = True) -> str:
    """The text of the page.

    Args:
        template: see above.
        text: name -> what stands in place of {{name}}, as text and not as HTML.
        values: name -> anything that JSON can say.
        data: name -> bytes; a third longer in the page.
        inline: scripts and styles become part of the page; else they stay references, for a server.

    Raises:
        KeyError: the template asks for a text that is not given.
        ValueError: there is data, and the template has no place for it.
    """
    page = template.read_text(encoding="utf-8")
    page = _TEXT.sub(lambda match: html.escape((text or {})[match[1]]), page)
    if inline:
        page = _STYLE.sub(lambda match: f"<style>\n{style(template.parent / match[1])}</style>", page)
        page = _SCRIPT.sub(lambda match: f"<script>\n{script(template.parent / match[1])}</script>", page)
    elements = [_element(f"value-{name}", "application/json", in_script(json.dumps(value)))
                for name, value in (values or {}).items()]
    elements += [_element(f"data-{name}", "application/octet-stream", base64.b64encode(value).decode())
                 for name, value in (data or {}).items()]
    if elements and DATA_PLACE not in page:
        raise ValueError(f"{template} has no {DATA_PLACE}")
    return page.replace(DATA_PLACE, "\n".join(elements), 1)


def script(path: Path) -> str:
    """The text of a script as it may stand inside a page."""
    # "\/" and "\!" are "/" and "!" in strings, templates and regular expressions, the only places for such tags
    return re.sub(r"<(?=/script|!--)", r"<\\", path.read_text(encoding="utf-8"), flags=re.IGNORECASE)


def style(path: Path) -> str:
    """The text of a style sheet as it may stand inside a page."""
    return re.sub(r"</(?=style)", r"<\\/", path.read_text(encoding="utf-8"), flags=re.IGNORECASE)


def in_script(text: str) -> str:
    """JSON, or a string literal of JavaScript, as it may stand inside a script element: the same value."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _element(name: str, kind: str, content: str) -> str:
    return f'<script type="{kind}" id="{html.escape(name)}">{content}</script>'
