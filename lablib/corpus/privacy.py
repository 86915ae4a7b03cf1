"""Private details in text: found, told apart from what only looks like them, and replaced by a placeholder.

Six kinds: e-mail address, telephone number, network address (IPv4 and IPv6), payment card, street address, and names from a list. Each
finder is a pattern that casts a wide net and a judgement that throws back what is something else: a version number, an ISBN, a
date, a git hash, code. What was decided where both readings are possible:

- `user@host:` and `git@host:path` (a shell prompt, a place to copy from) are logins, not e-mail addresses; so is `user@host` in a URL.
- 127.0.0.1, 0.0.0.0, ::1, multicast addresses and network masks say nothing about anybody and stay; all other addresses go.
- Four numbers with points behind "version", "v" or "==" are a version; without such a word they are an address if each is at most 255.
- What counts as a telephone number says `lablib.corpus.telephones`.
- A street address needs a number, a name with a capital letter and a word such as "Lane": "12 Mill Lane". Post codes and towns stay.

Names are found from a list, since telling an unknown name from another word takes a model (named-entity recognition, left out here, as
are passports, bank accounts and free descriptions such as "the baker's eldest daughter").
Sources: the card check digit is Luhn's (ISO/IEC 7812-1, annex B); the same kinds of detail are masked in FineWeb (e-mail and IP:
Penedo et al. 2024) and, with names and passwords, in the code that StarCoder learned from (Li et al. 2023, "StarCoder").
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from lablib.corpus.spans import Span, without_overlaps
from lablib.corpus.telephones import find_phones as find_phones

PLACEHOLDERS = {
    "email": "[EMAIL]",
    "phone": "[PHONE]",
    "ip": "[IP]",
    "card": "[CARD]",
    "address": "[ADDRESS]",
    "name": "[NAME]",
}


def luhn_valid(number: str) -> bool:
    """Whether the digits of a card number pass Luhn's check: it catches each wrong digit and most swaps of neighbours.

    From the right: every second digit is doubled (and 9 taken off if that has two digits); the sum must end in 0.

    Args:
        number: digits, which blanks and hyphens may group.

    In 18: 8 stays, 1 is doubled to 2, and 8 + 2 = 10. In 19: 9 + 2 = 11.

    >>> luhn_valid("18"), luhn_valid("19"), luhn_valid("4111 1111 1111 1111")
    (True, False, True)
    """
    digits = [int(letter) for letter in reversed(number) if letter.isdecimal()]
    doubled = [digit if place % 2 == 0 else 2 * digit - 9 * (digit > 4) for place, digit in enumerate(digits)]
    return len(digits) > 1 and sum(doubled) % 10 == 0


# ------------------------------------------------------------------ e-mail

_LOCAL = r"[A-Za-z0-9](?:[\w.%+'-]{0,62}[\w+-])?"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}"
_EMAIL = re.compile(rf"(?<![\w.%+@'/-]){_LOCAL}@{_HOST}(?![\w@-])", re.ASCII)
_SPELT = re.compile(
    r"(?<![\w.%+@-])[A-Za-z0-9][\w.%+-]{0,62} ?[\[({<] ?(?:at|@|AT) ?[\])}>] ?"
    r"[A-Za-z0-9-]{1,63}(?:(?: ?[\[({<] ?(?:dot|DOT) ?[\])}>] ?| dot |\.)[A-Za-z0-9-]{2,63}){1,5}"
    r"|(?<![\w.%+@-])[A-Za-z0-9][\w.%+-]{0,62} at [A-Za-z0-9-]{1,63}(?: dot [A-Za-z0-9-]{2,63}){0,3} dot "
    r"(?:com|org|net|edu|gov|info|io|eu|uk|de|fr|it|es|nl|ch|se|ca|au|in|jp|cn|br|us)\b"
)  # "ada [at] example [dot] org", "ada at example dot org"
_FILES = {
    "py",
    "js",
    "json",
    "md",
    "txt",
    "html",
    "png",
    "jpg",
    "svg",
    "service",
    "dylib",
    "so",
    "local",
}  # endings that are no domain


def find_emails(text: str) -> Iterator[Span]:
    """E-mail addresses, also spelt out as "ada [at] example [dot] org".

    >>> [text[s.start:s.stop] for text in ["Write to ada@example.org."] for s in find_emails(text)]
    ['ada@example.org']
    >>> list(find_emails("git@example.org:tools/loom.git and ada@laptop:~$"))
    []
    """
    for found in _EMAIL.finditer(text):
        before = text[max(0, found.start() - 80) : found.start()].rpartition(" ")[2]
        login = re.match(r":[^\s:]", text[found.end() : found.end() + 2]) or (
            "://" in before and "mailto:" not in before
        )
        if not login and found[0].rpartition(".")[2].lower() not in _FILES and ".." not in found[0]:
            yield Span(*found.span(), "email")
    for found in _SPELT.finditer(text):
        yield Span(*found.span(), "email")


# ------------------------------------------------------------------ network address

_IPV4 = re.compile(r"(?<![\w.@-])(?:\d{1,3}\.){3}\d{1,3}(?![\w@-]|\.\d)", re.ASCII)
_IPV6 = re.compile(
    r"(?<![\w.:])(?:[0-9A-Fa-f]{1,4}|:)(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?<=:)(?:\d{1,3}\.){3}\d{1,3})?(?![\w:]|\.\d)",
    re.ASCII,
)
_VERSION = re.compile(
    r"(?:\bv|\bver\.?|\bversions?|\brelease|\brev(?:ision)?|[=<>~!]=|[<>~^]|\bsection|\bchapter|§|\boid)[\s:=]*\Z",
    re.IGNORECASE,
)


def find_ips(text: str) -> Iterator[Span]:
    """IPv4 and IPv6 addresses that can belong to somebody.

    >>> [text[s.start:s.stop] for text in ["192.0.2.7 and 2001:db8::7, not 127.0.0.1, a[1::2] or 12:30:45"] for s in find_ips(text)]
    ['192.0.2.7', '2001:db8::7']
    """
    spans = []
    for found in _IPV6.finditer(text):  # first, since the last part of an IPv6 address can be an IPv4 one
        groups = [group for group in found[0].split(":") if group]
        plausible = (
            len(groups) > 1
            and (len(groups[0]) > 2 or len(groups) == 8)
            and any(letter.isdigit() for letter in found[0])
        )
        if plausible and _somebody(found[0]):
            spans.append(Span(*found.span(), "ip"))
    for found in _IPV4.finditer(text):
        before, enclosed = text[max(0, found.start() - 12) : found.start()], text[found.start() - 1 : found.end() + 1]
        if _somebody(found[0]) and (not _VERSION.search(before) or enclosed == f"<{found[0]}>"):  # <192.0.2.7>
            spans.append(Span(*found.span(), "ip"))
    yield from without_overlaps(spans)


def _somebody(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (ip.is_loopback or ip.is_unspecified or ip.is_multicast or address.startswith(("255.", "0.")))


# ------------------------------------------------------------------ payment card

_CARD = re.compile(
    r"(?<![\w.+-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5}|\d{13,19})(?![\w]|[-.]\d)",
    re.ASCII,
)
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"  # Visa, Mastercard
    r"|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}"  # American Express, Discover, JCB
    r"|3(?:0[0-5]|[68]\d)\d{11}|62\d{14}"  # Diners Club, UnionPay
)


def find_cards(text: str) -> Iterator[Span]:
    """Payment card numbers: 13 to 19 digits as an issuer gives them, with a valid check digit.

    >>> [text[s.start:s.stop] for text in ["4111 1111 1111 1111, not 4111 1111 1111 1112"] for s in find_cards(text)]
    ['4111 1111 1111 1111']
    """
    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        if _ISSUERS.fullmatch(digits) and luhn_valid(digits):
            yield Span(*found.span(), "card")


# ------------------------------------------------------------------ street address

_WAYS = (
    "Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Close|Crescent|Terrace|Row|Way|Place|Boulevard|Blvd|Quay|"
    "Parade|Alley|Gardens|Grove|Mews|Walk|Hill|Embankment|Highway|Hwy"
)
_YEARS = re.compile(r"(?:19|20)\d\d-(?:19|20)?\d\d\b")
_PROPER = r"[A-Z](?:[\w’'-]*|[A-Za-z]{0,2}\.)"  # "Old", "King's", "St."; no full stop behind a longer word
_ADDRESS = re.compile(
    rf"(?<![\w.,:/#$€£-])(?:(?:Flat|Apt\.?|Apartment|Unit|Suite) ?\w{{1,4}},? )?\d{{1,5}}(?:[a-zA-Z]|[/-]\d{{1,4}})?,? "
    rf"{_PROPER} (?:(?:{_PROPER}|of|the|de|la) ){{0,3}}(?:{_WAYS})\b(?! (?:Of|To|And)\b)"
    r"|\b[A-ZÄÖÜ][a-zäöüß-]{2,20}(?:straße|strasse|weg|gasse|platz|allee) \d{1,4}[a-z]?\b"  # Mühlenweg 12
    r"|(?<![\w.,:/-])\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|place|chemin|quai|impasse) "  # 12 rue de la Paix
    r"(?:(?:de|du|des|la|le|les) |d[’'e]|l[’']){0,3}[A-ZÀ-Ý][\w’'-]+(?: [A-ZÀ-Ý][\w’'-]+){0,2}"
)


def find_addresses(text: str) -> Iterator[Span]:
    """Street addresses: a number, a name with capital letters, and a word for a way ("12 Mill Lane"); German and French forms too.

    >>> [text[s.start:s.stop] for text in ["She lives at 12 Old Mill Lane, two Streets on."] for s in find_addresses(text)]
    ['12 Old Mill Lane']
    """
    for found in _ADDRESS.finditer(text):
        if _YEARS.match(found[0]):  # "(C) 1991-2013, Thomas Lane"
            continue
        yield Span(*found.span(), "address")


# ------------------------------------------------------------------ names, and all together


def find_names(text: str, names: Sequence[str]) -> Iterator[Span]:
    """The names of a list as whole words, with capitals as given; of "Ada" and "Ada Byron" the longer one.

    >>> list(find_names("Ada Byron met Adam.", ["Ada", "Ada Byron"]))
    [Span(start=0, stop=9, kind='name')]
    """
    if names:
        longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        for found in re.finditer(rf"(?<!\w)(?:{longest_first})(?!\w)", text):
            yield Span(*found.span(), "name")


FINDERS: dict[str, Callable[[str], Iterator[Span]]] = {
    "email": find_emails, "card": find_cards, "ip": find_ips, "phone": find_phones, "address": find_addresses,
}  # fmt: skip


def find_private(text: str, names: Sequence[str] = ()) -> list[Span]:
    """Every private detail in a text, in order and without overlaps; where two kinds overlap, the one named first in `FINDERS` stays.

    Args:
        names: people's names; none are looked for without it.

    >>> find_private("Ada: ada@example.org or 020 7946 0123", names=["Ada"])
    [Span(start=0, stop=3, kind='name'), Span(start=5, stop=20, kind='email'), Span(start=24, stop=37, kind='phone')]
    """
    found = [span for finder in FINDERS.values() for span in finder(text)]
    return without_overlaps([*found, *find_names(text, names)])


def replaced(text: str, spans: Iterable[Span]) -> str:
    """The text with a placeholder for each span: [EMAIL], [PHONE], [IP], [CARD], [ADDRESS] or [NAME].

    Args:
        spans: sorted, without overlaps.
    Raises:
        ValueError: two spans overlap, or are not in order.

    >>> replaced("Ring 020 7946 0123 now.", [Span(5, 18, "phone")])
    'Ring [PHONE] now.'
    """
    pieces, end = [], 0
    for start, stop, kind in spans:
        if start < end:
            raise ValueError(
                f"the span ({start}, {stop}, {kind!r}) begins before {end}, where the last ended: sort, drop overlaps"
            )
        pieces += [text[end:start], PLACEHOLDERS[kind]]
        end = stop
    return "".join(pieces) + text[end:]


def redact(text: str, names: Sequence[str] = ()) -> tuple[str, list[Span]]:
    """The text with every private detail replaced, and where they stood in the text as given; doing it again changes nothing.

    >>> redact("Tell ada@example.org")
    ('Tell [EMAIL]', [Span(start=5, stop=20, kind='email')])
    """
    spans = find_private(text, names)
    clean = replaced(text, spans)
    return (redact(clean, names)[0] if spans else clean), spans
