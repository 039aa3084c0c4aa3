"""Debian's Chromium, driven by playwright: pages opened from disk, and everything that they try to do."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests of a process."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        # Pages have no sandbox under root, as in a container.
        started = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False)
        yield started
        started.close()


@dataclass
class Opened:
    """A page, and what it asked for, said and did."""

    page: object
    file: Path
    requests: list = field(default_factory=list)
    said: list = field(default_factory=list)  # by the console
    errors: list = field(default_factory=list)  # that no script caught
    dialogs: list = field(default_factory=list)  # alert, confirm, prompt

    def assert_quiet(self):
        """It has asked for nothing but itself, and nothing went wrong or was executed."""
        fetched = [url for url in self.requests if not url.startswith("data:")]
        assert fetched == [self.file.as_uri()]
        assert (self.said, self.errors, self.dialogs) == ([], [], [])
        assert self.page.evaluate("typeof window.hacked") == "undefined"


@pytest.fixture
def open_page(browser):
    """Open a file from disk in a context of its own: ``open_page(file, color_scheme="dark")``."""
    contexts = []

    def opening(file: Path, **options) -> Opened:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        opened = Opened(page, file)
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("console", lambda message: opened.said.append(message.text))
        page.on("pageerror", lambda error: opened.errors.append(str(error)))

        def dismissed(dialog):
            opened.dialogs.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", dismissed)
        page.goto(file.as_uri())
        return opened

    yield opening
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def violations():
    """What axe-core finds in a page, or in what a selector finds, with the first place of each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def found(page, within="html"):
        report = axe.run(page, within).response["violations"]
        return [(v["id"], v["help"], v["nodes"][0]["html"][:300]) for v in report]

    return found
