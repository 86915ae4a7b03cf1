"""How much code is a method? Lines counted by a program, in the modules that implement it and those that they import.

    code_lines(source)                                     lines that are neither blank, comment nor docstring
    total_lines(needed(["lablib.alignment.dpo"]))          a module with all that it needs of the folder

Whole modules are counted, with what a method does not use of them, so the figure says how much one would have to read. It is a measure of
this project's code in this project's style; other code for the same method is longer or shorter.

Left out: libraries (torch), and everything that tuning needs, too, since every method here begins there.
"""

import ast
import importlib.util
import io
import tokenize
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

FOLDER = "lablib.alignment"  # imports within it are followed
PEOPLE = ("lablib.alignment.annotators", "lablib.alignment.labelling")  # stand for people, who are no code
LAYOUT = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
)


def code_lines(source: str) -> int:
    """Lines of a source that are neither blank, nor comment alone, nor part of a docstring.

    >>> code_lines('def f():\\n    "Says what."\\n\\n    # why\\n    return (1 +\\n        2)\\n')
    3
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                lines -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def source_of(module: str) -> str:
    """A module's source, without importing it.

    Raises:
        ValueError: there is no such module, or it has no source.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ValueError(f"module = {module!r}: expected one with a source, such as 'lablib.alignment.dpo'")
    return Path(spec.origin).read_text(encoding="utf-8")


def needed(entries: Iterable[str], without: Collection[str] = PEOPLE, folder: str = FOLDER) -> list[str]:
    """Modules with all that they import, directly or not, from a folder, by name; what stands in `without` is left out."""
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        module = waiting.pop()
        if module in found or module in without:
            continue
        found.add(module)
        waiting += [name for name in _imported(source_of(module)) if name.startswith(folder + ".")]
    return sorted(found)


def _imported(source: str) -> list[str]:
    """Modules that a source imports by `from … import …` or `import …`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                inside = f"{node.module}.{one.name}"
                names.append(inside if node.module == FOLDER else node.module)
    return names


def total_lines(modules: Sequence[str]) -> int:
    """`code_lines` of all of them."""
    return sum(code_lines(source_of(module)) for module in modules)
