"""Fixtures for pages in a real browser, without a window and with a software renderer.

    def test_it(open_page):
        page = open_page(path_or_address)               # a Playwright page
        page.messages, page.requests                    # what the console said, and what was asked for, so far

Needs the packages of environment/requirements-dev.txt and a Chromium. Tests are skipped where there is none, and fail
if SEM2NERF_BROWSER_REQUIRED is set.
"""

import os
import shutil
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE_MS = 120_000  # a busy machine draws slowly
REQUIRED = "SEM2NERF_BROWSER_REQUIRED"
OF_THE_BROWSER = "GL Driver Message"  # what Chromium's software renderer writes of itself when it shows a canvas


def _missing(reason: str):
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason}, and {REQUIRED} is set")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def chromium():
    """A Playwright browser. It lives as long as a test module: while it does, nothing else can run an event loop."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("the package playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        _missing("there is no Chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """`open_page(path or address, **settings of a Playwright context)` -> page."""
    contexts = []

    def opened(address, **settings):
        context = chromium.new_context(**{"viewport": {"width": 900, "height": 700}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.messages, page.requests = [], []
        page.on("console", lambda message: OF_THE_BROWSER in message.text
                or page.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.messages.append(f"error: {error}"))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
        return page

    yield opened
    for context in contexts:
        context.close()
