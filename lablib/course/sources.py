"""Source code as the course needs it: whole for the solved lab, blanked for the learner's, read back from a notebook cell.

The library is the single source of every exercise: nothing here keeps a copy of it.
"""

import ast
import importlib
import linecache
from dataclasses import dataclass

from lablib.course.guard import source_file

BLANK = "raise NotImplementedError  # your code here"


@dataclass(frozen=True)
class Target:
    """`package.module:function` or `package.module:Class.method`, as a source cell names an exercise.

    >>> Target.parse("lablib.architecture.attention:MultiHeadAttention.forward")
    Target(module='lablib.architecture.attention', name='MultiHeadAttention', method='forward')
    """

    module: str
    name: str
    method: str | None

    @classmethod
    def parse(cls, text: str) -> "Target":
        module, colon, path = text.strip().partition(":")
        name, _, method = path.partition(".")
        if not (colon and module and name.isidentifier()) or (method and not method.isidentifier()):
            raise ValueError(
                f"exercise target {text!r}: expected package.module:function or package.module:Class.method"
            )
        return cls(module, name, method or None)

    def load(self) -> object:
        """The function or class itself, from the library."""
        try:
            return getattr(importlib.import_module(self.module), self.name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"exercise target {self}: {error}") from error

    def source(self) -> str:
        """The library's own source of the function or class, docstring and all."""
        module = importlib.import_module(self.module)
        assert module.__file__ is not None, f"{self.module} has no file"
        with open(module.__file__, encoding="utf-8") as file:
            text = file.read()
        return _segment(text, _find(ast.parse(text).body, self.name, self.module))

    def blank(self) -> str:
        """The same source with the exercise's body taken out: signature and docstring stay."""
        source = self.source()
        node = ast.parse(source).body[0]
        if isinstance(node, ast.ClassDef):
            if self.method is None:
                raise ValueError(f"exercise target {self}: {self.name} is a class; name the method to blank")
            node = _find(node.body, self.method, f"{self.module}:{self.name}")
        if not isinstance(node, ast.FunctionDef):
            raise ValueError(f"exercise target {self}: expected a function or a class")
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if not body:
            raise ValueError(f"exercise target {self}: there is nothing to blank but a docstring")
        lines = source.splitlines()
        start, end = body[0].lineno - 1, node.end_lineno
        if lines[start][: body[0].col_offset].strip():
            raise ValueError(f"exercise target {self}: its body must begin on a line of its own")
        indent = " " * (node.col_offset + 4)
        while start > 0 and lines[start - 1].strip().startswith("#"):  # comments belong to the body
            start -= 1
        return "\n".join([*lines[:start], indent + BLANK, *lines[end:]])

    def __str__(self) -> str:
        return f"{self.module}:{self.name}" + (f".{self.method}" if self.method else "")


def _find(body: list[ast.stmt], name: str, where: str) -> ast.FunctionDef | ast.ClassDef:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
    raise ValueError(f"{where} defines no function or class {name!r}")


def _segment(text: str, node: ast.FunctionDef | ast.ClassDef) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def cell_source(candidate: object) -> str | None:
    """The whole cell (or file) in which a learner wrote a function or class; None when it cannot be read back.

    `inspect.getsource` does not find classes written in a notebook; the code objects of their methods do.
    """
    file = source_file(candidate)
    text = "".join(linecache.getlines(file)) if file else ""
    name = getattr(candidate, "__name__", "")
    return text if f"def {name}" in text or f"class {name}" in text else None
