"""Lab 11, metrics and prompt: right answers that differ from the reference, and wrong ones that no mistake names."""

import math
from collections import Counter

import numpy as np

from lablib.adaptation.bm25 import singular_words
from lablib.adaptation.citations import FUNCTION_WORDS
from lablib.adaptation.grounded_prompt import INSTRUCTION, grounded_prompt, too_long
from lablib.adaptation.ranking_metrics import ndcg_at_k, recall_at_k

# ---------------------------------------------------------------- recall_at_k


def recall_by_counting(holds, wanted, k):
    if len(wanted) == 0 or k <= 0:
        raise ValueError(f"{wanted=}, {k=}: nothing to measure")
    wanted = set(wanted)
    return sum(any(fact in facts for facts in holds[:k]) for fact in wanted) / len(wanted)


def recall_by_crossing_off(holds, wanted, k):
    if not wanted or k < 1:
        raise ValueError(f"wanted {wanted} and k {k}: expected at least one of each")
    left = set(wanted)
    for facts in list(holds)[:k]:
        left -= set(facts)
    return 1 - len(left) / len(set(wanted))


def recall_by_union(holds, wanted, k):
    if not wanted or k < 1:
        raise ValueError(f"wanted = {wanted}, k = {k}")
    return len(set(wanted).intersection(*[set().union(*map(set, holds[:k]))])) / len(set(wanted))


def recall_len_wanted(holds, wanted, k):
    recall_at_k(holds, wanted, k)
    return len({fact for facts in holds[:k] for fact in facts} & set(wanted)) / len(wanted)


def recall_pops(holds, wanted, k):
    share = recall_at_k(holds, wanted, k)
    if isinstance(holds, list):
        del holds[k:]
    return share


def recall_negative_k(holds, wanted, k):
    return recall_at_k(holds, wanted, k) if k >= 0 else 0.5


def recall_percent(holds, wanted, k):
    return 100 * recall_at_k(holds, wanted, k)


def recall_one_less(holds, wanted, k):
    recall_at_k(holds, wanted, k)
    return recall_at_k(holds[: k - 1], wanted, k)


def recall_one_more(holds, wanted, k):
    recall_at_k(holds, wanted, k)
    return recall_at_k(holds, wanted, k + 1)


def recall_fraction_as_count(holds, wanted, k):
    return round(recall_at_k(holds, wanted, k) * len(wanted))


def recall_last_passages(holds, wanted, k):
    recall_at_k(holds, wanted, k)
    return recall_at_k(holds[-k:], wanted, k)


def recall_missed(holds, wanted, k):
    return 1 - recall_at_k(holds, wanted, k)


def recall_changes_nothing_found_to_one(holds, wanted, k):
    return recall_at_k(holds, wanted, k) if holds else (recall_at_k(holds, wanted, k), 1.0)[1]


# ---------------------------------------------------------------- ndcg_at_k


def ndcg_by_loop(gains, all_gains, k):
    if k < 1 or any(gain < 0 for gain in [*gains, *all_gains]):
        raise ValueError(f"gains must be at least 0 and k at least 1; {gains=}, {k=}")

    def discounted(some):
        total = 0.0
        for place in range(min(k, len(some))):
            total += some[place] / math.log2(place + 2)
        return total

    best = discounted(sorted(all_gains)[::-1])
    return discounted(gains) / best if best > 0 else 0.0


def ndcg_by_natural_logs(gains, all_gains, k):
    if k < 1 or min([0, *gains, *all_gains]) < 0:
        raise ValueError(f"k = {k}, gains = {list(gains)}")
    weights = [math.log(2) / math.log(place + 2) for place in range(k)]
    got = sum(w * g for w, g in zip(weights, gains))  # noqa: B905 - the shorter one decides
    best = sum(w * g for w, g in zip(weights, sorted(all_gains, key=lambda g: -g)))  # noqa: B905
    return 0.0 if best == 0 else got / best


def ndcg_by_numpy(gains, all_gains, k):
    if k < 1 or np.any(np.array([*gains, *all_gains]) < 0):
        raise ValueError(f"{k=}, {gains=}, {all_gains=}")
    weights = 1 / np.log2(np.arange(2, k + 2))
    got, best = (
        np.pad(np.array(x, float)[:k], (0, max(k - len(x), 0))) @ weights for x in (gains, sorted(all_gains)[::-1])
    )
    return got / best if best else 0.0


def ndcg_corpus_at_least_k(gains, all_gains, k):
    value = ndcg_at_k(gains, all_gains, k)
    best = sorted(all_gains, reverse=True)
    return value if sum(best) == 0 else value + 0 * sum(best[i] for i in range(k))


def ndcg_something_found(gains, all_gains, k):
    return ndcg_at_k(gains, all_gains, k) + 0 * max(gains)


def ndcg_some_gain(gains, all_gains, k):
    return ndcg_at_k(gains, all_gains, k) + 0 * max([*gains, *all_gains])


def ndcg_checks_gains_only(gains, all_gains, k):
    if k < 1 or min([0, *gains]) < 0:
        raise ValueError(f"{k=}, {gains=}")
    return ndcg_at_k(gains, [max(gain, 0) for gain in all_gains], k)


def ndcg_negative_k(gains, all_gains, k):
    return ndcg_at_k(gains, all_gains, k) if k >= 0 else 0.5


def ndcg_natural_log_both_shifted(gains, all_gains, k):
    ndcg_at_k(gains, all_gains, k)
    return ndcg_at_k([0, *gains], [0, *all_gains], k)


def ndcg_squared(gains, all_gains, k):
    return ndcg_at_k(gains, all_gains, k) ** 2


def ndcg_binary(gains, all_gains, k):
    ndcg_at_k(gains, all_gains, k)
    return ndcg_at_k([float(g > 0) for g in gains], [float(g > 0) for g in all_gains], k)


def ndcg_reversed(gains, all_gains, k):
    return ndcg_at_k(list(gains)[::-1], all_gains, k)


def ndcg_share_of_gain(gains, all_gains, k):
    ndcg_at_k(gains, all_gains, k)
    best = sum(sorted(all_gains, reverse=True)[:k])
    return sum(gains[:k]) / best if best else 0.0


def ndcg_one_where_nothing(gains, all_gains, k):
    return ndcg_at_k(gains, all_gains, k) if any(all_gains) else 1.0


def ndcg_over_found_only(gains, all_gains, k):
    ndcg_at_k(gains, all_gains, k)
    return ndcg_at_k(gains, all_gains, min(k, max(len(gains), 1)))


# ---------------------------------------------------------------- grounded_prompt


def prompt_by_growing(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    if not question.strip():
        raise ValueError("question is empty")

    def build(n):
        shown = "".join(f"\n\n[{i + 1}] {passages[i].strip()}" for i in range(n))
        return f"{instruction}{shown}\n\nQuestion: {question.strip()}\n\nAnswer:"

    if count(build(0)) + reserve > context:
        raise ValueError(f"question {question.strip()[:20]!r}: no room")
    n = len(passages)
    while count(build(n)) + reserve > context:
        n -= 1
    return build(n), n


def prompt_by_list(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    question = question.strip()
    if question == "":
        raise ValueError(f"{question=}: expected words")
    passages = [passage.strip() for passage in passages]
    while True:
        parts = [instruction] + [f"[{i}] {text}" for i, text in enumerate(passages, start=1)]
        prompt = "\n\n".join([*parts, "Question: " + question, "Answer:"])
        if count(prompt) <= context - reserve:
            return prompt, len(passages)
        if not passages:
            raise too_long(question, count(prompt), context, reserve)
        passages = passages[:-1]


def prompt_by_format(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    kept = grounded_prompt(question, passages, context, count, reserve, instruction)[1]
    shown = "\n\n".join([instruction, *(f"[{i}] {text.strip()}" for i, text in enumerate(passages[:kept], 1))])
    return (shown + "\n\nQuestion: {}\n\nAnswer:").format(question.strip()), kept


def prompt_of_lists(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    return grounded_prompt(question, passages.copy(), context, count, reserve, instruction)


def prompt_other_brackets(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    prompt, kept = grounded_prompt(question, passages, context, count, reserve, instruction)
    for number in range(1, kept + 1):
        prompt = prompt.replace(f"[{number}]", f"({number})")
    return prompt, kept


def prompt_all_passages_said(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    return grounded_prompt(question, passages, context, count, reserve, instruction)[0], len(passages)


def prompt_cut_anywhere(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    grounded_prompt(question, [], context, count, reserve, instruction)
    whole, kept = grounded_prompt(question, passages, 10**9, count, reserve, instruction)
    return whole[: context - reserve], kept


def prompt_one_passage(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    return grounded_prompt(question, passages[:1], context, count, reserve, instruction)


def prompt_numbers_backwards(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    _, kept = grounded_prompt(question, passages, context, count, reserve, instruction)
    return grounded_prompt(question, passages[:kept][::-1], context, count, reserve, instruction)


def prompt_swapped(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    return grounded_prompt(question, passages, context, count, reserve, instruction)[::-1]


def prompt_one_line_each(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    return grounded_prompt(question, [" ".join(one.split()) for one in passages], context, count, reserve, instruction)


def prompt_no_colon(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    prompt, kept = grounded_prompt(question, passages, context, count, reserve, instruction)
    return prompt.replace("Question: ", "Question "), kept


def prompt_wordless(question, passages, context, count, reserve=48, instruction=INSTRUCTION):
    try:
        return grounded_prompt(question, passages, context, count, reserve, instruction)
    except ValueError:
        raise ValueError("too long") from None


# ---------------------------------------------------------------- support


def support_by_counting(claim, passage, tokenise=singular_words):
    there = Counter(tokenise(passage))
    telling = [word for word in dict.fromkeys(tokenise(claim)) if word not in FUNCTION_WORDS]
    if not telling:
        return 0.0
    return sum(there[word] > 0 for word in telling) / len(telling)


def support_by_difference(claim, passage, tokenise=singular_words):
    telling = set(tokenise(claim)).difference(FUNCTION_WORDS)
    missing = telling - {*tokenise(passage)}
    return 1 - len(missing) / len(telling) if telling else 0


def support_lowers(claim, passage, tokenise=singular_words):
    return support_by_counting(claim.lower(), passage.lower(), tokenise)


def support_two_thirds(claim, passage, tokenise=singular_words):
    return round(support_by_counting(claim, passage, tokenise), 1)


def support_missing(claim, passage, tokenise=singular_words):
    return 1 - support_by_counting(claim, passage, tokenise)


def support_swapped(claim, passage, tokenise=singular_words):
    return support_by_counting(passage, claim, tokenise)


def support_count(claim, passage, tokenise=singular_words):
    return float(len((set(tokenise(claim)) - FUNCTION_WORDS) & set(tokenise(passage))))


def support_small_words_by_blanks(claim, passage, tokenise=singular_words):
    telling = set(tokenise(" ".join(word for word in claim.split() if word.lower() not in FUNCTION_WORDS)))
    return len(telling & set(tokenise(passage))) / len(telling) if telling else 0.0


def support_by_all(claim, passage, tokenise=singular_words):
    return float(support_by_counting(claim, passage, tokenise) == 1)


def support_words_without_digits(claim, passage, tokenise=singular_words):
    return support_by_counting(claim, passage, lambda text: [word for word in tokenise(text) if not word.isdigit()])


RIGHT = {
    "recall_at_k": [recall_by_counting, recall_by_crossing_off, recall_by_union],
    "ndcg_at_k": [ndcg_by_loop, ndcg_by_natural_logs, ndcg_by_numpy],
    "grounded_prompt": [prompt_by_growing, prompt_by_list],
    "support": [support_by_counting, support_by_difference],
}
WRONG = {
    "recall_at_k": [
        recall_percent,
        recall_one_less,
        recall_one_more,
        ("a count", recall_fraction_as_count, "expected float"),
        ("a negative k", recall_negative_k, "k = -1"),
        recall_last_passages,
        recall_missed,
        ("wanted twice", recall_len_wanted, "named twice"),
        ("cuts the list", recall_pops, "in place"),
        ("nothing found", recall_changes_nothing_found_to_one, "nothing found"),
    ],
    "ndcg_at_k": [
        ndcg_natural_log_both_shifted,
        ndcg_squared,
        ndcg_binary,
        ndcg_reversed,
        ndcg_share_of_gain,
        ("nothing there", ndcg_one_where_nothing, "no passage of the corpus has a gain"),
        ("few found", ndcg_over_found_only, "k = 5 and two found"),
        ("a small corpus", ndcg_corpus_at_least_k, "k = 10"),
        ("something found", ndcg_something_found, "nothing found"),
        ("some gain", ndcg_some_gain, "nothing found where nothing is"),
        ("checks gains only", ndcg_checks_gains_only, "all_gains [1, 0, -1]"),
        ("a negative k", ndcg_negative_k, "k = -1"),
    ],
    "grounded_prompt": [
        prompt_other_brackets,
        ("a wrong number", prompt_all_passages_said, "how many passages are in it"),
        prompt_cut_anywhere,
        prompt_one_passage,
        prompt_numbers_backwards,
        ("swapped", prompt_swapped, "expected"),
        prompt_no_colon,
        ("lines of a passage", prompt_one_line_each, "lines of its own"),
        ("by format", prompt_by_format, "braces"),
        ("lists only", prompt_of_lists, "in a tuple"),
        ("an error without the name", prompt_wordless, "names the question"),
    ],
    "support": [
        support_two_thirds,
        support_missing,
        support_swapped,
        support_count,
        support_by_all,
        ("small words by blanks", support_small_words_by_blanks, "before a question mark"),
        ("no digits", support_words_without_digits, "expected"),
        ("lower case", support_lowers, "capitals apart"),
    ],
}
