"""The labs in JupyterLab as a learner meets them, driven in headless Chromium with no way out to the
internet."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupyterlab_driver import ROOT, Session, chromium_or_reason, run_notebook, session, wait_for

pytestmark = pytest.mark.browser
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
LABS = (
    "01_recurrence",
    "02_attention",
    "03_positions",
    "04_transformer",
    "05_data",
    "06_tokenization",
    "07_pretraining",
    "08_objectives",
    "09_sft",
    "10_lora",
    "11_rag",
    "12_rlhf",
    "13_dpo",
    "14_constitutional_ai",
    "15_comparison",
)


@pytest.fixture(scope="module")
def jupyterlab() -> Iterator[Session]:
    with session() as running:
        yield running


@pytest.mark.parametrize("lab", LABS)
def test_a_lab_runs_in_the_browser(jupyterlab: Session, lab: str) -> None:
    """Run All on the blank lab: no error on the page or in the file, every cell run, sliders and views alive."""
    report = run_notebook(ROOT / "labs" / f"{lab}.ipynb", within=jupyterlab)
    assert report.problems == []
    assert report.pictures >= 5
    assert report.sliders >= (0 if lab in ("06_tokenization", "08_objectives") else 1), (
        "these two have nothing to slide"
    )
    if lab == "02_attention":
        assert len(report.frames) >= 1, "the real model's attention, drawn by bertviz"


def test_every_view_draws_in_a_dark_theme_too(jupyterlab: Session, tmp_path: Path) -> None:
    """All views beside one another, two of bertviz's among them, in the dark (the labs run in the light)."""
    notebook = tmp_path / "show.ipynb"
    made = jupytext.read(Path(__file__).with_name("fixtures") / "show.py")
    made.metadata["kernelspec"] = KERNEL
    nbformat.write(made, notebook)
    report = run_notebook(notebook, "JupyterLab Dark", within=jupyterlab)
    assert report.problems == []
    assert [frame["lines"] > 20 for frame in report.frames] == [True, True]
    assert report.pictures == 3, "live chart, map, explorer; the two bertviz stand-ins are hidden"
    outputs = {cell.source.split("(")[0]: cell.outputs for cell in report.saved.cells if cell.cell_type == "code"}
    assert len(outputs["with LiveChart"]) == 1, "one display, updated in place"
    chart = outputs["with LiveChart"][0].data
    assert chart["text/plain"] == "Loss and gradient norm by step: both fall."
    assert len(chart["image/png"]) > 20_000
    assert "image/png" in outputs["def attention"][0].data, "a reopened notebook shows a picture"


def test_the_launcher_opens_the_welcome_with_the_readme_in_reach(jupyterlab: Session) -> None:
    """`lab notebook`: the welcome is open, the root is the project, README opens rendered, no news toast."""
    browser, server = jupyterlab.browser, jupyterlab.server
    jupyterlab.theme(None)
    browser.forget()
    assert server.opened.endswith("/lab/tree/labs/00_welcome.ipynb") or "/work/" in server.opened
    browser.driver.get(f"{server.opened}?token={server.token}")
    tabs = "#jp-main-dock-panel .lm-TabBar-tabLabel"
    wait_for(lambda: "00_welcome.ipynb" in [tab.text for tab in browser.find(tabs)], 60, lambda: "no welcome is open")
    files = ".jp-DirListing-itemText"

    def listed() -> bool:
        browser.script("document.querySelector('.jp-BreadCrumbs-home').click()")
        return "README.md" in [item.text for item in browser.find(files)]

    wait_for(listed, 20, lambda: f"no README is listed, only {[item.text for item in browser.find(files)]}")
    readme = next(item for item in browser.find(files) if item.text == "README.md")
    browser.script("arguments[0].dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))", readme)
    titles = ".jp-MarkdownViewer h1"
    wait_for(
        lambda: any("From Data to Dialogue" in title.text for title in browser.find(titles)),
        20,
        lambda: "README does not open rendered",
    )
    browser.screenshot("launcher")
    assert not browser.find(".Toastify__toast"), "no news toast"
    assert browser.outside == []
    assert browser.complaints == []
    jupyterlab.end_kernels()


def test_the_test_sees_what_is_wrong(jupyterlab: Session, tmp_path: Path) -> None:
    """A notebook with an error, a call to the internet and a broken picture is reported as such."""
    notebook = tmp_path / "bad.ipynb"
    cells = [
        "from IPython.display import HTML, display\ndisplay(HTML('<img src=\"https://example.org/a.png\">'))",
        "1 / 0",
        "print('never reached')",
    ]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    made.metadata["kernelspec"] = KERNEL
    nbformat.write(made, notebook)
    problems = "\n".join(run_notebook(notebook, within=jupyterlab).problems)
    assert "asked the internet for https://example.org/a.png" in problems
    assert "saved error: ZeroDivisionError: division by zero" in problems
    assert "cell not run: print('never reached')" in problems
    assert "1 pictures do not show" in problems


def test_a_missing_browser_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Chromium the test fails and says what to install; going without must be asked for, and is seen."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("LABLIB_SKIP_BROWSER", raising=False)
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium chromium-driver"):
        chromium_or_reason()
    monkeypatch.setenv("LABLIB_SKIP_BROWSER", "1")
    with pytest.raises(pytest.skip.Exception, match="Chromium"):
        chromium_or_reason()
