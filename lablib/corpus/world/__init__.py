"""An invented valley whose documents come from a grammar, so that everything about them is known: see `documents`.

from lablib.corpus.world import World
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lablib.corpus.world.documents import World as World
    from lablib.corpus.world.documents import WorldDocument as WorldDocument


def __getattr__(name: str) -> object:
    """Nothing is loaded before it is used."""
    if name in ("World", "WorldDocument"):
        from lablib.corpus.world import documents

        return getattr(documents, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}: expected World or WorldDocument")
