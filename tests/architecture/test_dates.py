"""The dates task: an independent parser reads back every template, and dateutil agrees where it speaks the language."""

import re
import unicodedata
from datetime import date, timedelta

import pytest
import torch
from dateutil import parser as dateutil
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.architecture import dates
from lablib.architecture.date_formats import (
    FIELDS,
    FIRST,
    LAST,
    TEMPLATES,
    WHOLE_YEARS,
    spoken_year,
    templates_for,
    write,
)
from lablib.architecture.dates import CHARACTERS, SURROUNDINGS, batches, days, decode, encode, sample, sources, targets
from lablib.architecture.encoder_decoder import END, PAD, START

TOTAL = 73_049  # days from 1900 to 2099: 200 · 365 and 49 leap days, for 1900 had none


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ a reader that knows no template
# It shares nothing with `dates`: the names of months stand here a second time, by their first letters, and numbers in words
# are added up. Because it is a function of the text alone, a text that stood for two dates would make it fail for one of them.

MONTH_STARTS = [
    ("jan", "ene", "gen"),
    ("feb", "fev"),
    ("mar",),
    ("apr", "avr", "abr"),
    ("may", "mai", "mag"),
    ("jun", "juin", "giu"),
    ("jul", "juil", "lug"),
    ("aug", "aou", "ago"),
    ("sep", "set"),
    ("oct", "okt", "ott"),
    ("nov",),
    ("dec", "dez", "dic"),
]
ROMANS = {
    "i": 1,
    "ii": 2,
    "iii": 3,
    "iv": 4,
    "v": 5,
    "vi": 6,
    "vii": 7,
    "viii": 8,
    "ix": 9,
    "x": 10,
    "xi": 11,
    "xii": 12,
}
NUMBERS = {
    word: number
    for number, words in {
        0: "oh", 1: "one first", 2: "two second", 3: "three third", 4: "four fourth", 5: "five fifth", 6: "six sixth",
        7: "seven seventh", 8: "eight eighth", 9: "nine ninth", 10: "ten tenth", 11: "eleven eleventh",
        12: "twelve twelfth", 13: "thirteen thirteenth", 14: "fourteen fourteenth", 15: "fifteen fifteenth",
        16: "sixteen sixteenth", 17: "seventeen seventeenth", 18: "eighteen eighteenth", 19: "nineteen nineteenth",
        20: "twenty twentieth", 30: "thirty thirtieth", 40: "forty", 50: "fifty", 60: "sixty", 70: "seventy",
        80: "eighty", 90: "ninety",
    }.items()
    for word in words.split()
}  # fmt: skip
NO_MONTHS = {"martes", "mardi", "martedi"}  # weekdays that begin like March


def month_of(word: str) -> int | None:
    if word in NO_MONTHS:
        return None
    found = {number for number, starts in enumerate(MONTH_STARTS, 1) for start in starts if word.startswith(start)}
    assert len(found) < 2, f"{word} begins like two months"
    return found.pop() if found else None


def years_in_words(words: list[str]) -> tuple[int, list[str]]:
    """Takes a spoken year off the end: the year and the words in front of it."""
    for start, word in enumerate(words):
        tail = words[start:]
        if word == "nineteen" and len(tail) > 1:
            return 1900 + sum(NUMBERS.get(part, 0) for part in tail[1:]), words[:start]
        if tail[:2] == ["two", "thousand"]:
            return 2000 + sum(NUMBERS.get(part, 0) for part in tail[2:]), words[:start]
    raise AssertionError(f"no year in {words}")


def read(text: str) -> date:
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    plain = re.sub(r"\b(due by|born|date|on|valid until|at the latest)\b", " ", plain)
    digits = re.findall(r"\d+", plain)
    words = re.findall(r"[a-z]+", plain)
    if [len(number) for number in digits] == [8]:
        return date(int(digits[0][:4]), int(digits[0][4:6]), int(digits[0][6:]))
    month = next((month_of(word) for word in words if month_of(word)), None)
    if month is None:
        month = next((ROMANS[word] for word in words if word in ROMANS), None)
    numbers = [int(number) for number in digits]
    whole = next((place for place, number in enumerate(digits) if len(number) == 4), None)
    if whole is not None:
        year = numbers.pop(whole)
    elif "thousand" in words or "nineteen" in words:
        year, words = years_in_words(words)
    else:
        year = numbers.pop()
        year += 2000 if year < 50 else 1900
    if month is None:
        first, second = numbers
        day, month = (second, first) if whole == 0 else (first, second)
    elif numbers:
        (day,) = numbers
    else:
        day = sum(NUMBERS.get(word, 0) for word in words)
    return date(year, month, day)


def some_days(template: str, number: int) -> list[date]:
    """Every day of a leap year, every year once, and some more."""
    chosen = [date(2000, 1, 1) + timedelta(day) for day in range(366)]
    chosen += [date(year, 1 + year % 12, 1 + (7 * year + number) % 28) for year in range(1900, 2100)]
    chosen += [FIRST + timedelta(day) for day in range(number, TOTAL, 397)]
    return chosen if template in WHOLE_YEARS else [day for day in chosen if 1950 <= day.year <= 2049]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_can_be_read_back_by_a_reader_that_knows_none_of_them(template):
    for day in some_days(template, TEMPLATES.index(template)):
        text, _ = write(day, template)
        assert read(text) == day, text


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_sampled_can_be_read_back_whatever_surrounds_it(seed):
    for example in sample(3, seeded(seed), held_out=bool(seed % 2)):
        assert read(example.text).isoformat() == example.iso, example


def test_no_text_of_one_template_is_another_date_in_another():
    seen: dict[str, date] = {}
    step = 29  # every 29th day: with all months and days of the month against one another
    for day in (FIRST + timedelta(number) for number in range(0, TOTAL, step)):
        for template in templates_for(day.year):
            text = write(day, template, str.lower)[0]
            assert seen.setdefault(text, day) == day, text
    assert len(seen) > 0.9 * TOTAL / step * len(WHOLE_YEARS), "templates write the same date in different ways"


ENGLISH = [
    template
    for template in TEMPLATES
    if not re.search(r"yy}|roman|words|-de|-fr|-es|-it|{mm}{dd}", template.replace("{yyyy}", "year"))
]


@pytest.mark.parametrize("template", ENGLISH)
def test_dateutil_reads_the_same_date(template):
    assert len(ENGLISH) >= 20
    for day in some_days(template, 3)[::7]:
        text = re.sub(r"\bthe\b|\bof\b|[()]", "", write(day, template)[0])
        assert dateutil.parse(text, dayfirst=not text.startswith(str(day.year))).date() == day, text


def test_the_conventions_that_the_module_states():
    day = date(2017, 4, 3)
    assert write(day, "{dd}/{mm}/{yyyy}")[0] == "03/04/2017"
    assert not [t for t in TEMPLATES if re.search(r"{mm?}.{d", t) and not t.startswith("{yyyy}")], "month first"
    assert write(date(2049, 1, 1), "{d}.{m}.{yy}")[0] == "1.1.49"
    assert write(date(1950, 1, 1), "{d}.{m}.{yy}")[0] == "1.1.50"
    two_digits = [e for e in sample(4000, seeded()) if "{yy}" in e.template]
    assert len(two_digits) > 100
    assert all(1950 <= int(e.iso[:4]) <= 2049 for e in two_digits)


def test_there_are_templates_enough_and_each_is_drawn():
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 25
    examples = sample(4000, seeded())
    assert {example.template for example in examples} == set(TEMPLATES)
    texts = [example.text for example in examples]
    for words in SURROUNDINGS:
        first, last = words.split("{}")
        assert any(text.lower().startswith(first) and text.lower().endswith(last) for text in texts), words
    assert 0.08 < sum(text.upper() == text != text.lower() for text in texts) / 4000 < 0.13
    assert any("  " in text for text in texts)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{week-en}, {d} {month-en} {yyyy}", "Monday, 12 June 2017"),
        ("{d}.{month-roman}.{yyyy}", "12.VI.2017"),
        ("the {d-words} of {month-en}, {y-words}", "the twelfth of June, two thousand and seventeen"),
        ("{week-de}, den {d}. {month-de} {yyyy}", "Montag, den 12. Juni 2017"),
        ("{week-fr} {d-er} {month-fr} {yyyy}", "lundi 12 juin 2017"),
        ("{week-es}, {d} de {month-es} de {yyyy}", "lunes, 12 de junio de 2017"),
        ("{week-it} {d} {month-it} {yyyy}", "lunedì 12 giugno 2017"),
        ("{month-en} {dth}, {yyyy} ({week-en})", "June 12th, 2017 (Monday)"),
        ("{yyyy}{mm}{dd}", "20170612"),
    ],
)
def test_a_known_day_in_templates_written_by_hand(template, expected):
    assert template in TEMPLATES
    assert write(date(2017, 6, 12), template)[0] == expected


def test_ordinals_years_and_the_french_first():
    written = [write(date(2000, 1, day), "{dth}")[0] for day in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31)]
    assert " ".join(written) == "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 30th 31st"
    assert [write(date(2017, 6, day), "le {d-er} {month-fr}")[0] for day in (1, 2)] == ["le 1er juin", "le 2 juin"]
    assert len({spoken_year(year) for year in range(1900, 2100)}) == 200


def test_every_language_names_the_weekday_that_it_is():
    starts = {"en": "MTWTFSS", "de": "MDMDFSS", "fr": "lmmjvsd", "es": "lmmjvsd", "it": "lmmgvsd"}
    for language, letters in starts.items():
        monday = date(2017, 6, 12)
        week = [write(monday + timedelta(day), f"{{week-{language}}}")[0] for day in range(7)]
        assert "".join(name[0] for name in week) == letters
        assert len(set(week)) == 7
        assert write(date(1969, 7, 20), f"{{week-{language}}}")[0] == week[6], "the Moon landing was on a Sunday"


# ------------------------------------------------------------------ spans, splits, characters


def test_spans_cut_out_what_each_field_writes():
    case = {True: str.upper, False: str.lower}
    for example in sample(3000, seeded()):
        day = date.fromisoformat(example.iso)
        assert {"day", "month", "year"} <= set(example.spans)
        for code in re.findall(r"{(.*?)}", example.template):
            field, render = FIELDS[code]
            start, stop = example.spans[field]
            piece, expected = example.text[start:stop], render(day)
            assert " ".join(piece.split()) in (expected, case[True](expected), case[False](expected)), example
    with_space = write(date(2017, 6, 12), "({d}  {mon} '{yy})")
    assert with_space == ("(12  Jun '17)", {"day": (1, 3), "month": (5, 8), "year": (10, 12)})


def test_a_tenth_of_the_dates_is_held_out_and_never_met_in_training():
    held_out, rest = set(days(True)), set(days(False))
    assert len(held_out) == TOTAL // 10
    assert len(held_out) + len(rest) == TOTAL == (LAST - FIRST).days + 1
    assert not held_out & rest
    assert {e.iso for e in sample(3000, seeded(), held_out=True)} <= {day.isoformat() for day in held_out}
    assert not {e.iso for e in sample(3000, seeded())} & {day.isoformat() for day in held_out}
    assert {day.year for day in held_out} == set(range(1900, 2100))
    assert len({(day.month, day.day) for day in held_out}) >= 365


def test_sampling_repeats_itself_with_the_same_seed_only():
    assert sample(50, seeded(1)) == sample(50, seeded(1)) != sample(50, seeded(2))
    first, second = next(batches(4, seeded(3), pool=2)), next(batches(4, seeded(3), pool=2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_alphabet_is_exactly_what_the_texts_are_made_of():
    assert len(set(CHARACTERS)) == len(CHARACTERS) == dates.V - 3
    pieces = set("".join(SURROUNDINGS) + "0123456789") - set("{}")
    for day in days(False)[::50]:
        for template in TEMPLATES:
            pieces |= set(write(day, template)[0])
    pieces |= {case(letter) for letter in pieces for case in (str.upper, str.lower)}
    assert set(CHARACTERS) == pieces


@settings(deadline=None)
@given(st.text(CHARACTERS, min_size=1))
def test_decode_undoes_encode(text):
    ids = encode(text)
    assert min(ids) > END
    assert max(ids) < dates.V
    assert decode([START, *ids, END, PAD, 5]) == text
    assert decode(torch.tensor(ids)) == text


def test_batches_are_padded_behind_and_aligned():
    source, target = sources(["1 May 2001", "2 May"]), targets(["2001-05-01", "2002-05-02"])
    assert source.shape == (2, 10)
    assert (source[1, 5:] == PAD).all()
    assert decode(source[1, :5]) == "2 May"
    assert target.shape == (2, dates.ISO_LENGTH + 1)
    assert (target[:, 0] == START).all()
    assert (target[:, -1] == END).all()
    assert [decode(row[1:]) for row in target] == ["2001-05-01", "2002-05-02"]


def test_a_batch_holds_texts_of_like_length_and_right_answers():
    flow, padding, size = batches(32, seeded(), pool=16), 0, 0
    for _ in range(16):
        source, target = next(flow)
        assert source.shape[0] == 32
        for text, iso in zip(source, target, strict=True):
            assert read(decode(text)).isoformat() == decode(iso)
        padding, size = padding + int((source == PAD).sum()), size + source.numel()
    unsorted = sources([example.text for example in sample(512, seeded())])
    assert padding / size < 0.3 * (unsorted == PAD).float().mean()


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: encode("12 June ‘17"), ["text[8] = '‘'", "12 June ‘17", "expected those of", "plain form"]),
        (lambda: encode(""), ["text is empty", "12 June 2017"]),
        (lambda: sources([]), ["texts is empty", "sources([text])"]),
        (lambda: targets([]), ["isos is empty", "targets([iso])"]),
        (lambda: sample(0, seeded()), ["n = 0", "at least 1"]),
        (lambda: sources("12 June 2017"), ["texts = '12 June 2017' is one text", "sources([text])"]),
        (lambda: targets("2017-06-12"), ["isos = '2017-06-12' is one text", "targets([iso])"]),
    ],
)
def test_errors_name_the_value_and_the_fix(call, words):
    with pytest.raises(ValueError, match=r"expected") as error:
        call()
    for word in words:
        assert word in str(error.value)
