"""A headless Chromium before the page of a server; tests are skipped where one of them is missing."""

import shutil

import pytest

from tests.app.browser.page import Page

webdriver = pytest.importorskip("selenium.webdriver", reason="the browser tests need selenium")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("the browser tests need chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield started
    finally:
        started.quit()


@pytest.fixture
def page(chromium, server):
    """The page as a visitor finds it at first; the test fails where the page wrote an error to the console."""
    page = Page(chromium, server.address)
    page.resize(1280, 800)
    page.scheme("light")
    page.open(fresh=True)
    yield page
    assert page.console() == []
