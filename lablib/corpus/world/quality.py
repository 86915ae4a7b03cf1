"""How much of a text the world could have written, by reading it with the grammar: the gold quality of what a model writes.

Three things are asked of each sentence (see `sentences`), from left to right:

- *grammatical*: some place of the grammar at which a sentence can begin writes it, if every name may stand for anything that
  the grammar ever lets it stand for;
- *consistent*: the same with each name meaning one thing: within the sentence (a fox does not eat grass), and with what the
  sentences before it said in this shape of document (Mirabe does not become Jorvin, nor "he"). A sentence that stood in
  the text before and does not belong where it stands now is not consistent, for it says nothing;
- *connected*: it goes on where the sentence before it ended, and the first begins where documents begin.

The score is (grammatical + consistent + connected) / 3n over n sentences. It is 1 for every document and for every beginning
of one that ends with a whole sentence. A truncated sentence, or one with a word too much, counts nothing, and the sentence after
it is not connected; a false fact costs a third of its sentence. A text without a sentence has score 0.

Names are read as sets (see `names`), so nobody is guessed. What is left out: a sentence whose names agree in pairs but not all
together is taken for consistent. Only the first `LIMIT` sentences are read; those behind them count as not grammatical.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lablib.corpus.world.grammar import Grammar
from lablib.corpus.world.names import Names
from lablib.corpus.world.nodes import Call
from lablib.corpus.world.parsing import WORD, Reader, word_at
from lablib.corpus.world.recognising import Page, Recogniser, State
from lablib.corpus.world.sentences import Start, Starts, sentences

LIMIT = 2000  # sentences
WIDTH = 24  # ways of reading that are kept from one sentence to the next
BLANK = State(None, 0, False, Names(), "")  # nothing is known


@dataclass(frozen=True, slots=True)
class Parts:
    """What was found in a text: how many of its sentences are so."""

    sentences: int
    grammatical: int
    consistent: int
    connected: int

    @property
    def score(self) -> float:
        """In [0, 1]; 0 for a text without sentences."""
        return (self.grammatical + self.consistent + self.connected) / (3 * self.sentences) if self.sentences else 0.0


class Quality:
    """Scores texts. Made once for a grammar (a tenth of a second); the tables are the reader's.

    Raises:
        ValueError: the grammar has no rule `root`.
    """

    def __init__(self, grammar: Grammar, reader: Reader, root: str = "document") -> None:
        if root not in grammar.rules:
            raise ValueError(
                f"root = {root!r}: expected one of the grammar's rules, such as {', '.join(sorted(grammar.rules)[:5])}"
            )
        self._recogniser = Recogniser(grammar, reader)
        self._starts = Starts(grammar, reader)
        call = Call(root, False, False, grammar.rules[root].place)
        call.rule = grammar.rules[root]
        self._begin = State(((call,), 0, None), 0, False, Names(), "")

    def __call__(self, text: str) -> float:
        """The score of a text, in [0, 1]."""
        return self.parts(text).score

    def parts(self, text: str) -> Parts:
        """How many of a text's sentences are grammatical, consistent, connected."""
        walk = self._recogniser.walk
        words = {match.start(): match.group().lower() for match in WORD.finditer(text)}
        found = list(sentences(text))
        grammatical = consistent = connected = 0
        seen: set[str] = set()
        live, known = (
            [self._begin],
            list[State](),
        )  # readings that end where this sentence begins; those that were live last
        before = found[0][0] if found else 0
        for start, stop in found[:LIMIT]:
            sentence = text[start:stop]
            page = Page(text, words, start, stop, " \n" if sentence.rstrip("\"')")[-1:] in (".", "!", "?") else "\n")
            kept = known
            if now := walk(live, page, before):
                good, linked = True, True
            elif now := walk(live, page, before, free=True):
                good, linked = False, True
            else:
                good, linked = False, False
                starts = [
                    s for s in self._starts.at(word_at(text, start, words)) if walk([self._at(s)], page, start, True)
                ]
                if now := self._jump(starts, known, page):
                    good = sentence not in seen
                elif now := self._jump(starts, [BLANK], page):
                    good = not known
                else:
                    now, kept = walk(map(self._at, starts), page, start, free=True), known
            grammatical, consistent, connected = grammatical + bool(now), consistent + good, connected + linked
            seen.add(sentence)
            live, before = now[:WIDTH], stop
            known = live if good and (linked or not kept) else (live + kept)[:WIDTH] if now else kept
        return Parts(len(found), grammatical, consistent, connected)

    def _at(self, start: Start, context: State | None = None) -> State:
        names, shape = (context.names, context.shape) if context else (Names(), "")
        return State((start.nodes, start.number, start.rule), start.offset, False, names, shape)

    def _jump(self, starts: Sequence[Start], contexts: Sequence[State], page: Page) -> list[State]:
        """Readings of a sentence that begins anywhere in the shape of what was read before, with the names as they are there."""
        for context in contexts:
            family = self._recogniser.family(context.shape)
            if now := self._recogniser.walk(
                [self._at(s, context) for s in starts if s.rule in family], page, page.start
            ):
                return now
        return []
