"""How people write a date: the fields, and the templates that put them together, in five languages.

A template is text with fields in braces: "{d} {month-en} {yyyy}" writes 12 June 2017. `lablib.architecture.dates` makes a task of it.

No text can be read as two dates (the tests read all of them back with a parser that knows no template):

- Of two numbers in front of a year, the first is the day: 03/04/2017 is 3 April 2017. Behind a year comes the month.
- A year of two digits lies between 1950 and 2049: '49 is 2049, '50 is 1950.
"""

from collections.abc import Callable
from datetime import date
from string import Formatter

FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)
PIVOT = 1950  # a year of two digits is the one from 1950 to 2049

MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "roman": "I II III IV V VI VII VIII IX X XI XII",
}
WEEKDAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "es": "lunes martes miércoles jueves viernes sábado domingo",
    "it": "lunedì martedì mercoledì giovedì venerdì sabato domenica",
}
UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)


def cardinal(number: int) -> str:
    """A number from 1 to 99 in English words.

    >>> cardinal(7), cardinal(40), cardinal(84)
    ('seven', 'forty', 'eighty-four')
    """
    if number < 20:
        return UNITS.split()[number]
    tens, units = divmod(number, 10)
    return TENS.split()[tens - 2] + (f"-{UNITS.split()[units]}" if units else "")


def ordinal(number: int) -> str:
    """A day of the month in English words.

    >>> ordinal(12), ordinal(21), ordinal(30)
    ('twelfth', 'twenty-first', 'thirtieth')
    """
    if number <= 20:
        return ORDINALS.split()[number]
    return "thirtieth" if number == 30 else f"{cardinal(number // 10 * 10)}-{ORDINALS.split()[number % 10]}"


def spoken_year(year: int) -> str:
    """A year from 1900 to 2099 in English words.

    >>> spoken_year(1900), spoken_year(1905), spoken_year(1984), spoken_year(2017)
    ('nineteen hundred', 'nineteen oh five', 'nineteen eighty-four', 'two thousand and seventeen')
    """
    century, rest = divmod(year, 100)
    if century == 20:
        return "two thousand" + (f" and {cardinal(rest)}" if rest else "")
    if rest == 0:
        return "nineteen hundred"
    return f"nineteen {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def suffix(day: int) -> str:
    """The two letters after a day: 1st, 2nd, 3rd, 4th, 11th, 21st."""
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


Render = Callable[[date], str]


def _names(words: str, number: Callable[[date], int], length: int | None = None) -> Render:
    names = [word[:length] for word in words.split()]
    return lambda day: names[number(day)]


def _month(day: date) -> int:
    return day.month - 1


# What stands in the braces of a template -> which part of the date it is, and how it is written.
FIELDS: dict[str, tuple[str, Render]] = {
    "d": ("day", lambda day: str(day.day)),
    "dd": ("day", lambda day: f"{day.day:02d}"),
    "dth": ("day", lambda day: f"{day.day}{suffix(day.day)}"),
    "d-er": ("day", lambda day: "1er" if day.day == 1 else str(day.day)),  # French: le 1er juin, le 2 juin
    "d-words": ("day", lambda day: ordinal(day.day)),
    "m": ("month", lambda day: str(day.month)),
    "mm": ("month", lambda day: f"{day.month:02d}"),
    "mon": ("month", _names(MONTHS["en"], _month, 3)),
    **{f"month-{language}": ("month", _names(words, _month)) for language, words in MONTHS.items()},
    "yy": ("year", lambda day: f"{day.year % 100:02d}"),
    "yyyy": ("year", lambda day: str(day.year)),
    "y-words": ("year", lambda day: spoken_year(day.year)),
    "wkd": ("weekday", _names(WEEKDAYS["en"], date.weekday, 3)),
    **{f"week-{language}": ("weekday", _names(words, date.weekday)) for language, words in WEEKDAYS.items()},
}

TEMPLATES: tuple[str, ...] = (
    # digits
    "{yyyy}-{mm}-{dd}",
    "{yyyy}/{mm}/{dd}",
    "{yyyy}.{m}.{d}",
    "{yyyy}{mm}{dd}",
    "{dd}/{mm}/{yyyy}",
    "{d}/{m}/{yyyy}",
    "{dd}/{mm}/{yy}",
    "{dd}.{mm}.{yyyy}",
    "{d}.{m}.{yy}",
    "{dd}-{mm}-{yyyy}",
    "{dd} {mm} {yyyy}",
    "{wkd} {d}/{m}/{yyyy}",
    # Roman numerals
    "{d}.{month-roman}.{yyyy}",
    "{d} {month-roman} {yyyy}",
    # the day, then the month's name
    "{d} {month-en} {yyyy}",
    "{dth} {month-en} {yyyy}",
    "the {dth} of {month-en} {yyyy}",
    "{dd}-{mon}-{yyyy}",
    "{dd}{mon}{yyyy}",
    "{d} {mon} '{yy}",
    "{d} {month-en} '{yy}",
    "{wkd} {d} {mon} {yyyy}",
    "{wkd}, {dd} {mon} {yyyy}",
    "{week-en}, {d} {month-en} {yyyy}",
    "{week-en} the {dth} of {month-en}, {yyyy}",
    # the month's name, then the day
    "{month-en} {d}, {yyyy}",
    "{month-en} {dth}, {yyyy}",
    "{mon} {d}, {yyyy}",
    "{mon} {d} '{yy}",
    "{wkd} {mon} {d} {yyyy}",
    "{week-en}, {month-en} {dth}, {yyyy}",
    "{month-en} {dth}, {yyyy} ({week-en})",
    "{yyyy}, {month-en} {d}",
    "{yyyy}-{mon}-{dd}",
    # words
    "the {d-words} of {month-en}, {y-words}",
    "{month-en} the {d-words}, {yyyy}",
    "{d} {month-en}, {y-words}",
    # German, French, Spanish, Italian
    "{d}. {month-de} {yyyy}",
    "{week-de}, den {d}. {month-de} {yyyy}",
    "le {d-er} {month-fr} {yyyy}",
    "{week-fr} {d-er} {month-fr} {yyyy}",
    "{d} de {month-es} de {yyyy}",
    "{week-es}, {d} de {month-es} de {yyyy}",
    "{d} {month-it} {yyyy}",
    "{week-it} {d} {month-it} {yyyy}",
)
WHOLE_YEARS = tuple(template for template in TEMPLATES if "{yy}" not in template)


def templates_for(year: int) -> tuple[str, ...]:
    """The templates that a year can be read back from: those with two digits only from 1950 to 2049."""
    return TEMPLATES if PIVOT <= year < PIVOT + 100 else WHOLE_YEARS


def write(day: date, template: str, case: Callable[[str], str] = str) -> tuple[str, dict[str, tuple[int, int]]]:
    """A date in a template, and where each of its parts stands.

    Args:
        template: text with names from `FIELDS` in braces.
        case: `str`, `str.upper` or `str.lower`, done to the whole text.

    >>> write(date(2017, 6, 12), "{d} {mon} '{yy}")
    ("12 Jun '17", {'day': (0, 2), 'month': (3, 6), 'year': (8, 10)})
    """
    text, spans = "", {}
    for literal, code, _, _ in Formatter().parse(template):
        text += literal
        if code is not None:
            field, render = FIELDS[code]
            start, text = len(text), text + render(day)
            spans[field] = (start, len(text))
    return case(text), spans
