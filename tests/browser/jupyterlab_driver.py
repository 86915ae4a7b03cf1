"""JupyterLab in headless Chromium: started as a learner starts it, with everything that is not loopback
refused and recorded.

`run_notebook` is the whole of it: serve, open, Run All, wait, move a slider, save, read the saved file
back, and report.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import matplotlib
import nbformat
import nbformat.reader
import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "settings/@jupyterlab/apputils-extension"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def chromium_or_reason() -> tuple[str, str]:
    """Paths of Chromium and its driver. Where one is missing the test fails, or is skipped when that was
    asked for."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if browser and driver:
        return browser, driver
    reason = (
        "the browser test needs Chromium and its driver: on Debian or Ubuntu `sudo apt-get install chromium chromium-driver`; "
        "or set LABLIB_SKIP_BROWSER=1 to go without"
    )
    if os.environ.get("LABLIB_SKIP_BROWSER") == "1":
        pytest.skip(reason)
    pytest.fail(reason)


@dataclass
class Server:
    """A running JupyterLab."""

    url: str
    token: str
    opened: str

    def page(self, path: str) -> str:
        """Address of a file of the project in JupyterLab, in a fresh workspace."""
        return f"{self.url}/lab/workspaces/{uuid.uuid4().hex}/tree/{path}?token={self.token}"

    def api(self, method: str, path: str) -> Any:
        """One call of the server's own interface."""
        request = Request(f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"})
        with urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")


@contextlib.contextmanager
def serve(home: Path) -> Iterator[Server]:
    """`lab notebook` with homes and settings of its own; ended, kernels too, when the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "MPLCONFIGDIR": matplotlib.get_configdir(),  # else every run builds its list of fonts anew
        "LABLIB_HOME": str(home / "lablib"),
        "LABLIB_PROFILE": "smoke",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    log = (home / "server.log").open("w+")
    command = [sys.executable, "-m", "lablib.course.cli", "notebook", "--no-browser", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    try:
        found: re.Match[str] | None = None

        def started() -> bool:
            nonlocal found
            assert process.poll() is None, f"the server ended:\n{(home / 'server.log').read_text()[-3000:]}"
            found = re.search(
                r"^open: (https?://[^/\s]+)([^?\s]*)\?token=(\w+)", (home / "server.log").read_text(), re.M
            )
            return found is not None

        wait_for(started, 40, lambda: f"no line `open: URL`:\n{(home / 'server.log').read_text()[-3000:]}")
        assert found is not None
        yield Server(found[1], found[3], found[1] + found[2])
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
        log.close()


class Browser:
    """Headless Chromium with a record of what the pages asked for and complained about."""

    def __init__(self, home: Path) -> None:
        binary, driver = chromium_or_reason()
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={home / 'chromium'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(driver))
        self.driver.set_script_timeout(20)
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()

    def forget(self) -> None:
        """Begins a new record."""
        self.collect()
        self.complaints, self.requests = [], []

    def collect(self) -> None:
        """Takes over what the browser has logged since the last call."""
        for entry in self.driver.get_log("browser"):
            if entry["level"] == "SEVERE":
                self.complaints.append(entry["message"])
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                self.requests.append(message["params"]["url"])

    @property
    def outside(self) -> list[str]:
        """Requests to anything that is not this machine."""
        self.collect()
        return [
            url
            for url in self.requests
            if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).hostname not in LOOPBACK
        ]

    def find(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def menu(self, title: str, command: str) -> None:
        """Chooses an entry of JupyterLab's menu bar, as a hand would."""
        entry = f".lm-Menu-item[data-command='{command}']"
        label = f"//div[contains(@class,'lm-MenuBar-itemLabel') and text()='{title}']"

        def opened() -> bool:
            if not self.find(entry):
                self.driver.find_element(By.XPATH, label).click()
            return bool(self.find(entry)) and self.find(entry)[0].is_displayed()

        wait_for(opened, 15, lambda: f"no {command} in the menu {title}")
        self.find(entry)[0].click()

    def screenshot(self, name: str) -> None:
        """A picture of the window into the folder LABLIB_SCREENSHOTS, where one is named."""
        folder = os.environ.get("LABLIB_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(folder) / f"{name}.png"))


def wait_for(condition: Callable[[], bool], seconds: float, message: Callable[[], str]) -> None:
    """Waits until the condition holds; a page that is just being redrawn counts as not yet."""
    end = time.monotonic() + seconds
    last: Exception | None = None
    while True:
        try:
            last = None
            if condition():
                return
        except (WebDriverException, IndexError) as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"{message()} (waited {seconds:.0f} s)") from last
        time.sleep(0.1)


@dataclass
class Report:
    """What happened when a notebook was run in the browser."""

    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    saved_errors: list[str] = field(default_factory=list)
    unrun: list[str] = field(default_factory=list)
    sliders: int = 0
    slider_changed_picture: bool = False
    frames: list[dict[str, Any]] = field(default_factory=list)
    pictures: int = 0
    broken_pictures: int = 0
    saved: Any = None
    seconds: float = 0.0

    @property
    def problems(self) -> list[str]:
        """Everything that a learner would stumble over; empty when all is well."""
        found = [f"page error: {text}" for text in self.complaints]
        found += [f"asked the internet for {url}" for url in self.outside]
        found += [f"saved error: {text}" for text in self.saved_errors]
        found += [f"cell not run: {text}" for text in self.unrun]
        if self.broken_pictures:
            found.append(f"{self.broken_pictures} pictures do not show")
        if self.sliders and not self.slider_changed_picture:
            found.append("moving a slider changed no picture")
        for frame in self.frames:
            if frame["lines"] <= 20:
                found.append(f"a bertviz frame holds {frame['lines']} lines that can be seen, expected more than 20")
            if frame["scrolls"]:
                found.append("a bertviz frame has a scroll bar inside")
            if frame["still"]:
                found.append("the picture that stands in for a bertviz frame is still seen beside it")
        return found


@contextlib.contextmanager
def session() -> Iterator["Session"]:
    """A server and a browser, with a home of their own that goes afterwards."""
    chromium_or_reason()
    home = Path(tempfile.mkdtemp(prefix="browser-test-"))
    try:
        with serve(home) as server, Browser(home) as browser:
            yield Session(home, server, browser)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@dataclass
class Session:
    """One server and one browser, for one notebook after the other."""

    home: Path
    server: Server
    browser: Browser

    def theme(self, name: str | None) -> None:
        """Chooses JupyterLab's theme for the pages that are opened from now on."""
        file = self.home / SETTINGS / "themes.jupyterlab-settings"
        file.unlink(missing_ok=True)
        if name:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"theme": name}))

    def end_kernels(self) -> None:
        """Ends what runs on the server, so that no notebook waits for the memory of the one before."""
        for running in self.server.api("GET", "sessions"):
            self.server.api("DELETE", f"sessions/{running['id']}")


def run_notebook(path: Path, theme: str | None = None, timeout: float = 300, within: Session | None = None) -> Report:
    """Runs a copy of a notebook from top to bottom in JupyterLab and reports what a learner would have met.

    Args:
        path: an .ipynb anywhere; a copy of it runs in a folder that git ignores, which goes afterwards.
        theme: name of a JupyterLab theme, the default one when left out.
        timeout: seconds for all cells together.
        within: a session to use; one is made for this notebook alone when left out.
    """
    if within is None:
        with session() as within:
            return run_notebook(path, theme, timeout, within)
    folder = ROOT / "work" / f"browser-test-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    start = time.monotonic()
    try:
        copy = Path(shutil.copy(path, folder / path.name))
        within.theme(theme)
        within.browser.forget()
        report = _drive(within.server, within.browser, copy, timeout, path.stem + ("-dark" if theme else ""))
        within.end_kernels()
        report.seconds = time.monotonic() - start
        return report
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()  # only when nothing else is in it


def _drive(server: Server, browser: Browser, copy: Path, timeout: float, name: str) -> Report:
    report = Report()
    open_notebook(server, browser, copy)
    browser.menu("Run", "runmenu:run-all")
    prompts = ".jp-CodeCell .jp-InputArea-prompt"
    ran = [f"[{n}]:" for n in range(1, 1000)]

    def busy() -> list[str]:
        return [text for text in browser.script(
            f"return [...document.querySelectorAll('{prompts}')].map(node => node.textContent.trim())"
        ) if text == "[*]:"]  # fmt: skip

    def done() -> bool:
        if busy():
            return False
        report.saved = save(browser, copy)
        return not _unrun(report.saved) or any(_errors(report.saved))

    wait_for(
        lambda: bool(busy()) or any(node.text in ran for node in browser.find(prompts)),
        60,
        lambda: "no cell began to run",
    )
    try:
        wait_for(done, timeout, lambda: "")
    except AssertionError:
        report.saved = read_saved(copy)
    browser.screenshot(f"{name}-end")
    report.frames = [
        _look_into(browser, frame, f"{name}-frame{i}") for i, frame in enumerate(browser.find("iframe[data-height]"))
    ]
    _move_slider(browser, report, name)
    seen = browser.script(
        "return [...document.querySelectorAll('.jp-OutputArea-output img')]"
        ".filter(image => image.style.display !== 'none').map(image => image.complete && image.naturalWidth > 20)"
    )
    report.pictures, report.broken_pictures = len(seen), seen.count(False)
    report.saved = save(browser, copy)
    report.saved_errors, report.unrun = _errors(report.saved), _unrun(report.saved)
    browser.collect()
    report.complaints, report.outside = browser.complaints, browser.outside
    return report


def open_notebook(server: Server, browser: Browser, copy: Path) -> None:
    """Opens a notebook of the project and waits until its kernel is ready."""
    browser.driver.get(server.page(copy.relative_to(ROOT).as_posix()))
    wait_for(lambda: bool(browser.find(".jp-NotebookPanel .jp-CodeCell")), 60, lambda: "the notebook does not open")
    dialog = ".jp-Dialog-content"

    def settled() -> bool:
        status = browser.script("return document.querySelector('#jp-main-statusbar').textContent")
        return bool(browser.find(dialog)) or "| Idle" in status

    wait_for(settled, 60, lambda: "the kernel does not start")
    texts = [node.text for node in browser.find(dialog)]
    assert not texts, f"a dialog stands in the learner's way: {texts}"


def save(browser: Browser, copy: Path) -> Any:
    """Saves from the keyboard and reads the file back."""
    before = copy.stat().st_mtime_ns
    browser.driver.find_element(By.CSS_SELECTOR, "body").send_keys(Keys.CONTROL, "s")
    with contextlib.suppress(AssertionError):  # a notebook with no change is not written again
        wait_for(lambda: copy.stat().st_mtime_ns != before, 3, lambda: "")
    return read_saved(copy)


def read_saved(copy: Path) -> Any:
    """The notebook as it stands on disk; JupyterLab may be writing it, so a half-written file is read again."""
    for _ in range(50):
        with contextlib.suppress(nbformat.reader.NotJSONError):
            return nbformat.read(copy, as_version=4)
        time.sleep(0.1)
    raise AssertionError(f"{copy} still holds no notebook after 5 s")


def _unrun(notebook: Any) -> list[str]:
    return [
        cell.source.strip().split("\n")[0]
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None
    ]


def _errors(notebook: Any) -> list[str]:
    return [
        f"{output.ename}: {output.evalue}"
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]


def _look_into(browser: Browser, frame: WebElement, name: str) -> dict[str, Any]:
    """What one bertviz frame shows: lines with ink, a scroll bar, and whether its stand-in picture is
    gone."""
    browser.script("arguments[0].scrollIntoView({block: 'center'})", frame)
    time.sleep(0.3)
    browser.screenshot(name)
    return browser.script(
        """
        const frame = arguments[0], page = frame.contentDocument.documentElement;
        const still = frame.parentElement.querySelector("img");
        return {
          lines: [...page.querySelectorAll("svg line")].filter(line => +line.getAttribute("stroke-opacity") > 0.01).length,
          scrolls: page.scrollHeight > frame.clientHeight || page.scrollWidth > frame.clientWidth,
          still: Boolean(still && still.offsetParent),
          height: frame.clientHeight,
        };
        """,
        frame,
    )


def _move_slider(browser: Browser, report: Report, name: str) -> None:
    """Moves the first slider from the keyboard and looks whether the picture of its widget changed."""
    handles = browser.find(".jp-OutputArea-output .noUi-handle")
    report.sliders = len(handles)
    if not handles:
        return
    look = "return [...arguments[0].closest('.jp-OutputArea-output').querySelectorAll('img')].map(i => i.src).join()"
    before = browser.script(look, handles[0])
    browser.script("arguments[0].scrollIntoView({block: 'center'})", handles[0])
    browser.screenshot(f"{name}-slider-before")
    at_its_end = handles[0].get_attribute("aria-valuenow") == handles[0].get_attribute("aria-valuemax")
    for _ in range(6):
        handles[0].send_keys(Keys.ARROW_LEFT if at_its_end else Keys.ARROW_RIGHT)
    with contextlib.suppress(AssertionError):
        wait_for(lambda: browser.script(look, handles[0]) != before, 10, lambda: "")
        report.slider_changed_picture = True
        time.sleep(1)
    browser.screenshot(f"{name}-slider-after")
