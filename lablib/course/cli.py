"""The `lab` command: start a lab, open JupyterLab, look at the machine, see progress, build the notebooks.

Each subcommand imports what it needs when it runs, so that `lab --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab",
        description="From Data to Dialogue: how a language model is made, in labs you run on your own machine.",
        epilog="First time? `lab notebook` opens the course in your browser.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    one = commands.add_parser("notebook", help="open the course in JupyterLab")
    one.add_argument("lab", nargs="?", default="00", metavar="LAB", help="which lab to open (default: the welcome)")
    one.add_argument("--no-browser", action="store_true", help="only print the address")
    one.add_argument(
        "--port", type=int, default=None, help="port on this machine (default: the first free one from 8888)"
    )
    one.set_defaults(run=_notebook)

    one = commands.add_parser("start", help="copy a lab into work/, where you write")
    one.add_argument("lab", metavar="LAB", help="number or name: 02, 2 or attention")
    one.add_argument("--fresh", action="store_true", help="begin again; your earlier copy is kept under a dated name")
    one.add_argument("--yes", action="store_true", help="do not ask")
    one.set_defaults(run=_start)

    one = commands.add_parser("list", help="list the labs with their minutes")
    one.set_defaults(run=_list)

    one = commands.add_parser("progress", help="which exercises you have passed")
    one.set_defaults(run=_progress)

    one = commands.add_parser("doctor", help="what works on this machine, and how to mend what does not")
    one.set_defaults(run=_doctor)

    one = commands.add_parser("build", help="(for authors) make labs/ and solutions/*.ipynb from solutions/*.py")
    one.add_argument("labs", nargs="*", metavar="LAB", help="numbers; all when none is given")
    one.add_argument(
        "--check",
        action="store_true",
        help="change nothing; fail where the notebooks differ from their source",
    )
    one.set_defaults(run=_build)

    one = commands.add_parser("manifest", help="(for authors) bring data/manifest.json up to date")
    one.add_argument("--made-by", default=None, help="the command that made the new files (default: authored by hand)")
    one.add_argument("--licence", default=None, help="the licence of the new files (default: MIT)")
    one.set_defaults(run=_manifest)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return the exit code (0 done, 1 a reported problem, 2 a wrong command line)."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 2
    try:
        return int(arguments.run(arguments) or 0)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (ValueError, OSError) as problem:
        print(f"lab {arguments.command}: {problem}", file=sys.stderr)
        return 1


def _start(arguments: argparse.Namespace) -> int:
    from lablib.course import catalogue, workspace

    target = workspace.work_path() / catalogue.find(arguments.lab).file
    if arguments.fresh and target.exists() and not arguments.yes and sys.stdin.isatty():
        print(f"{target} holds your work. It is kept under a dated name, and a blank copy takes its place.")
        if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was changed.")
            return 1
    started = workspace.start(arguments.lab, fresh=arguments.fresh)
    print(started)
    if started.new:
        print(f"Next: `{workspace.command()} notebook {started.path.name[:2]}` opens it in JupyterLab.")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from lablib.course import catalogue

    print(catalogue.table())
    return 0


def _progress(arguments: argparse.Namespace) -> int:
    from lablib.course import progress

    print(progress.report())
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from lablib.course import doctor

    return doctor.main()


def _build(arguments: argparse.Namespace) -> int:
    from lablib.course import build

    try:
        return build.build(arguments.labs, check=arguments.check)
    except build.BuildError as problem:
        raise ValueError(str(problem)) from None


def _manifest(arguments: argparse.Namespace) -> int:
    from lablib import paths
    from lablib.course import manifest

    if paths.project_root() is None:
        raise OSError("this is an installed package, not a checkout: its data is as it was published")
    data = paths.data_path("manifest.json").parent
    said = manifest.renew(data, arguments.made_by or manifest.BY_HAND, arguments.licence or manifest.LICENCE)
    print("\n".join(said) or "nothing changed")
    return 0


def _notebook(arguments: argparse.Namespace) -> int:
    from lablib import paths
    from lablib.course import catalogue, workspace

    lab = catalogue.find(arguments.lab)
    root = paths.project_root() or Path.cwd()
    copy = workspace.work_path() / lab.file
    if paths.project_root() is None and not copy.exists():  # an installed package's labs lie out of the browser's reach
        workspace.start(lab.number)
    opened = copy if copy.exists() and root in copy.parents else paths.labs_path() / lab.file
    _jupyterlab(root, opened.relative_to(root).as_posix(), arguments.port, arguments.no_browser)


def _jupyterlab(root: Path, notebook: str, port: int | None, no_browser: bool) -> NoReturn:
    """Serve JupyterLab from `root` until it is stopped, with the course's own settings and the learner's own left alone."""
    from lablib import paths

    try:
        from jupyterlab.labapp import LabApp
    except ImportError as problem:
        raise OSError(
            f"JupyterLab is not installed beside {sys.executable} ({problem}); install it with "
            f'`{sys.executable} -m pip install "data-to-dialogue[lab]"`, or type `make lab` in a checkout'
        ) from None
    # Terminals opened inside JupyterLab find `lab`, too: no login shell, which would begin a PATH of its own.
    os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", os.defpath)
    if paths.project_root() is None:
        os.environ.setdefault("LABLIB_WORK", str(root / "work"))
    options = [
        f"--ServerApp.root_dir={root}",
        f"--LabApp.app_settings_dir={Path(__file__).with_name('jupyter')}",
        f"--LabApp.default_url=/lab/tree/{notebook}",
        "--ServerApp.log_level=ERROR",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    if os.name != "nt":
        shell = os.environ.get("SHELL") or "/bin/sh"
        options.append(f"--ServerApp.terminado_settings=shell_command={[shell]!r}")
    if no_browser:
        options.append("--no-browser")
    if port is not None:
        options += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    server = LabApp.initialize_server(argv=options)

    def announce() -> None:
        print(f"open: {server.local_url}", flush=True)
        print("Leave this window open while you work; Ctrl-C here ends JupyterLab.", flush=True)

    server.io_loop.add_callback(announce)  # after the server's own callback, which begins to listen
    server.start()
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
