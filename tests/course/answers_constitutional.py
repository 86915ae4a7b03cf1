"""Lab 14: right answers that differ from the reference, and wrong ones that no mistake names."""

from collections import Counter
from dataclasses import replace

import torch
from torch.nn import functional as F

from lablib.adaptation.adherence import score_interval
from lablib.adaptation.chat import render
from lablib.adaptation.critique import breaks
from lablib.alignment.ai_labels import Question, draw_principles, in_both_orders, log_odds
from lablib.alignment.cai_runs import ablations
from lablib.alignment.constitution import SLOT, Constitution
from lablib.alignment.label_bias import Agreement, PositionBias, agreement, half, position_bias
from lablib.alignment.log_probs import answers, response_log_probs
from lablib.alignment.self_critique import REASONS, critique_turns, filtered, revision_turns
from lablib.corpus.sources.conversations import Turn

# ---------------------------------------------------------------- critique_turns


def talk_by_list(prompt, answer, principle, plainly=False):
    said = [prompt, answer, principle.asks(plainly=plainly)]
    return tuple(Turn(role, text) for role, text in zip(["user", "assistant", "user"], said, strict=True))


def talk_by_replace(prompt, answer, principle, plainly=False):
    rule = principle.text if plainly else principle.rule
    return Turn("user", prompt), Turn("assistant", answer), Turn("user", principle.critique.replace(SLOT, rule))


def talk_stripped(prompt, answer, principle, plainly=False):
    return critique_turns(prompt.strip(), answer, principle, plainly)


def talk_one_line(prompt, answer, principle, plainly=False):
    return critique_turns(prompt, answer.replace("\n", " "), principle, plainly)


def talk_formatted(prompt, answer, principle, plainly=False):
    text = f"{prompt}\x00{answer}\x00{principle.asks(plainly)}".replace("{rule}", principle.rule)
    return tuple(Turn(role, part) for role, part in zip(("user", "assistant", "user"), text.split("\x00"), strict=True))


def talk_plain_default(prompt, answer, principle, plainly=True):
    return critique_turns(prompt, answer, principle, plainly)


def talk_with_reply(prompt, answer, principle, plainly=False):
    return (*critique_turns(prompt, answer, principle, plainly), Turn("assistant", ""))


def talk_text(prompt, answer, principle, plainly=False):
    return f"user: {prompt}\nassistant: {answer}\nuser: {principle.asks(plainly)}"


def talk_dictionaries(prompt, answer, principle, plainly=False):
    return [{"role": turn.role, "content": turn.text} for turn in critique_turns(prompt, answer, principle, plainly)]


def talk_title_roles(prompt, answer, principle, plainly=False):
    return tuple(Turn(turn.role.title(), turn.text) for turn in critique_turns(prompt, answer, principle, plainly))


# ---------------------------------------------------------------- revision_turns


def anew_by_list(talk, critique, principle):
    found = list(talk)
    found.append(Turn("assistant", critique))
    found.append(Turn("user", principle.revision))
    return tuple(found)


def anew_by_sum(talk, critique, principle):
    new = Turn("assistant", critique), Turn("user", principle.revision)
    return talk + new


def anew_empty_left_out(talk, critique, principle):
    said = (Turn("assistant", critique),) if critique else ()
    return (*talk, *said, Turn("user", principle.revision))


def anew_stripped_verdict(talk, critique, principle):
    return revision_turns(talk, critique.partition(". ")[0] + ".", principle)


def anew_fixed_request(talk, critique, principle):
    return (*talk, Turn("assistant", critique), Turn("user", "Now write your answer anew."))


def anew_only_if_broken(talk, critique, principle):
    return revision_turns(talk, critique, principle) if breaks(critique) else talk


def anew_nested(talk, critique, principle):
    return (talk, Turn("assistant", critique), Turn("user", principle.revision))


def anew_with_reply(talk, critique, principle):
    return (*revision_turns(talk, critique, principle), Turn("assistant", ""))


def anew_slot_text(talk, critique, principle):
    return (*talk, Turn("assistant", critique), Turn("user", principle.text))


def anew_twice(talk, critique, principle):
    return (*talk, *revision_turns(talk, critique, principle))


# ---------------------------------------------------------------- draw_principles


def draw_by_sample(constitution, n, generator):
    if n < 1 or n > len(constitution.on):
        raise ValueError(f"n = {n} of {len(constitution.on)}")
    return generator.sample(list(constitution.on), n)


def draw_by_shuffle(constitution, n, generator):
    if not 1 <= n <= len(constitution.on):
        raise ValueError(f"n = {n}: too few or too many")
    some = list(constitution.on)
    generator.shuffle(some)
    return some[:n]


def draw_by_redrawing(constitution, n, generator):
    if not 1 <= n <= len(constitution.on):
        raise ValueError(f"n = {n}: too few or too many")
    found = []
    while len(found) < n:
        one = constitution.draw(generator)
        if one not in found:
            found.append(one)
    return found


def draw_in_order(constitution, n, generator):
    found = draw_principles(constitution, n, generator)
    return sorted(found, key=constitution.on.index)


def draw_first(constitution, n, generator):
    draw_principles(constitution, n, generator)
    return list(constitution.on[:n])


def draw_neighbours(constitution, n, generator):
    draw_principles(constitution, n, generator)
    start = int(generator.random() * (len(constitution.on) - n + 1))
    return list(constitution.on[start : start + n])


def draw_neighbours_in_a_ring(constitution, n, generator):
    draw_principles(constitution, n, generator)
    start = generator.randrange(len(constitution.on))
    return [constitution.on[(start + i) % len(constitution.on)] for i in range(n)]


def draw_by_hash(constitution, n, generator):
    draw_principles(constitution, n, generator)
    return [constitution.on[int(torch.randint(len(constitution.on), ()))] for _ in range(n)]


def draw_ids(constitution, n, generator):
    return [one.id for one in draw_principles(constitution, n, generator)]


def draw_one(constitution, n, generator):
    return draw_principles(constitution, n, generator)[0]


def draw_index_error(constitution, n, generator):
    if not 1 <= n <= len(constitution.on):
        raise IndexError(n)
    return generator.sample(list(constitution.on), n)


def draw_never_last(constitution, n, generator):
    draw_principles(constitution, n, generator)
    left = list(constitution.on)
    return [left.pop(int(generator.random() * max(1, len(left) - 1))) for _ in range(n)]


# ---------------------------------------------------------------- filtered


def filter_by_loop(transcripts, verdict=breaks):
    kept, dropped = [], Counter()
    for one in transcripts:
        why = None
        for reason, holds in REASONS.items():
            if holds(one):
                why = reason
                break
        if why is None and one.revised:
            why = {True: "still broken", False: None, None: "no verdict"}[verdict(one.check)]
        if why is None:
            kept.append(one)
        else:
            dropped[why] += 1
    return kept, dropped


def filter_by_groups(transcripts, verdict=breaks):
    def why(one):
        found = [
            reason
            for reason in ("empty", "cut off", "talks about the rule")
            if one.last.strip() and REASONS[reason](one)
        ]
        if not one.last.strip():
            return "empty"
        if found:
            return found[0]
        if not one.revised or (said := verdict(one.check)) is False:
            return ""
        return "still broken" if said else "no verdict"

    reasons = [why(one) for one in transcripts]
    return [one for one, reason in zip(transcripts, reasons, strict=True) if not reason], Counter(filter(None, reasons))


def filter_dict(transcripts, verdict=breaks):
    kept, dropped = filtered(transcripts, verdict)
    return kept, dict(dropped)


def filter_counts_kept(transcripts, verdict=breaks):
    kept, dropped = filtered(transcripts, verdict)
    return kept, dropped + Counter({"kept": len(kept)})


def filter_without_one_reason(transcripts, verdict=breaks):
    kept, _ = filtered(transcripts, verdict)
    mine = [one for one in transcripts if one in kept or any(words in one.last for words in ("It keeps",))]
    return mine, filtered([one for one in transcripts if one not in mine], verdict)[1]


def filter_stops(transcripts, verdict=breaks):
    kept = []
    for one in transcripts:
        if filtered([one], verdict)[1]:
            break
        kept.append(one)
    return kept, filtered(transcripts, verdict)[1]


def filter_twice(transcripts, verdict=breaks):
    kept, dropped = filtered(transcripts, verdict)
    return kept * 2, dropped


def filter_sorted(transcripts, verdict=breaks):
    kept, dropped = filtered(transcripts, verdict)
    return sorted(kept, key=lambda one: one.prompt), dropped


def filter_answers(transcripts, verdict=breaks):
    kept, dropped = filtered(transcripts, verdict)
    return [one.last for one in kept], dropped


def filter_revised_at_the_end(transcripts, verdict=breaks):
    """Looks at the last round only: was *it* a revision?"""
    kept, dropped = [], Counter()
    for one in transcripts:
        last = one if one.rounds and one.rounds[-1].revised else replace(one, rounds=())
        mine, why = filtered([last], verdict)
        kept += [one] * len(mine)
        dropped += why
    return kept, dropped


def filter_broken_first(transcripts, verdict=breaks):
    return filtered(transcripts, lambda said: True if verdict(said) is None else verdict(said))


# ---------------------------------------------------------------- log_odds


def _fits(model, tokenizer, talks, yes, no):
    longest = max(len(tokenizer.encode(yes)), len(tokenizer.encode(no)))
    return [len(render(talk, tokenizer, reply=True)) + longest <= model.sizes.context + 1 for talk in talks]


def odds_one_by_one(model, tokenizer, talks, yes, no):
    def nats(talk, text):
        ids, total = render(talk, tokenizer, reply=True), 0.0
        for token in tokenizer.encode(text):
            with torch.no_grad():
                total += model(torch.tensor([ids]))[0, -1].log_softmax(dim=-1)[token].item()
            ids.append(token)
        return total

    fits = _fits(model, tokenizer, talks, yes, no)
    return torch.tensor(
        [nats(talk, yes) - nats(talk, no) if fit else 0.0 for talk, fit in zip(talks, fits, strict=True)]
    )


def odds_by_rows(model, tokenizer, talks, yes, no):
    found = torch.zeros(len(talks))
    for i, fit in enumerate(_fits(model, tokenizer, talks, yes, no)):
        if fit:
            asked = render(talks[i], tokenizer, reply=True)
            rows = answers([asked, asked], [tokenizer.encode(yes), tokenizer.encode(no)], pad=0)
            with torch.no_grad():
                one, other = response_log_probs(model, rows).sum(dim=-1)
            found[i] = one - other
    return found


def odds_halved(model, tokenizer, talks, yes, no):
    return log_odds(model, tokenizer, talks, yes, no) / 2


def odds_clamped(model, tokenizer, talks, yes, no):
    return log_odds(model, tokenizer, talks, yes, no).clamp(-5, 5)


def odds_centred(model, tokenizer, talks, yes, no):
    found = log_odds(model, tokenizer, talks, yes, no)
    return found - found.mean()


def odds_with_blank(model, tokenizer, talks, yes, no):
    return log_odds(model, tokenizer, talks, " " + yes, " " + no)


def odds_last_token(model, tokenizer, talks, yes, no):
    found = torch.zeros(len(talks))
    for i, fit in enumerate(_fits(model, tokenizer, talks, yes, no)):
        if fit:
            asked = render(talks[i], tokenizer, reply=True)
            rows = answers([asked, asked], [tokenizer.encode(yes), tokenizer.encode(no)], pad=0)
            with torch.no_grad():
                token = response_log_probs(model, rows)
            ends = rows.mask.shape[1] - rows.mask.flip(1).int().argmax(1) - 1
            one, other = token.gather(1, ends[:, None])[:, 0]
            found[i] = one - other
    return found


def odds_swapped_roles(model, tokenizer, talks, yes, no):
    other = {"user": "assistant", "assistant": "user"}
    return log_odds(model, tokenizer, [tuple(Turn(other[r], text) for r, text in talk) for talk in talks], yes, no)


def odds_first_of_all(model, tokenizer, talks, yes, no):
    found = log_odds(model, tokenizer, talks, yes, no)
    return found[:1].expand(len(talks)).clone()


def odds_cut_beginning(model, tokenizer, talks, yes, no):
    found = log_odds(model, tokenizer, talks, yes, no)
    found[[not fit for fit in _fits(model, tokenizer, talks, yes, no)]] = 0.7
    return found


def odds_list(model, tokenizer, talks, yes, no):
    return log_odds(model, tokenizer, talks, yes, no).tolist()


def odds_double(model, tokenizer, talks, yes, no):
    return log_odds(model, tokenizer, talks, yes, no).double()


# ---------------------------------------------------------------- in_both_orders


def orders_by_complement(judge, questions):
    turned = [Question(prompt=q.prompt, first=q.second, second=q.first, principle=q.principle) for q in questions]
    return judge(questions).double().sigmoid(), 1 - judge(turned).double().sigmoid()


def orders_in_one_call(judge, questions):
    turned = [replace(q, first=q.second, second=q.first) for q in questions]
    there, back = judge([*questions, *turned]).double().split(len(questions))
    return torch.special.expit(there), torch.special.expit(-back)


def orders_float(judge, questions):
    there, back = in_both_orders(judge, questions)
    return there.float(), back.float()


def orders_of_the_judge(judge, questions):
    turned = [replace(q, first=q.second, second=q.first) for q in questions]
    return judge(questions).sigmoid(), (-judge(turned)).sigmoid()


def orders_double_afterwards(judge, questions):
    return tuple(x.double() for x in orders_of_the_judge(judge, questions))


def orders_list(judge, questions):
    return [x.tolist() for x in in_both_orders(judge, questions)]


def orders_stacked(judge, questions):
    return torch.stack(in_both_orders(judge, questions))


def orders_turned_prompt(judge, questions):
    turned = [Question(q.first, q.second, q.prompt, q.principle) for q in questions]
    return judge(questions).double().sigmoid(), (-judge(turned)).double().sigmoid()


def orders_no_principle(judge, questions):
    turned = [replace(q, first=q.second, second=q.first, principle=questions[0].principle) for q in questions]
    return judge(questions).double().sigmoid(), (-judge(turned)).double().sigmoid()


def orders_no_prompt(judge, questions):
    turned = [Question("", q.second, q.first, q.principle) for q in questions]
    return judge(questions).double().sigmoid(), (-judge(turned)).double().sigmoid()


def orders_tanh(judge, questions):
    return tuple(2 * x - 1 for x in in_both_orders(judge, questions))


def orders_log(judge, questions):
    turned = [replace(q, first=q.second, second=q.first) for q in questions]
    return F.logsigmoid(judge(questions).double()), F.logsigmoid(-judge(turned).double())


def orders_clamped(judge, questions):
    return tuple(x.clamp(0.01, 0.99) for x in in_both_orders(judge, questions))


def orders_inverse_twice(judge, questions):
    there, back = in_both_orders(judge, questions)
    return 1 - there, back


# ---------------------------------------------------------------- agreement


def agreement_by_signs(labels, gaps):
    told = [(one, gap) for one, gap in zip(labels, gaps, strict=True) if gap != 0]
    if not told:
        raise ValueError("gaps: no pair of which one answer is better")

    def right(name):
        scores = []
        for one, gap in told:
            side = (getattr(one, name) - 0.5) * gap
            scores.append(0.5 if side == 0 else float(side > 0))
        return score_interval(scores)

    return Agreement(len(told), right("forward"), right("backward"), right("p"))


def agreement_by_tensors(labels, gaps):
    gap = torch.tensor(gaps, dtype=torch.float64)
    if not bool(gap.any()):
        raise ValueError("gaps are all 0: nothing to compare with")
    p = torch.tensor([[one.forward, one.backward, one.p] for one in labels], dtype=torch.float64)[gap != 0]
    hits = (1 + ((p - 0.5) * gap[gap != 0, None]).sign()) / 2
    return Agreement(len(p), *(score_interval(column.tolist()) for column in hits.T))


def agreement_sure_only(labels, gaps):
    some = [i for i, one in enumerate(labels) if abs(one.p - 0.5) > 0.1]
    agreement(labels, gaps)
    return agreement([labels[i] for i in some], [gaps[i] for i in some])


def agreement_by_gap(labels, gaps):
    """The threshold is the gap itself."""
    told = [(one, gap) for one, gap in zip(labels, gaps, strict=True) if gap]
    agreement(labels, gaps)
    hits = [[float((p > gap) == (gap > 0)) for p in (one.forward, one.backward, one.p)] for one, gap in told]
    return Agreement(len(told), *(score_interval(column) for column in zip(*hits, strict=True)))


def agreement_p_product(labels, gaps):
    found = agreement(labels, gaps)
    told = [(one, gap) for one, gap in zip(labels, gaps, strict=True) if gap]
    both = [
        half(one.forward * one.backward, 0.25) if gap > 0 else 1 - half(one.forward * one.backward, 0.25)
        for one, gap in told
    ]
    return Agreement(found.n, found.one_order, found.swapped, score_interval(both))


def agreement_stricter(labels, gaps):
    found = agreement(labels, gaps)
    told = [(one, gap) for one, gap in zip(labels, gaps, strict=True) if gap]
    both = [float(one.p > 0.6) if gap > 0 else float(one.p < 0.4) for one, gap in told]
    return Agreement(found.n, found.one_order, found.swapped, score_interval(both))


def agreement_means_only(labels, gaps):
    found = agreement(labels, gaps)
    return Agreement(found.n, *((x[0], x[0], x[0]) for x in (found.one_order, found.swapped, found.both)))


def agreement_tuple(labels, gaps):
    found = agreement(labels, gaps)
    return found.n, found.one_order, found.swapped, found.both


def agreement_percent(labels, gaps):
    found = agreement(labels, gaps)
    return Agreement(found.n, *(tuple(100 * x for x in y) for y in (found.one_order, found.swapped, found.both)))


def agreement_first_gap(labels, gaps):
    agreement(labels, gaps)
    return agreement(labels, [gaps[0]] * len(gaps))


# ---------------------------------------------------------------- position_bias


def bias_by_choices(labels):
    def first(one):
        a_first = {True: 1.0, False: 0.0}.get(None if one.forward == 0.5 else one.forward > 0.5, 0.5)
        b_first = {True: 0.0, False: 1.0}.get(None if one.backward == 0.5 else one.backward > 0.5, 0.5)
        return (a_first + b_first) / 2

    return PositionBias(
        score_interval(list(map(first, labels))), score_interval([1.0 if x.turns else 0.0 for x in labels])
    )


def bias_by_tensors(labels):
    p = torch.tensor([[one.forward, one.backward] for one in labels], dtype=torch.float64)
    side = (p - 0.5).sign()
    first = (2 + side[:, 0] - side[:, 1]) / 4
    return PositionBias(score_interval(first.tolist()), score_interval((side.prod(dim=1) < 0).double().tolist()))


def bias_turns_by_p(labels):
    return PositionBias(position_bias(labels).first, score_interval([float(one.p < one.forward) for one in labels]))


def bias_means_only(labels):
    found = position_bias(labels)
    return PositionBias((found.first[0],) * 3, (found.turns[0],) * 3)


def bias_exchanged(labels):
    found = position_bias(labels)
    return PositionBias(found.turns, found.first)


def bias_from_half(labels):
    found = position_bias(labels)
    return PositionBias(tuple(x - 0.5 for x in found.first), found.turns)


def bias_of_turning(labels):
    """Only pairs that turn are counted in `first`."""
    some = [one for one in labels if one.turns] or labels
    return PositionBias(position_bias(some).first, position_bias(labels).turns)


def bias_turns_or_tied(labels):
    return PositionBias(
        position_bias(labels).first,
        score_interval([float((one.forward - 0.5) * (one.backward - 0.5) <= 0) for one in labels]),
    )


def bias_absolute(labels):
    found = position_bias(labels)
    return PositionBias(tuple(abs(2 * x - 1) for x in found.first), found.turns)


def bias_tuple(labels):
    found = position_bias(labels)
    return found.first, found.turns


def bias_doubled(labels):
    return position_bias([*labels, *labels])


# ---------------------------------------------------------------- ablations


def ablations_by_loop(constitution):
    found = {}
    for one in constitution.principles:
        if one.on:
            found[one.id] = constitution.switched((), [one.id])
    return found


def ablations_by_only(constitution):
    ids = [one.id for one in constitution.on]
    return {id: constitution.only(*(other for other in ids if other != id)) for id in reversed(ids)}


def ablations_list(constitution):
    return list(ablations(constitution).values())


def ablations_principles(constitution):
    return {id: less.on for id, less in ablations(constitution).items()}


def ablations_texts(constitution):
    return {one.text: constitution.switched(off=[one.id]) for one in constitution.on}


def ablations_first_half(constitution):
    found = ablations(constitution)
    return dict(list(found.items())[: (len(found) + 1) // 2])


def ablations_two_at_a_time(constitution):
    ids = [one.id for one in constitution.on]
    ablations(constitution)
    return {
        id: constitution.switched(off={id, ids[0]}) if len(ids) > 2 else constitution.switched(off=[id]) for id in ids
    }


def ablations_and_conflicts(constitution):
    found = ablations(constitution)
    for one in constitution.on:
        rest = [other.id for other in constitution.on if other.id not in (*one.against, one.id)]
        found[one.id] = constitution.only(*(rest or [found[one.id].on[0].id]))
    return found


def ablations_rules(constitution):
    return {one.rule: constitution.switched(off=[one.id]) for one in constitution.on}


def ablations_renamed(constitution):
    return {f"without {id}": less for id, less in ablations(constitution).items()}


def ablations_blanked(constitution):
    """The principle goes to the end of the list."""
    found = {}
    for one in constitution.on:
        rest = tuple(p for p in constitution.principles if p != one)
        found[one.id] = Constitution((*rest[::-1], replace(one, on=False)))
    return found


RIGHT = {
    "critique_turns": [talk_by_list, talk_by_replace],
    "revision_turns": [anew_by_list, anew_by_sum],
    "draw_principles": [draw_by_sample, draw_by_shuffle, draw_by_redrawing],
    "filtered": [filter_by_loop, filter_by_groups],
    "log_odds": [odds_one_by_one, odds_by_rows],
    "in_both_orders": [orders_by_complement, orders_in_one_call],
    "agreement": [agreement_by_signs, agreement_by_tensors],
    "position_bias": [bias_by_choices, bias_by_tensors],
    "ablations": [ablations_by_loop, ablations_by_only],
}
WRONG = {
    "critique_turns": [
        ("blanks taken off", talk_stripped, "turn 1"),
        ("lines joined", talk_one_line, "turn 2"),
        ("formatted", talk_formatted, "turn 2"),
        ("other default", talk_plain_default, "in the carried model's words"),
        ("a reply begun", talk_with_reply, "expected 3 results"),
        ("one text", talk_text, "expected"),
        ("dictionaries", talk_dictionaries, "expected"),
        ("roles with capitals", talk_title_roles, "turn 1"),
    ],
    "revision_turns": [
        ("empty left out", anew_empty_left_out, "an empty critique"),
        ("verdict only", anew_stripped_verdict, "turn 4"),
        ("always the same request", anew_fixed_request, "turn 5"),
        ("only where broken", anew_only_if_broken, "found nothing"),
        ("nested", anew_nested, "expected"),
        ("a reply begun", anew_with_reply, "expected 5 results"),
        ("the principle's text", anew_slot_text, "turn 5"),
        ("talk twice", anew_twice, "expected 5 results"),
    ],
    "draw_principles": [
        ("in the file's order", draw_in_order, "each of those in force has the same chance"),
        ("the first n", draw_first, "The same came every time"),
        ("neighbours", draw_neighbours, "has the same chance"),
        ("neighbours in a ring", draw_neighbours_in_a_ring, "from what is left"),
        ("torch's chance", draw_by_hash, "One came twice"),
        ("ids", draw_ids, "Tried with"),
        ("one alone", draw_one, "expected"),
        ("IndexError", draw_index_error, "raised IndexError"),
        ("never the last", draw_never_last, "has the same chance"),
    ],
    "filtered": [
        ("counts the kept, too", filter_counts_kept, "the counts of the dropped"),
        ("one reason left out", filter_without_one_reason, "is a critique"),
        ("stops at the first", filter_stops, "the prompts of the kept"),
        ("twice", filter_twice, "the prompts of the kept"),
        ("another order", filter_sorted, "the prompts of the kept"),
        ("the answers", filter_answers, "the prompts of the kept"),
        ("the last round only", filter_revised_at_the_end, "Tried with"),
        ("no verdict is broken", filter_broken_first, "the counts of the dropped"),
    ],
    "log_odds": [
        odds_halved,
        odds_clamped,
        odds_centred,
        odds_with_blank,
        odds_last_token,
        odds_swapped_roles,
        odds_first_of_all,
        ("not 0", odds_cut_beginning, "too long by a token"),
        ("a list", odds_list, "expected"),
        ("float64", odds_double, "wrong dtype"),
    ],
    "in_both_orders": [
        ("float32", orders_float, "loses the digits"),
        ("the judge's type", orders_of_the_judge, "loses the digits"),
        ("double afterwards", orders_double_afterwards, "loses the digits"),
        ("lists", orders_list, "expected"),
        ("one tensor", orders_stacked, "expected 2 results"),
        orders_turned_prompt,
        ("one principle for all", orders_no_principle, "read second"),
        ("prompt lost", orders_no_prompt, "read second"),
        orders_tanh,
        orders_log,
        orders_clamped,
        orders_inverse_twice,
    ],
    "agreement": [
        ("sure ones only", agreement_sure_only, "n: expected"),
        agreement_by_gap,
        ("product", agreement_p_product, "both"),
        ("stricter", agreement_stricter, "both"),
        ("no intervals", agreement_means_only, "lower end"),
        ("a tuple", agreement_tuple, "expected `Agreement(n, one_order, swapped, both)`"),
        agreement_percent,
        agreement_first_gap,
    ],
    "position_bias": [
        bias_turns_by_p,
        ("no intervals", bias_means_only, "lower end"),
        ("exchanged", bias_exchanged, "first"),
        ("a number", lambda labels: 0.5, "The result is float 0.5: expected `PositionBias(first, turns)`"),
        ("less a half", bias_from_half, "first"),
        bias_of_turning,
        ("ties turn", bias_turns_or_tied, "turns"),
        ("distance from a half", bias_absolute, "first"),
        ("a tuple", bias_tuple, "expected `PositionBias(first, turns)`"),
        ("twice as many", bias_doubled, "lower end"),
    ],
    "ablations": [
        ("a list", ablations_list, "expected"),
        ("principles", ablations_principles, "expected"),
        ("keys are texts", ablations_texts, "expected"),
        ("half of them", ablations_first_half, "expected"),
        ("two at a time", ablations_two_at_a_time, "expected"),
        ("rivals, too", ablations_and_conflicts, "expected"),
        ("keys are rules", ablations_rules, "expected"),
        ("other keys", ablations_renamed, "expected"),
        ("another order", ablations_blanked, "expected"),
    ],
}
