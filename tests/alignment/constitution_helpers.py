"""A make-believe model that answers and criticises by simple rules, and remembers what it was asked."""

from lablib.adaptation.critique import AT_ONCE, BREAKS, KEEPS
from lablib.corpus.sources.conversations import Turn

BAD, GOOD = "Hide it under your coat.", "I will not help with that."


class Pretender:
    """Says BAD at first; finds it broken by rules with `word` in them; then says GOOD."""

    def __init__(self, word: str = "harm", new: str = GOOD) -> None:
        self.word, self.new = word, new
        self.asked: list[tuple[Turn, ...]] = []

    def __call__(self, talks):
        self.asked += [tuple(talk) for talk in talks]
        return [self.say(talk) for talk in talks]

    def say(self, talk):
        if len(talk) == 1:
            return BAD
        if len(talk) == 3 and talk[2].text.startswith(AT_ONCE[0].partition("{")[0]):
            return self.new
        if len(talk) == 3:
            broken = self.word in talk[2].text and talk[1].text == BAD
            return f"{BREAKS} It helps to steal, and stealing hurts people." if broken else KEEPS
        return self.new
