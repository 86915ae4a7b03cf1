"""Everything that must hold, two stages at a time, and a table at the end: what `make test` runs.

    python tests/run.py [STAGE ...]      all stages, or those named

Notebooks run in the smoke profile, with a learner's folder of their own, and ask nothing of the network.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
NBVAL = [
    *(sys.executable, "-m", "pytest", "-v", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=300"),
    *("--nbval-sanitize-with", "tests/nbval_sanitize.cfg", "-p", "no:cacheprovider"),
]
PYTEST = [sys.executable, "-m", "pytest", "-v", "--durations=5", "-p", "no:cacheprovider"]
SLOW = ("browser", "packaging", "notebooks")  # folders of tests/ with a stage of their own
STAGES: dict[str, tuple[str, list[str], dict[str, str]]] = {  # the longest first: two run side by side
    "packaging": ("pytest: the wheel and the Colab cell in clean environments", [*PYTEST, "tests/packaging"], {}),
    "browser": ("pytest: JupyterLab in headless Chromium", [*PYTEST, "tests/browser"], {}),
    "solutions": ("nbval on solutions/ (strict)", [*NBVAL, "solutions"], {"LABLIB_STRICT": "1"}),
    "tests": (
        "pytest: unit tests and docstring examples",
        [*PYTEST, *(f"--ignore=tests/{folder}" for folder in SLOW)],
        {},
    ),
    "notebooks": ("pytest: the labs as learners leave them", [*PYTEST, "tests/notebooks"], {}),
    "labs": ("nbval on labs/ (blank: must run)", [*NBVAL, "labs"], {"LABLIB_STRICT": ""}),
    "types": ("mypy", [sys.executable, "-m", "mypy"], {}),
    "build": ("lab build --check", [sys.executable, "-m", "lablib.course.cli", "build", "--check"], {}),
    "lint": ("ruff check", [str(BIN / "ruff"), "check", "."], {}),
    "format": ("ruff format --check", [str(BIN / "ruff"), "format", "--check", "."], {}),
}
PRINTING = threading.Lock()
SUMMARY = re.compile(r"^=+ .*\b(passed|failed|error|no tests ran).* =+$")


def run(name: str) -> tuple[int, float, str]:
    """One stage: its exit code, seconds, and pytest's summary line if it printed one. Its output is printed at its end."""
    title, command, extra = STAGES[name]
    print(f"... {name}: {title}", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="course-test-") as home:
        environment = dict(
            os.environ,
            LABLIB_PROFILE="smoke",
            LABLIB_HOME=f"{home}/home",
            LABLIB_WORK=f"{home}/work",
            IPYTHONDIR=f"{home}/ipython",
            HF_HUB_OFFLINE="1",
            OMP_NUM_THREADS="1",  # two stages share the machine
            PYTHONUNBUFFERED="1",
            **extra,
        )
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    with PRINTING:
        print(f"\n──── {name}: {title}\n{done.stdout}", flush=True)
    summaries = [line.strip() for line in done.stdout.splitlines() if SUMMARY.match(line)]
    return done.returncode, time.monotonic() - start, summaries[-1] if summaries else ""


def main(names: list[str]) -> int:
    """Run the stages; 0 when every one passed."""
    if unknown := [name for name in names if name not in STAGES]:
        print(f"unknown stage {', '.join(unknown)}; expected some of: {' '.join(STAGES)}", file=sys.stderr)
        return 2
    if not (shutil.which("chromedriver") and (shutil.which("chromium") or shutil.which("google-chrome"))):
        print(
            "Chromium and its driver are not installed: the browser tests will fail.\n"
            "  Debian/Ubuntu: sudo apt-get install chromium chromium-driver    (LABLIB_SKIP_BROWSER=1 leaves them out)",
            flush=True,
        )
    start = time.monotonic()
    chosen = [name for name in STAGES if not names or name in names]
    with ThreadPoolExecutor(max_workers=2) as two:
        results = dict(zip(chosen, two.map(run, chosen), strict=True))
    print("\n──── in all")
    for name, (code, seconds, _) in results.items():
        print(f"{'ok  ' if code == 0 else 'FAIL'}  {seconds:6.1f} s  {STAGES[name][0]}")
    failed = [name for name, (code, _, _) in results.items() if code != 0]
    print(f"{'FAIL' if failed else 'ok  '}  {time.monotonic() - start:6.1f} s  all stages, two at a time")
    for name, (_, _, summary) in results.items():
        if summary:
            print(f"{name}: {summary}")
    if failed:
        print(f"Failed: {', '.join(failed)}. One stage alone: make test ARGS={failed[0]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
