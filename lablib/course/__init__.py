"""The course engine: exercises that check themselves, profiles, kept answers, the builder and the `lab` command.

A notebook needs one name from here: `lab = course.begin("02")`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lablib.course.lab import begin as begin

__all__ = ["begin"]


def __getattr__(name: str) -> Any:
    """`begin` pulls in torch: import it when it is first used."""
    if name == "begin":
        from lablib.course.lab import begin

        return begin
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
