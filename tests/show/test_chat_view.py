"""The chat's callbacks without a browser: what is asked, what is shown, and that nothing a model wrote can act on the page."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from lablib.show.chat_view import ChatView, columns_of


@dataclass(frozen=True)
class Said:
    name: str
    text: str
    finished: bool = True
    scores: dict | None = None
    reasons: tuple = ()


@dataclass(frozen=True)
class Talk:
    prompt: str
    answers: tuple
    note: str = "no gold scores"


@dataclass
class Models:
    """Two models that repeat what they hear, and remember how they were asked."""

    asked: list = field(default_factory=list)
    said: str = "{prompt} at {temperature}"

    def __call__(self, prompt, temperature, seed, most):
        self.asked.append((prompt, temperature, seed, most))
        if not prompt.strip():
            raise ValueError("prompt = '': expected a <text>")
        text = self.said.format(prompt=prompt, temperature=temperature)
        gold = {"helpful": 1.0, "honest": 0.5, "harmless": 0.0}
        return Talk(prompt, (Said("base", text, False), Said("sft", text.upper(), True, gold, ("false: home",))))


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def elements(page):
    reader = Elements()
    reader.feed(page)
    return reader.found


def test_the_first_prompt_is_asked_at_once():
    models = Models()
    view = ChatView(models, "Hello?", temperature=0.5, seed=3, most=20)
    assert models.asked == [("Hello?", 0.5, 3, 20)]
    assert view.exchange.prompt == "Hello?"
    assert "Hello? at 0.5 …(cut off)" in view._screen.value
    assert "HELLO? AT 0.5" in view._screen.value
    assert "no gold scores" in view._screen.value


def test_enter_and_the_button_ask_what_is_in_the_box():
    models = Models()
    view = ChatView(models, "one")
    view.box.value = "two"
    assert len(models.asked) == 1, "typing alone asks nothing"
    view.box._handle_custom_msg({"event": "submit"}, [])  # what the page sends when Enter is pressed
    view.box.value = "three"
    view.button.click()
    view.box._handle_custom_msg({"event": "another"}, [])
    assert [prompt for prompt, *_ in models.asked] == ["one", "two", "three"]
    assert not view.button.disabled


def test_a_setting_that_moves_asks_anew():
    models = Models()
    view = ChatView(models, "one")
    view.controls["temperature"].value = 0.0
    view.controls["seed"].value = 5
    view.controls["most"].value = 7
    assert models.asked[1:] == [("one", 0.0, 0, 110), ("one", 0.0, 5, 110), ("one", 0.0, 5, 7)]


def test_an_example_is_put_into_the_box_and_asked():
    models = Models()
    view = ChatView(models, "one", examples=["two", "three"])
    view.examples.value = "three"
    assert view.box.value == "three"
    assert models.asked[-1][0] == "three"
    view.examples.value = ""
    assert len(models.asked) == 2
    assert view.examples in view.children
    assert ChatView(models, "one").examples not in ChatView(models, "one").children


def test_gold_scores_stand_below_the_answer_that_has_them():
    view = ChatView(Models(), "one")
    bars = [attrs["aria-label"] for tag, attrs in elements(view._screen.value) if "aria-label" in attrs]
    assert bars == ["helpful 1.00", "honest 0.50", "harmless 0.00"]
    assert "· false: home" in view._screen.value
    base, sft = columns_of(view.exchange)
    assert base.scores == {}
    assert sft.scores["honest"] == 0.5


EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</div></div><iframe src='//x'>",
    '" onmouseover="alert(1)',
    "<!-- ",
    "&lt;b&gt;",
    "\x1b[31m\x00\u202e",
]


@pytest.mark.parametrize("text", EVIL)
def test_what_a_model_wrote_is_text_and_nothing_else(text):
    """Names, prompts, notes and reasons, too: the page has the same elements as with a harmless text."""

    def page(said):
        answers = (Said(said, said, True, {"helpful": 0.5}, (said,)),)
        return ChatView(lambda *given: Talk(said, answers, said), "one")._screen.value

    def skeleton(said):
        return [(tag, sorted(attrs)) for tag, attrs in elements(page(said))]

    assert skeleton(text) == skeleton("harmless")
    assert not any(letter in page(text) for letter in "\x1b\x00\u202e")


@pytest.mark.parametrize("text", [" ".join(EVIL) + r" $\frac{1}{0}$ costs $5 {0}", "word" * 100, "line\n" * 80, ""])
def test_every_text_can_be_drawn(text):
    answers = tuple(Said(f"m{i} {text}", text, i > 0, {"helpful": 1.0}, (text,)) for i in range(2))
    view = ChatView(lambda *given: Talk(text, answers, text), "one")
    assert view.picture.png.startswith(b"\x89PNG")
    assert view.picture.size[1] < 1500


def test_a_prompt_that_cannot_be_asked_is_one_line_and_the_talk_goes_on():
    view = ChatView(Models(), "one")
    view.submit(" ")
    assert view.exchange is None
    assert view.picture is None
    assert 'role="alert"' in view._screen.value
    assert "ValueError: prompt = &#x27;&#x27;: expected a &lt;text&gt;" in view._screen.value
    data, metadata = view._repr_mimebundle_()
    assert data["text/plain"] == "ValueError: prompt = '': expected a <text>"
    assert "image/png" not in data
    assert metadata == {}
    assert not view.button.disabled
    view.submit("two")
    assert view.problem == ""
    assert view.exchange.prompt == "two"


def test_the_last_answers_stand_beside_the_widget_as_a_picture():
    view = ChatView(Models(), "one")
    data, metadata = view._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == metadata["image/png"]["alt"]
    assert "side by side, from base, sft" in data["text/plain"]
    view.submit("another prompt")
    after, _ = view._repr_mimebundle_()
    assert after["image/png"] != data["image/png"]
    assert after["text/plain"] == data["text/plain"], "the sentence is the same at every run"


def test_the_same_settings_draw_the_same_picture():
    first, second = (ChatView(Models(), "one") for _ in range(2))
    assert first.picture.png == second.picture.png
    assert first._screen.value == second._screen.value
