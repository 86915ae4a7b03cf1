"""The sources as a table for the eye, each figure beside the page or paper that gives it."""

from lablib.corpus.sources.catalogue import SOURCES, Source


def describe() -> str:
    """The sources as a table in Markdown, each figure with where it stands.

    >>> print(describe().splitlines()[0])
    | source | what it is | size | licence | format | gives | used for |
    """
    head = "| source | what it is | size | licence | format | gives | used for |\n|---|---|---|---|---|---|---|"
    return "\n".join([head, *(_line(source) for source in SOURCES)])


def _line(source: Source) -> str:
    cells = (
        f"[{source.name}]({source.card})",
        f"{source.what} ({_link(source.paper)})",
        f"{source.size} ({_link(source.size_from)})",
        source.licence,
        source.format,
        source.gives,
        f"{source.used} ({_link(source.used_from)})",
    )
    return f"| {' | '.join(cells)} |"


def _link(reference: str) -> str:
    return f"[source]({reference})" if reference.startswith("http") else reference
