"""The report of `lab compare` as one HTML page: nothing is fetched, nothing runs, and whatever a model wrote is escaped.

    Path("comparison.html").write_text(page(figures))

The page shows figures and says of each claim whether its intervals carry it; it draws no conclusion of its own.

Left out: the notebook's sliders (lab 15).
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from scipy.special import chdtri

from lablib.alignment.comparison_pictures import intervals, plane

Figure = Mapping[str, Any]
STYLE = """body{font:16px/1.5 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}
th,td{border-bottom:1px solid #ddd;padding:4px 6px;text-align:right;white-space:nowrap}th{white-space:normal;vertical-align:bottom}
th:first-child,td:first-child{text-align:left}td.words{white-space:normal;text-align:left;min-width:14em}
small{color:#666}figure{margin:1.5em 0}figcaption{font-size:14px;color:#555}"""
VERDICT = {1: "carried: above", -1: "carried: below", 0: "not carried"}
INTERVALS = "A dot is the mean; the thick line the bootstrap over seeds and prompts, the thin one below Student's t over the seeds."


def shown(one: Figure, digits: int = 3) -> str:
    """A mean with its bootstrap interval, and the standard deviation over seeds."""
    low, high, spread = (f"{one[name]:.{digits}f}" for name in ("low", "high", "spread"))
    return f"{one['mean']:.{digits}f}<br><small>[{low}, {high}]<br>± {spread}</small>"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()) -> str:
    """A table of cells that are HTML already; words: columns of running text."""
    cells = [
        "".join(f'<td class="words">{cell}</td>' if at in words else f"<td>{cell}</td>" for at, cell in enumerate(row))
        for row in rows
    ]
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in cells)}</tbody></table>"


def figure(picture: str, caption: str) -> str:
    """A picture with what to look at."""
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


# ---------------------------------------------------------------- the parts


def cost_table(methods: Mapping[str, Figure]) -> str:
    """What each method needs."""
    rows = [
        [
            escape(name),
            str(one["stages"]),
            f"{len(one['models'])}<br><small>{escape(', '.join(one['models']))}</small>",
            f"{one['human']:,}",
            f"{one['ai']:,}",
            f"{one['seconds']:,.0f}",
            f"{one['flops'] / 1e12:.2f}",
            span(one["drawn"]),
            f"{one['lines']:,}",
        ]
        for name, one in methods.items()
    ]
    head = [
        "method",
        "stages",
        "models in memory",
        "human labels",
        "AI labels",
        "seconds",
        "TFLOP",
        "answers drawn for one",
        "lines of code",
    ]
    return grid(head, rows)


def span(numbers: Sequence[int]) -> str:
    """The smallest and the largest of some numbers, or the one that they all are.

    >>> span([17, 14, 15]), span([1, 1, 1])
    ('14 to 17', '1')
    """
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def quality_table(methods: Mapping[str, Figure], aims: Mapping[str, Figure]) -> str:
    """What each method gives; of best of N the KL has the bound of choosing beside it."""
    rows = []
    for name, one in methods.items():
        cells = [escape(name), *(shown(one[aim]) for aim in aims)]
        if one["kl_bound"]:
            cells[1 + list(aims).index("KL")] += f"<br><small>+ at most {one['kl_bound']:.2f}</small>"
        rows.append(cells)
    notes = "".join(f"<li><b>{escape(name)}</b>: {escape(aim['what'])}</li>" for name, aim in aims.items())
    return grid(["method", *aims], rows) + f"<ul>{notes}</ul>"


def variance_table(methods: Mapping[str, Figure], seeds: int) -> str:
    """How far the seeds' means of gold lie apart, and how far prompts alone would put them; of the method, and of it less SFT."""
    rows = [
        [escape(name), *_scatter(one["gold"]), *(_scatter(one["less SFT"]["gold"]) if one["less SFT"] else [""] * 3)]
        for name, one in methods.items()
    ]
    three = ["spread over seeds", "by prompts alone", "ratio of variances"]
    # the variance of S means over the expected one is χ² with S − 1 degrees of freedom, divided by them
    free = seeds - 1
    above = chdtri(free, 0.05) / free
    words = (
        "<p>Each seed has prompts of its own, so even SFT, one model in all seeds, has a spread. Where prompts alone make "
        f"it, {seeds} seeds have a ratio of variances above {above:.1f} once in twenty times.</p>"
    )
    return words + grid(["gold", *three, *(f"less SFT: {word}" for word in three)], rows)


def _scatter(one: Figure) -> list[str]:
    """Deviations of a seed's mean, measured and expected of prompts alone, and the ratio of their squares."""
    if one["variance"] is None:
        return ["", "", ""]
    within, measured = one["variance"]["within"], one["variance"]["within"] + one["variance"]["between"]
    return [f"{max(measured, 0.0) ** 0.5:.4f}", f"{within**0.5:.4f}", f"{measured / within:.1f}" if within else ""]


def claim_table(claims: Sequence[Figure]) -> str:
    """Sentences, differences, verdicts."""
    rows = [
        [
            escape(one["guide"]),
            escape(one["what"]),
            f"{one['found']['mean']:+.3f}",
            f"[{one['found']['low']:+.3f}, {one['found']['high']:+.3f}]",
            _students(one["found"]),
            f"<b>{VERDICT[one['carried']]}</b>",
        ]
        for one in claims
    ]
    return grid(
        ["what is said", "measured", "mean", "bootstrap", "Student's t over seeds", "difference from 0"], rows, (0, 1)
    )


def _students(one: Figure) -> str:
    return "one seed" if one["seed_low"] is None else f"[{one['seed_low']:+.3f}, {one['seed_high']:+.3f}]"


def front_table(front: Mapping[str, Figure]) -> str:
    """Who is on the front, and how surely."""
    rows = [[escape(name), "yes" if one["on"] else "no", f"{one['share']:.2f}"] for name, one in front.items()]
    return grid(["method", "on the front of the means", "share of resamples in which it is"], rows)


def special_tables(found: Figure) -> str:
    """Labs 10 and 11, side by side and not mixed."""
    if not found["tuned"] and not found["retrieval"]:
        return "<p>The records of labs 10 and 11 were not there when this page was made.</p>"
    tuned = [
        [
            escape(one["row"]),
            escape(one["method"]),
            f"{one['trainable']:,}",
            str(one["seeds"]),
            *(f"{one[key][0]:.3f} <small>[{one[key][1]:.3f}, {one[key][2]:.3f}]</small>" for key in SPECIAL),
        ]
        for one in found["tuned"]
    ]
    asked = [
        [
            escape(one["part"]),
            escape(one["condition"]),
            str(one["n"]),
            f"{one['right'][0]:.2f} <small>[{one['right'][1]:.2f}, {one['right'][2]:.2f}]</small>",
        ]
        for one in found["retrieval"]
    ]
    head = ["", "method", "numbers that learn", "seeds", *SPECIAL.values()]
    return grid(head, tuned) + special_notes(found["tuned"]) + grid(["part", "condition", "n", "right"], asked)


def special_notes(tuned: Sequence[Figure]) -> str:
    """How the first of the tables is to be read; nothing where it is empty."""
    if not tuned:
        return ""
    steps, guess = max(one["steps"] for one in tuned), tuned[0]["chance"]
    return (
        f"<p>Mean [smallest, largest] over the seeds. Seconds are of {steps:,} steps, the same number for all: what a "
        f"step costs. Who picks facts blindly has {guess:.3f} of them right. The world's column, less the base's, is what "
        "was forgotten, except from scratch, where nothing was known; an adapter can be taken off, and nothing is lost "
        "without it.</p>"
    )


SPECIAL = {
    "seconds": "seconds",
    "above_floor": "domain: nats above the floor",
    "facts": "facts picked, other wordings",
    "world_loss": "the world: nats above the floor",
}


def gallery(answers: Mapping[str, Sequence[Sequence[str]]]) -> str:
    """Some answers of the first seed, to the same prompts, method by method."""
    parts = []
    for name, some in answers.items():
        rows = [[escape(kind), escape(prompt), escape(said)] for prompt, said, kind in some]
        parts.append(
            f"<details><summary>{escape(name)}</summary>{grid(['kind', 'prompt', 'answer'], rows, (1, 2))}</details>"
        )
    return "".join(parts)


# ---------------------------------------------------------------- the page


def page(found: Figure) -> str:
    """The whole report. found: of `comparison.report`."""
    methods, plan = found["methods"], found["plan"]
    others = {name: one for name, one in methods.items() if name != "SFT"}
    apart = [
        figure(
            intervals({name: one["less SFT"][aim] for name, one in others.items()}, f"{aim}, less SFT's", 0.0),
            f"{found['aims'][aim]['what']}: the difference from SFT on the same prompts",
        )
        for aim in ("helpful", "honest", "harmless", "over-refusal", "distinct-2")
        if others
    ]
    points = {name: (one["helpful"], one["harmless"]) for name, one in methods.items()}
    on = {name: one["on"] for name, one in found["front"].items()}
    seeds, n = len(found["seeds"]), plan["judged"]
    body = [
        "<h1>Methods of alignment, compared</h1>",
        f"<p>All begin with the same tuned model. Each may spend {plan['budget'] / 1e12:g} TFLOP, from there to its first "
        f"{plan['served']:,} answers. {seeds} seed{'s' if seeds > 1 else ''}; {n} prompts of each of 5 kinds of request for each seed, the "
        f"same for all methods. Made by <code>{escape(found['command'])}</code> on {escape(found['hardware'])}.</p>",
        "<h2>What each needs</h2>",
        cost_table(methods),
        "<p>FLOPs are counted from the lengths of all that is read and written, pairs, reward model, critiques and labels among it. "
        "Seconds are those of a method's own work on the machine named above, more where other runs shared it. "
        "Lines are those of this project beyond tuning.</p>",
        "<h2>What each gives</h2>",
        f"<p>Mean [95 % bootstrap interval] ± standard deviation over seeds. {INTERVALS}</p>",
        quality_table(methods, found["aims"]),
        variance_table(methods, seeds) if seeds > 1 else "",
        figure(
            intervals({name: one["win rate"] for name, one in others.items()}, "win rate against SFT", 0.5),
            f"Win rate by gold reward. {INTERVALS}",
        )
        if others
        else "",
        *apart,
        "<h2>Helpful against harmless</h2>",
        figure(
            plane(points, on, ("helpful", "harmless")),
            "In red: on the Pareto front of the means. Lines are bootstrap intervals.",
        ),
        front_table(found["front"]),
        "<h2>What can be said</h2>",
        "<p>A difference is <i>carried</i> where both intervals lie on one side of 0. Not carried does not mean equal.</p>",
        claim_table(found["claims"]),
        "<h2>Retrieval, small adapters, full tuning, from scratch</h2>",
        special_tables(found["specialisation"]),
        "<h2>To be read</h2>",
        gallery(found["shown"]),
    ]
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"{meta}<title>Alignment compared</title><style>{STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'
