"""Private details: authored tricky cases, Luhn by its published numbers and by brute force, properties of redaction."""

import random
import re
import tomllib
from itertools import pairwise

import pytest
from datatrove.pipeline.formatters import PIIFormatter
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.corpus.planted import names, texts
from lablib.corpus.planted_details import DETAILS, luhn_check_digit
from lablib.corpus.privacy import PLACEHOLDERS, find_names, find_private, luhn_valid, redact, replaced
from lablib.corpus.spans import Span, without_overlaps
from lablib.paths import data_path

CASES = tomllib.loads(data_path("planted/privacy_cases.toml").read_text(encoding="utf-8"))
FOUND = [(kind, text) for kind, rows in CASES["found"].items() for text in rows]
LEFT = [(kind, text) for kind, rows in CASES["left"].items() for text in rows]


def unmarked(marked: str) -> tuple[str, list[Span]]:
    text, spans = "", []
    for number, part in enumerate(re.split(r"(⟦\w+\|.*?⟧)", marked)):
        if number % 2:
            kind, detail = part[1:-1].split("|", 1)
            spans.append(Span(len(text), len(text) + len(detail), kind))
            text += detail
        else:
            text += part
    return text, spans


def test_there_are_enough_cases():
    assert sum(len(unmarked(text)[1]) for _, text in FOUND) >= 100
    assert len(LEFT) >= 100
    assert {kind for _, text in FOUND for *_, kind in unmarked(text)[1]} == set(PLACEHOLDERS)


@pytest.mark.parametrize(("kind", "marked"), FOUND)
def test_private_details_are_found_where_they_stand(kind, marked):
    text, spans = unmarked(marked)
    assert spans
    assert [(text[s.start : s.stop], s.kind) for s in find_private(text, CASES["names"])] == [
        (text[s.start : s.stop], s.kind) for s in spans
    ]
    assert find_private(text, CASES["names"]) == spans


@pytest.mark.parametrize(("kind", "text"), LEFT)
def test_what_only_looks_private_is_left(kind, text):
    assert [(text[s.start : s.stop], s.kind) for s in find_private(text, CASES["names"])] == []


# ------------------------------------------------------------------ Luhn

# Test numbers that payment companies publish for their sandboxes, and Luhn's own example.
VALID = [
    "4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "3530111333300000", "30569309025904",
    "79927398713",
]  # fmt: skip


def by_hand(number: str) -> bool:
    """Luhn with a table, left to right: what each digit adds at an even and at an odd place from the right."""
    table = {"0": 0, "1": 2, "2": 4, "3": 6, "4": 8, "5": 1, "6": 3, "7": 5, "8": 7, "9": 9}
    total = 0
    for place, digit in enumerate(number):
        total += table[digit] if (len(number) - place) % 2 == 0 else int(digit)
    return total % 10 == 0


@pytest.mark.parametrize("number", VALID)
def test_luhn_knows_the_published_numbers_and_every_wrong_digit(number):
    assert luhn_valid(number)
    for place, digit in enumerate(number):
        for other in set("0123456789") - {digit}:
            assert not luhn_valid(number[:place] + other + number[place + 1 :])


def test_luhn_agrees_with_a_table_on_every_number_of_up_to_five_digits():
    assert all(
        luhn_valid(f"{n:0{width}}") == by_hand(f"{n:0{width}}") for width in (2, 3, 4, 5) for n in range(10**width)
    )


@given(st.text("0123456789", min_size=1, max_size=18))
def test_exactly_one_check_digit_is_valid(body):
    assert [digit for digit in "0123456789" if luhn_valid(body + digit)] == [luhn_check_digit(body)]


def test_luhn_catches_swaps_but_for_09_and_90():
    missed = [
        (a, b)
        for a in "0123456789"
        for b in "0123456789"
        if a != b and luhn_valid("4" + a + b + luhn_check_digit("4" + b + a))
    ]
    assert missed == [("0", "9"), ("9", "0")]


def test_luhn_refuses_what_is_no_number():
    assert not luhn_valid("")
    assert not luhn_valid("0")
    assert not luhn_valid("no digits")


# ------------------------------------------------------------------ spans and redaction

messy = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "ada@example.org",
                "020 7946 0123",
                "192.0.2.7",
                "4111 1111 1111 1111",
                "12 Mill Lane",
                "Ada",
                "@",
                "+",
                "::",
                "2001:db8::1",
                " at ",
                "[",
                "00",
            ]
        ),
        st.text("0123456789 .-:@/()abcXYZ[]", max_size=6),
    ),
    max_size=12,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(messy)
def test_redaction_is_done_once_and_leaves_the_rest_alone(text):
    clean, spans = redact(text, ["Ada"])
    assert redact(clean, ["Ada"]) == (clean, [])
    assert spans == sorted(spans)
    assert all(a.stop <= b.start for a, b in pairwise(spans))
    assert (clean == text) == (not spans)
    rest = "".join(c if not any(s.start <= i < s.stop for s in spans) else "\0" for i, c in enumerate(text))
    for piece in filter(None, re.split("\0+", rest)):
        if not find_private(
            replaced(text, spans), ["Ada"]
        ):  # one round was enough: the text around the details is as it was
            assert piece in clean


def test_each_kind_gets_its_placeholder_and_no_detail_is_left():
    generator = random.Random(0)
    for kind in DETAILS:
        for _ in range(50):
            value = DETAILS[kind](generator, texts()["slots"])
            clean, spans = redact(f"We wrote down {value}, and then went home.", names())
            assert (clean, [s.kind for s in spans]) == (
                f"We wrote down {PLACEHOLDERS[kind]}, and then went home.",
                [kind],
            )


def test_of_overlapping_finds_the_surer_kind_stays():
    text = "12 Ada Lane"
    assert [s.kind for s in find_private(text, ["Ada"])] == ["address"]
    assert without_overlaps([Span(0, 5, "a"), Span(4, 6, "b"), Span(5, 7, "c")]) == [Span(0, 5, "a"), Span(5, 7, "c")]


def test_the_longer_name_wins_and_marks_in_names_are_no_pattern():
    assert list(find_names("A.B. Ada Byron", ["Ada", "Ada Byron", "A.B."])) == [Span(0, 4, "name"), Span(5, 14, "name")]
    assert list(find_names("AxBx", ["A.B."])) == []
    assert list(find_names("Ada", [])) == []


def test_spans_out_of_order_are_refused():
    with pytest.raises(ValueError, match=r"span \(0, 2, 'phone'\) begins before 5"):
        replaced("some text", [Span(3, 5, "name"), Span(0, 2, "phone")])


@pytest.mark.parametrize(
    "piece", ["1", "a", "a.", "@", "a@", "1 ", "1-", ":", "1:", "a:", "(", "+1 ", "12 A ", "a at ", "a-", "9.", "[at]"]
)
def test_long_rows_of_anything_do_not_hang(piece):
    text = piece * (50_000 // len(piece))
    clean, spans = redact(text)
    assert (clean == text) == (not spans)


# ------------------------------------------------------------------ oracle: datatrove, which masks e-mail and IPv4

trove_emails = PIIFormatter(remove_ips=False, email_replacement=PLACEHOLDERS["email"])
trove_ips = PIIFormatter(remove_emails=False, only_remove_public_ips=False, ip_replacement=PLACEHOLDERS["ip"])
local_part = st.from_regex(r"[a-z][a-z0-9]{0,5}([._+-][a-z0-9]{1,5}){0,2}", fullmatch=True)
host = st.from_regex(r"([a-z][a-z0-9]{0,5}(-[a-z0-9]{1,4})?\.){1,3}(org|com|co|museum)", fullmatch=True)
around = st.sampled_from(
    [("Write to ", "."), ("<", ">"), ("", ""), ("(see ", ")"), ('"', '", he said'), ("To: ", "\nCc: none"), ("[", "]")]
)


def only(kind: str, text: str) -> str:
    return replaced(text, [span for span in find_private(text) if span.kind == kind])


@settings(max_examples=300, deadline=None)
@given(local_part, host, around)
def test_ordinary_addresses_are_masked_as_datatrove_masks_them(local, domain, edges):
    text = edges[0] + f"{local}@{domain}" + edges[1]
    assert only("email", text) == trove_emails.format(text) == edges[0] + "[EMAIL]" + edges[1]


@settings(max_examples=200, deadline=None)
@given(st.ip_addresses(v=4), around)
def test_network_addresses_are_masked_as_datatrove_masks_them_but_for_those_of_nobody(address, edges):
    text = edges[0] + str(address) + edges[1]
    assert trove_ips.format(text) == edges[0] + "[IP]" + edges[1]
    nobody = (
        address.is_loopback or address.is_unspecified or address.is_multicast or str(address).startswith(("255.", "0."))
    )
    assert only("ip", text) == (text if nobody else edges[0] + "[IP]" + edges[1])


@settings(max_examples=200, deadline=None)
@given(st.ip_addresses(v=6), st.booleans(), around)
def test_ipv6_addresses_are_found_in_every_spelling_and_nothing_around_them(address, short, edges):
    """Python's ipaddress draws and spells them. What has a first group of two digits or no digit at all reads like code and stays."""
    spelt = address.compressed if short else address.exploded
    text = edges[0] + spelt + edges[1]
    groups = [group for group in spelt.split(":") if group]
    certain = any(map(str.isdigit, spelt)) and len(groups) > 1 and (len(groups[0]) > 2 or len(groups) == 8)
    somebody = not (address.is_loopback or address.is_unspecified or address.is_multicast)
    if certain and somebody and not (address.ipv4_mapped and short):
        assert only("ip", text) == edges[0] + "[IP]" + edges[1]


def test_where_datatrove_differs():
    """Each is deliberate: what is no address of a person stays, and what is spelt out goes."""
    for text in (
        "git clone git@example.org:tools/loom.git",
        "https://user:secret@example.org/private",
        "pip install a@1.2.3",
    ):
        assert trove_emails.format(text) != text
        assert only("email", text) == text
    assert only("email", "ada [at] example [dot] org") == "[EMAIL]"
    assert trove_emails.format("ada [at] example [dot] org") == "ada [at] example [dot] org"
    for text in ("version 1.2.3.4", "1.2.3.4.5", "listen on 127.0.0.1"):
        assert trove_ips.format(text) != text
        assert only("ip", text) == text
    assert trove_ips.format("2001:db8::7") == "2001:db8::7", "datatrove knows no IPv6"
