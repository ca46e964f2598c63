"""Pages in one file."""

import base64
import json

import pytest

from web.pages import build_page

TEMPLATE = """<!doctype html><title>{{title}}</title><link rel="stylesheet" href="a.css"><p>{{title}}
<!-- data -->
<script src="b.js"></script>"""
SCRIPT = "const text = '</script><!--', part = `</SCRIPT>`; document.title += `|${text}|${part}`; // \\d $1"
NASTY = "</script><!--\u2028\\\"'&"


@pytest.fixture
def template(tmp_path):
    (tmp_path / "page.html").write_text(TEMPLATE)
    (tmp_path / "a.css").write_text("p::after { content: '</style>'; }")
    (tmp_path / "b.js").write_text(SCRIPT)
    return tmp_path / "page.html"


def test_everything_is_inside(template):
    page = build_page(template, text={"title": "<b>"}, values={"name": NASTY}, data={"bytes": b"\x00\xff"})
    assert page.lower().count("</script>") == 3  # the script, a value, bytes
    assert page.count("</style>") == 1
    assert "<b>" not in page
    assert page.count("&lt;b&gt;") == 2
    assert "href=" not in page
    assert "src=" not in page
    value = page.partition('id="value-name">')[2].partition("</script>")[0]
    assert json.loads(value) == NASTY
    assert base64.b64decode(page.partition('id="data-bytes">')[2].partition("<")[0]) == b"\x00\xff"


def test_a_script_does_inside_what_it_does_outside(template, tmp_path, open_page):
    (tmp_path / "inside.html").write_text(build_page(template, text={"title": "t"}))
    page = open_page(tmp_path / "inside.html")
    assert page.title() == "t|</script><!--|</SCRIPT>"
    assert page.evaluate("getComputedStyle(document.querySelector('p'), '::after').content") == '"</style>"'
    assert page.messages == []


def test_a_served_page_keeps_its_references(template):
    page = build_page(template, text={"title": "t"}, inline=False)
    assert '<script src="b.js"></script>' in page
    assert '<link rel="stylesheet" href="a.css">' in page


def test_what_is_missing(template):
    with pytest.raises(KeyError, match="title"):
        build_page(template)
    template.write_text("<p>no place")
    with pytest.raises(ValueError, match=r"page\.html has no <!-- data -->"):
        build_page(template, values={"name": 1})
