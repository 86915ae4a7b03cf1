"""Everything that must hold, stage by stage with its time, and a table at the end: what `make test` runs.

    python tests/run.py [STAGE ...]      all stages, or those named

Notebooks run in the smoke profile, with a learner's folder of their own, and ask nothing of the network.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
NBVAL = [
    *(sys.executable, "-m", "pytest", "-v", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=300"),
    *("--nbval-sanitize-with", "tests/nbval_sanitize.cfg", "-p", "no:cacheprovider"),
]
STAGES: dict[str, tuple[str, list[str], dict[str, str]]] = {
    "lint": ("ruff check", [str(BIN / "ruff"), "check", "."], {}),
    "format": ("ruff format --check", [str(BIN / "ruff"), "format", "--check", "."], {}),
    "types": ("mypy", [sys.executable, "-m", "mypy"], {}),
    "tests": ("pytest: tests and docstring examples", [sys.executable, "-m", "pytest", "-v", "--durations=8"], {}),
    "build": ("lab build --check", [sys.executable, "-m", "lablib.course.cli", "build", "--check"], {}),
    "labs": ("nbval on labs/ (blank: must run)", [*NBVAL, "labs"], {"LABLIB_STRICT": ""}),
    "solutions": ("nbval on solutions/ (strict)", [*NBVAL, "solutions"], {"LABLIB_STRICT": "1"}),
}
SUMMARY = re.compile(r"^=+ .*\b(passed|failed|error|no tests ran).* =+$")


def run(name: str) -> tuple[int, float, str]:
    """One stage: its exit code, seconds, and pytest's summary line if it printed one."""
    title, command, extra = STAGES[name]
    print(f"\n──── {name}: {title}", flush=True)
    start, summary = time.monotonic(), ""
    with tempfile.TemporaryDirectory(prefix="course-test-") as home:
        environment = dict(
            os.environ,
            LABLIB_PROFILE="smoke",
            LABLIB_HOME=f"{home}/home",
            LABLIB_WORK=f"{home}/work",
            IPYTHONDIR=f"{home}/ipython",
            HF_HUB_OFFLINE="1",
            PYTHONUNBUFFERED="1",
            **extra,
        )
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if SUMMARY.match(line):
                summary = line.strip()
        code = process.wait()
    return code, time.monotonic() - start, summary


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
    results = {name: run(name) for name in names or STAGES}
    print("\n──── in all")
    for name, (code, seconds, _) in results.items():
        print(f"{'ok  ' if code == 0 else 'FAIL'}  {seconds:6.1f} s  {STAGES[name][0]}")
    failed = [name for name, (code, _, _) in results.items() if code != 0]
    print(f"{'FAIL' if failed else 'ok  '}  {sum(seconds for _, seconds, _ in results.values()):6.1f} s  all stages")
    for name, (_, _, summary) in results.items():
        if summary:
            print(f"{name}: {summary}")
    if failed:
        print(f"Failed: {', '.join(failed)}. One stage alone: make test ARGS={failed[0]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
