"""The `lab` command: start a lab, open JupyterLab, look at the machine, see progress, train and use a model, build the notebooks.

Each subcommand imports what it needs when it runs, so that `lab --help` answers at once. Those in `HANDED_ON` have their own arguments,
in their own module; several processes run them by `torchrun --nproc-per-node 2 -m lablib.course.cli pretrain …`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import NoReturn

# command → the module whose `main(arguments, prog)` gets all that follows, --help too
HANDED_ON = {
    "shards": "lablib.pretraining.shard_command",
    "pretrain": "lablib.pretraining.command",
    "write": "lablib.pretraining.write_command",
    "chat": "lablib.course.chat_command",
    "compare": "lablib.alignment.comparison",
}
# what `lab train` can make → its module, and the function in it if that is not `main`, and what it is
TRAINED = {
    "base": ("lablib.pretraining.base", "the course's pre-trained model, of lab 07"),
    "sft": ("lablib.adaptation.sft_command", "the base model taught to answer, of lab 09"),
    "reward": ("lablib.alignment.train_command:reward", "a reward model, learned from pairs of its answers, of lab 12"),
    "ppo": ("lablib.alignment.train_command:ppo", "the tuned model, improved by PPO with that reward, of lab 12"),
    "dpo": ("lablib.alignment.train_command:dpo", "the tuned model, improved by DPO on such pairs, of lab 13"),
    "cai": ("lablib.alignment.train_command:cai", "the tuned model after both stages of Constitutional AI, of lab 14"),
}


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

    commands.add_parser("shards", help="turn text into token shards, which training reads", add_help=False)

    commands.add_parser("pretrain", help="pre-train a model on token shards, or go on with a run", add_help=False)

    one = commands.add_parser(
        "train", help="make one of the course's own models anew; alone: which there are", add_help=False
    )
    one.add_argument("model", nargs="?", choices=sorted(TRAINED))

    commands.add_parser("write", help="let a model write", add_help=False)

    commands.add_parser("chat", help="talk to models, several side by side, with gold scores", add_help=False)
    commands.add_parser("compare", help="compare the methods of alignment at equal compute", add_help=False)

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
    given = sys.argv[1:] if argv is None else argv
    try:
        if given and given[0] in HANDED_ON:
            return _handed_on(HANDED_ON[given[0]], given[1:], f"lab {given[0]}")
        if given and given[0] == "train":
            return _train(given[1:])
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    parser = _parser()
    arguments = parser.parse_args(given)
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


def _handed_on(module: str, arguments: list[str], prog: str) -> int:
    name, _, function = module.partition(":")
    return int(getattr(importlib.import_module(name), function or "main")(arguments, prog=prog))


def _train(arguments: list[str]) -> int:
    """`lab train MODEL …` hands on what follows the model's name; `lab train` lists the models."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("`lab train MODEL` makes one of the course's own models anew; `lab train MODEL --help` says how.\n")
        for name, (_, what) in TRAINED.items():
            print(f"  {name:<10}{what}")
        return 0
    if arguments[0] not in TRAINED:
        print(
            f"lab train: {arguments[0]!r} is no model of the course: expected one of {', '.join(TRAINED)}",
            file=sys.stderr,
        )
        return 2
    return _handed_on(TRAINED[arguments[0]][0], arguments[1:], f"lab train {arguments[0]}")


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
