"""Sentences: where a text has them, and where in a grammar one can begin.

A text is cut at the ends of lines, and behind `. ! ?` (with closing quotes) where a space follows. A grammar is read for the
same marks: a sentence can begin inside a literal behind a mark, or at a node before which the text may end with one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lablib.corpus.world.grammar import Grammar
from lablib.corpus.world.nodes import Alternative, Assign, Call, Draw, Literal, Node
from lablib.corpus.world.parsing import ANY, NO_SPACE_BEFORE, NOTHING, WORD, Reader
from lablib.corpus.world.syntax import Rule

MARKER = re.compile(r"(?:\d+\.|-|P\.S\.) ")  # at the start of a line: belongs to what follows
END = re.compile(r"[.!?][\"')]*(?=\s)")
ENDED = re.compile(r"(?:[.!?][\"')]*|\n)\s*$")  # a text after which a sentence can begin
BETWEEN = re.compile(r"[.!?][\"')]*\s+|\n\s*")


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence of a text.

    >>> text = 'Who is it?\\n1. Go to Marrow. Ask "Who?" and wait.'
    >>> [text[start:end] for start, end in sentences(text)]
    ['Who is it?', '1. Go to Marrow.', 'Ask "Who?"', 'and wait.']
    """
    for line in re.finditer(r"[^\n]+", text):
        marker = MARKER.match(text, line.start())
        start = line.start()
        for end in END.finditer(text, marker.end() if marker else start, line.end()):
            yield start, end.end()
            start = end.end()
            while start < line.end() and text[start].isspace():
                start += 1
        if text[start : line.end()].strip():
            yield start, line.end()


@dataclass(frozen=True, slots=True)
class Start:
    """A place in a grammar where a sentence can begin: a node of a rule's alternative, and for a literal how far into it."""

    rule: str
    nodes: tuple[Node, ...]
    number: int
    offset: int


class Starts:
    """All places of a grammar where a sentence can begin, by its first word in small letters."""

    def __init__(self, grammar: Grammar, reader: Reader) -> None:
        self._grammar, self._reader = grammar, reader
        self._ends: dict[str, bool] = {}
        self._begins: dict[str, bool] = {}
        self._found: dict[str, list[Start]] = {}
        for rule in grammar.rules.values():
            for alternative in rule.alternatives:
                for start, words in self._starts(rule, alternative):
                    for word in words - {NOTHING, *NO_SPACE_BEFORE}:
                        self._found.setdefault(word, []).append(start)

    def at(self, word: str) -> list[Start]:
        """Where a sentence that begins with a word can begin."""
        return self._found.get(word, []) + self._found.get(ANY, [])

    def _starts(self, rule: Rule, alternative: Alternative) -> Iterator[tuple[Start, frozenset[str]]]:
        nodes, silent = alternative.nodes, False
        for number, node in enumerate(nodes):
            if isinstance(node, Literal):
                for mark in BETWEEN.finditer(node.core):
                    word = WORD.match(node.core, mark.end())
                    if word:
                        # the word may go on behind the literal: then it cannot be said which it is
                        whole = word.end() < len(node.core) or node.trail
                        words = frozenset({word.group().lower() if whole else ANY})
                        yield Start(rule.name, nodes, number, mark.end()), words
            if not silent and self._after_end(rule, nodes, number):
                visible = (
                    not isinstance(node, Call) or node.capital or node.article
                )  # a plain call begins in its own rule
                if visible and not (isinstance(node, Literal) and not node.core.strip()):
                    yield Start(rule.name, nodes, number, 0), self._reader.first(nodes, number)
            silent = isinstance(node, Draw | Assign) and node.mention is None

    def _after_end(self, rule: Rule, nodes: Sequence[Node], number: int) -> bool:
        """May the text before a node end with the end of a sentence?"""
        for node in reversed(nodes[:number]):
            if isinstance(node, Literal) and node.text.strip(" "):
                return ENDED.search(node.text) is not None
            if isinstance(node, Call):
                if self._rule_ends(node.rule):
                    return True
                if NOTHING not in self._reader.first((node,)):
                    return False
            elif isinstance(node, Literal) or (isinstance(node, Draw | Assign) and node.mention is None):
                continue
            else:
                return False
        if rule.name not in self._begins:
            callers = self._grammar.callers[rule.name]
            self._begins[rule.name] = not callers or any(
                self._after_end(self._grammar.rules[caller], others, after - 1)
                for others, after, caller in callers
                if not (isinstance(call := others[after - 1], Call) and (call.capital or call.article))
            )
        return self._begins[rule.name]

    def _rule_ends(self, rule: Rule) -> bool:
        """May the text of a rule end with the end of a sentence?"""
        if rule.name not in self._ends:
            self._ends[rule.name] = any(self._nodes_end(alternative.nodes) for alternative in rule.alternatives)
        return self._ends[rule.name]

    def _nodes_end(self, nodes: Sequence[Node]) -> bool:
        for node in reversed(nodes):
            if isinstance(node, Literal) and node.text.strip(" "):
                return ENDED.search(node.text) is not None
            if isinstance(node, Call):
                if self._rule_ends(node.rule):
                    return True
                if NOTHING not in self._reader.first((node,)):
                    return False
            elif not (isinstance(node, Literal) or (isinstance(node, Draw | Assign) and node.mention is None)):
                return False
        return False
