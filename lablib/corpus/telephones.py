"""Telephone numbers in text, told apart from dates, book numbers, decimals and plain rows of digits.

A row of digits alone is a telephone number only with a + or 00 in front, or behind a word such as "phone"; grouped digits also if they
begin with 0 or have the North American 3-3-4 form. An international number has at most 15 digits (ITU-T E.164);
fewer than 7 are not looked at.
"""

import re
from collections.abc import Iterator

from lablib.corpus.spans import Span, without_overlaps

_PHONE = re.compile(
    r"(?<![\w.+@#$€£/:=\\-])(?:"
    r"(?:\+|00)[1-9](?:[ .()/-]{0,2}\d){6,14}"  # international: + or 00, the country, 7 to 15 digits in all (ITU-T E.164)
    r"|\(0?\d{2,5}\) ?\d(?:[ .-]?\d){4,8}"  # an area code in brackets
    r"|0\d{1,4}(?:[ /-]\d{2,8}){1,5}"  # national, with the trunk digit 0
    r"|(?:1[-. ])?[2-9]\d{2}([-. ])[2-9]\d{2}\1\d{4}"  # North America: 3-3-4
    r")(?: ?(?:ext\.?|x) ?\d{1,5})?(?![\w@]|[-/.:]\d|,\d{3})",
)
_CALLED = re.compile(
    r"\b(?:tel(?:ephone)?|phone|call|ring|text|mobile|cell|fax|whatsapp|dial)\b[^\n\d+=]{0,25}$", re.IGNORECASE
)
_BARE = re.compile(r"(?<![\w.+@#/-])\d{3,4}(?:[ -]?\d{2,5}){1,4}(?![\w@]|[-/.:]\d)")
_BOOK = re.compile(r"\b(?:ISBN|ISSN|DOI|EAN|ORCID)(?:-1[03])?[ :]*\Z", re.IGNORECASE)
_DATE = re.compile(r"(?:\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ](?:\d{4}|\d{2}))\Z")


_DECIMAL = re.compile(r"\+?\d+\.\d+\Z")
_MONTH = re.compile(r"\b(?:Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)[a-z]*\.? \Z")


def find_phones(text: str) -> Iterator[Span]:
    """Telephone numbers, international ("+44 7700 900123") and national ("(020) 7946 0123", "212-555-0123").

    >>> [text[s.start:s.stop] for text in ["Ring 020 7946 0123, not on 2017-06-12."] for s in find_phones(text)]
    ['020 7946 0123']
    """
    spans = []
    for pattern in (_PHONE, _BARE):
        for found in pattern.finditer(text):
            digits = re.sub(r"\D", "", found[0])
            before = text[max(0, found.start() - 40) : found.start()]
            called = pattern is _PHONE or _CALLED.search(before)
            other = _DATE.match(found[0]) or _DECIMAL.match(found[0]) or _BOOK.search(before) or _MONTH.search(before)
            if called and not other and 6 <= len(digits) <= 17 and len(set(digits)) > 2:
                spans.append(Span(*found.span(), "phone"))
    yield from without_overlaps(spans)
