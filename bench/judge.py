"""How many answers the judge scores in a second, on one core, and what the best answer to everything would earn.

    python bench/judge.py

Three kinds of answers: the gold ones (short and long), short answers to questions alone, and what a policy samples, eight answers to
each prompt, so that a prompt is recognised once. The last line is the most that one constant answer earns over many prompts: the
lower, the harder the judge is to game.
"""

import itertools
import time
from random import Random

from lablib.corpus.world.instructions import Instruction, instructions
from lablib.corpus.world.judge import judge

ROUNDS = 3
SHORT = ["home", "job", "eats", "material", "sum", "opposite", "plural", "yes_no"]


def rate(pairs: list[tuple[str, str]]) -> float:
    """Judgements a second, the best of three rounds."""
    best = 0.0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for prompt, response in pairs:
            judge(None, prompt, response)
        best = max(best, len(pairs) / (time.perf_counter() - start))
    return best


def draw(n: int, seed: int, only: list[str] | None = None) -> list[Instruction]:
    return list(itertools.islice(instructions(None, Random(seed), "all", only), n))


def main() -> None:
    gold = [(x.prompt, x.response) for x in draw(3000, 1)]
    short = [(x.prompt, x.response) for x in draw(3000, 2, SHORT)]
    prompts, others = draw(400, 3), draw(400, 4)
    sampled = [(x.prompt, others[(8 * n + k) % 400].response) for n, x in enumerate(prompts) for k in range(8)]
    judge(None, *gold[0])
    words = sum(len(response.split()) for _, response in gold) / len(gold)
    print(f"gold responses of all types ({words:.1f} words on average): {rate(gold):,.0f} judgements/s")
    print(f"short answers to questions: {rate(short):,.0f} judgements/s")
    print(f"eight answers to each prompt, mostly wrong: {rate(sampled):,.0f} judgements/s")
    asked = draw(150, 5)
    best = max(
        (sum(judge(None, x.prompt, y.response).helpful for x in asked) / len(asked), y.response) for y in draw(200, 6)
    )
    print(f"the best constant answer earns {best[0]:.3f} helpful on average: {best[1]!r}")


if __name__ == "__main__":
    main()
