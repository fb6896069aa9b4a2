"""Declared answers: what backends are held to, and what may be read out of a reply."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, computed_field, field_serializer, field_validator

from agentnet.errors import DesignError
from agentnet.prompts import PROBLEMS, answer_choices, parse_reply
from agentnet.prompts.declared import WRONG_VALUE, Declared
from agentnet.prompts.declared import declared as read_declaration

ACTIONS = ("like", "share", "comment", "flag", "do not share")
Action = Literal["like", "share", "comment", "flag", "do not share"]
Stance = Literal[-2, -1, 0, 1, 2]


class Mood(Enum):
    CALM = "calm"
    ANGRY = "angry"


class Source(BaseModel):
    name: str
    trust: Annotated[float, Field(ge=0.0, le=1.0)]


class Retelling(BaseModel):
    share: bool
    text: str = Field(max_length=400, description="the news in your own words")
    mood: Mood = Mood.CALM
    action: Action
    stance: Annotated[int, Field(ge=-2, le=2)]
    sources: list[Source] = Field(max_length=3)
    day: date | None = None
    reason: str = ""


@cache
def declared(form: Any, decides: object = None) -> Declared:
    """Read a declaration once: properties ask hundreds of times."""
    return read_declaration(form, decides=decides)


# What any program can store: no NUL, no half of a pair.
stored = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
retellings = st.builds(
    Retelling,
    share=st.booleans(),
    text=stored,
    mood=st.sampled_from(Mood),
    action=st.sampled_from(ACTIONS),
    stance=st.integers(-2, 2),
    sources=st.lists(st.builds(Source, name=stored, trust=st.floats(0.0, 1.0)), max_size=3),
    day=st.none() | st.dates(),
    reason=stored,
)
WRAPPINGS: list[Callable[[str], str]] = [
    lambda text: text,
    lambda text: f"```json\n{text}\n```",
    lambda text: f"Sure, here it is:\n```\n{text}\n```",
    lambda text: f"<think>Or rather the other one? {{'x': 1}}</think>\n{text}",
    lambda text: f"<answer>{text}</answer>",
    lambda text: f"\\boxed{{{text}}}",
    lambda text: f"<|im_start|>assistant\n{text}<|im_end|>",
]


@given(retelling=retellings, wrap=st.sampled_from(WRAPPINGS))
def test_a_model_in_any_wrapping_reads_back_from_the_json_of_the_log_as_it_was(
    retelling: Retelling, wrap: Callable[[str], str]
) -> None:
    form = declared(Retelling, decides="share")
    verdict = form.judge(wrap(retelling.model_dump_json()))
    assert (verdict.problem, verdict.decision, verdict.rationale) == ("", retelling.share, retelling.reason)
    assert form.read(json.loads(json.dumps(verdict.value))) == retelling
    assert form.schema is not None
    jsonschema.validate(verdict.value, json.loads(form.schema))


@given(retelling=retellings, key=st.sampled_from(["response", "output", "arguments", "answer"]))
def test_objects_that_only_hand_an_answer_over_are_looked_through(retelling: Retelling, key: str) -> None:
    form = declared(Retelling)
    assert form.judge(json.dumps({key: retelling.model_dump(mode="json")})).value is not None
    assert form.judge(json.dumps({key: retelling.model_dump_json()})).value is not None
    assert form.judge(json.dumps({"my rival": retelling.model_dump(mode="json")})).problem == "no_answer"


@given(retelling=retellings, end=st.integers(1, 60))
def test_an_object_that_breaks_off_is_no_answer(retelling: Retelling, end: int) -> None:
    text = retelling.model_dump_json()
    assert declared(Retelling).judge(text[: -min(end, len(text) - 1)]).value is None


@given(one=retellings, other=retellings)
def test_two_objects_count_only_where_they_agree(one: Retelling, other: Retelling) -> None:
    verdict = declared(Retelling).judge(f"{one.model_dump_json()}\n{other.model_dump_json()}")
    assert (verdict.problem == "") is (one == other)
    assert verdict.problem in {"", "ambiguous"}


_SOURCE = {"name": "Ada", "trust": 0.5}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"name": "Ada"}', WRONG_VALUE),
        ('{"name": "Ada", "trust": 1.5}', WRONG_VALUE),
        ('{"name": "Ada", "trust": NaN}', WRONG_VALUE),
        ('{"name": "Ada", "trust": 1e999}', WRONG_VALUE),
        ('{"name": null, "trust": 0.5}', WRONG_VALUE),
        ('{"name": "Ada", "trust": true}', WRONG_VALUE),
        ('{"name": "Ada", "trust": 0.5, "name": "Bob"}', "ambiguous"),
        ('{"name": "Ada", "trust": 0.5} But actually, wait.', "ambiguous"),
        ('Maybe {"name": "Ada", "trust": 0.5}', "ambiguous"),
        ('For example: {"name": "Ada", "trust": 0.5}', "ambiguous"),
        ('{"name": "Ada", "trust": 0.5} or {"name": "Ada", "trust": 2}', "ambiguous"),
        ('{"name": "Ada", "trust": 0.5} {"name": "Ada"', "bad_json"),
        ('{"nombre": "Ada", "confianza": 0.5}', "no_answer"),
        ("{" * 2000, "bad_json"),
        ('{"name":' + '{"name":' * 3000, "bad_json"),
        ('{"name": ' + "[" * 900 + "]" * 900 + ', "trust": 0}', WRONG_VALUE),
        ("I'm sorry, but as an AI language model, I cannot do this.", "refusal"),
        ("<think>" + json.dumps(_SOURCE), "no_answer"),
        ("", "empty"),
        (" \n", "empty"),
    ],
)
def test_an_object_in_doubt_is_unusable(text: str, problem: str) -> None:
    verdict = declared(Source).judge(text)
    assert (verdict.problem, verdict.decision, verdict.value) == (problem, None, None)


def test_a_default_is_no_answer_that_was_given() -> None:
    class Detail(BaseModel):
        certain: bool = False

    class Careful(BaseModel):
        share: bool = False
        nested: list[Source] = []

    class Perhaps(BaseModel):
        detail: Detail | None = None

    form = declared(Careful, decides="share")
    assert form.judge('{"nested": []}').problem == WRONG_VALUE
    assert form.judge('{"share": true, "nested": [{"name": "x"}]}').problem == WRONG_VALUE
    assert form.judge('{"share": true, "nested": []}').decision is True
    assert declared(Perhaps).judge('{"detail": {"sure": 1}}').problem == WRONG_VALUE
    assert declared(Perhaps).judge('{"detail": {"certain": true}}').problem == ""


@given(choice=st.sampled_from(ACTIONS), wrap=st.sampled_from(WRAPPINGS[1:]))
def test_a_choice_is_read_in_any_wrapping(choice: str, wrap: Callable[[str], str]) -> None:
    form = declared(Action, decides="share")
    for said in (choice, choice.upper(), f"**{choice}**", f'"{choice}."', f"Answer: {choice}", f"{choice}!"):
        verdict = form.judge(said)
        assert (verdict.value, verdict.decision) == (choice, choice == "share")
    assert form.judge(wrap(json.dumps({"answer": choice}))).value == choice
    assert form.judge(wrap(choice)).value in {choice, None}
    assert form.read(choice) == choice


@given(
    choices=st.lists(st.sampled_from(ACTIONS), min_size=2, unique=True),
    between=st.sampled_from([", ", " or ", "/", "\n", "; ", " - ", "\n- ", ", or maybe ", " and "]),
    before=st.sampled_from(["", "Answer: ", "Answer with one of these and nothing else: ", "I could "]),
)
def test_a_reply_that_quotes_the_choices_is_ambiguous(choices: list[str], between: str, before: str) -> None:
    said = before + between.join(choices)
    for text in (said, f"{said}.", json.dumps({"answer": choices}), f"<answer>{said}</answer>"):
        verdict = declared(Action).judge(text)
        assert verdict.value is None
        assert verdict.problem in {"ambiguous", "no_answer", WRONG_VALUE}
    assert declared(Action).judge(declared(Action).instruction).problem == "ambiguous"


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("Like, because it is kind.", "like", "because it is kind."),
        ("share — it matters", "share", "it matters"),
        ("Flag\n\nIt is not true.", "flag", "It is not true."),
        ("I read it twice.\nMy final answer is: flag", "flag", ""),
        ("do  not\nshare", "do not share", ""),
        ("\u201cflag\u201d", "flag", ""),
        ("(flag)", "flag", ""),
        ("flag - it is false", "flag", ""),
        ('{"reason": "It is false.", "choice": "flag"}', "flag", "It is false."),
        ("<reasoning>Like or share?</reasoning>like", "like", "Like or share?"),
    ],
)
def test_a_choice_is_read_with_what_follows_it(text: str, value: str, reason: str) -> None:
    verdict = declared(Action).judge(text)
    assert (verdict.value, verdict.problem) == (value, "")
    if "reason" in text or text.startswith(("Like", "share", "Flag")):
        assert verdict.rationale == reason


@pytest.mark.parametrize(
    "text",
    [
        "like, maybe",
        "like, if it is true",
        "like, although I am not sure",
        "Maybe like",
        "like, but actually no",
        "like? No.",
        "Like, not.",
        "like. On second thought, never.",
        "like: no",
        "not like",
        "I like this story.",
        "likely",
        "like it",
        "me gusta",
        "partager, aimer, signaler",
        "我会点赞",
        "Ich würde es teilen.",
        '{"answer": "love"}',
        '{"like": true}',
        '{"answer": "like", "decision": "flag"}',
        '{"answer": "like"} although I would rather flag it',
        '{"answer": "like"',
        '{"answer": ["like"]}',
        "<answer>like</answer><answer>flag</answer>",
        "\\boxed{like} \\boxed{flag}",
        "<think>like</think>",
        "lke",
        "I'm sorry, but I can't help with that.",
        "",
    ],
)
def test_what_is_hedged_garbled_or_foreign_is_never_the_first_choice(text: str) -> None:
    verdict = declared(Action, decides="share").judge(text)
    assert (verdict.value, verdict.decision) == (None, None)
    assert verdict.problem in {*PROBLEMS, WRONG_VALUE}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((str(n), n) for n in range(-2, 3)),
        ("+1", 1),
        ("\u22122", -2),
        ("1.", 1),
        ("1.0", 1),
        ("Stance: -1", -1),
        ("2. It is so.", 2),
        ('{"answer": -2}', -2),
        ('{"answer": "-2"}', -2),
        ("<answer>0</answer>", 0),
        *(
            (text, None)
            for text in ("3", "-3", "1.5", "1-2", "1 or 2", "2/2", "50%", "two", "1, 2", "٢", "-2 to 2")
        ),
        *(
            (text, None)
            for text in ("1, though 3 would do", '{"answer": true}', '{"answer": 7}', "1,5", "#", "1e400")
        ),
    ],
)
def test_a_scale_is_read_within_its_ends(text: str, value: int | None) -> None:
    for form in (declared(Stance), declared(Annotated[int, Field(ge=-2, le=2)])):
        assert form.judge(text).value == value
        assert form.answers == ("-2", "-1", "0", "1", "2")


@given(number=st.floats(0.0, 1.0) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_exactly_and_within_its_bounds(number: float) -> None:
    form = declared(Annotated[float, Field(ge=0.0, le=1.0)])
    for text in (repr(number), json.dumps({"answer": number}), f"Answer: {number!r}"):
        verdict = form.judge(text)
        assert (verdict.value == number) is (0.0 <= number <= 1.0)
        assert verdict.problem == ("" if 0.0 <= number <= 1.0 else WRONG_VALUE)


@given(number=st.integers())
def test_whole_numbers_keep_all_their_digits(number: int) -> None:
    form = declared(int)
    assert form.judge(str(number)).value == form.judge(f'{{"answer": {number}}}').value == number
    assert form.read(json.loads(json.dumps(number))) == number


@given(text=stored)
def test_free_text_is_what_was_said(text: str) -> None:
    verdict = declared(str).judge(f"Post: {text}")
    assert verdict.problem or verdict.value == f"Post: {text}".strip()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("<think>I could write", "no_answer"),
        ("I'm sorry, but I can't assist with that.", "refusal"),
        ("As an AI language model, I have no friends.", "refusal"),
        ("Sorry, I can't come tonight!", ""),
        ("I will not engage in this nonsense.", ""),
    ],
)
def test_a_text_that_declines_to_be_written_is_none(text: str, problem: str) -> None:
    assert declared(str).judge(text).problem == problem


def test_texts_and_dates_have_their_bounds() -> None:
    short = declared(Annotated[str, Field(max_length=5)])
    assert (short.judge("Hello").value, short.judge("Hello!").problem) == ("Hello", WRONG_VALUE)
    assert short.judge('{"answer": "Hello"}').value == "Hello"
    assert short.judge('{"answer": "Hello!"}').problem == WRONG_VALUE
    assert short.judge('{"answer": "Hel').problem == "bad_json"
    assert "at most 5 characters" in short.instruction
    assert '"maxLength": 5' in (short.schema or "")
    assert declared(date).judge("2026-02-29").problem == WRONG_VALUE
    assert declared(date).read(declared(date).judge("2024-02-29").value) == date(2024, 2, 29)


@pytest.mark.parametrize(
    ("bounds", "answers"),
    [
        (Field(ge=0, le=100), 101),
        (Field(ge=0, le=101), 0),
        (Field(gt=0, lt=4), 3),
        (Field(ge=1, gt=1, le=3, lt=3), 1),
        (Field(ge=0, le=20, multiple_of=5), 5),
        (Field(ge=0), 0),
    ],
)
def test_whole_numbers_between_bounds_are_a_choice_while_they_are_few(bounds: Any, answers: int) -> None:
    form = read_declaration(Annotated[int, bounds])
    assert len(form.answers) == answers
    assert (form.schema is None) == (answers > 0)


def test_members_of_an_enum_are_written_as_their_values() -> None:
    form = declared(Mood, decides=Mood.ANGRY)
    verdict = form.judge("Angry.")
    assert (form.answers, verdict.value, verdict.decision) == (("calm", "angry"), "angry", True)
    assert form.read(verdict.value) is Mood.ANGRY


TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            [*ACTIONS, "yes", "no", "{", "}", '"', ":", "answer", "1", "-", ".", "\n", "<answer>", "if"]
        ),
        max_size=12,
    ).map(" ".join),
)


@given(text=TEXTS)
@example("like\ud800")
def test_no_text_makes_a_judge_fail_or_answer_out_of_range(text: str) -> None:
    for form, may in ((Action, ACTIONS), (Stance, range(-2, 3)), (Source, ()), (str, None), (int, None)):
        verdict = declared(form).judge(text)
        assert (verdict.value is None) == (verdict.problem != "")
        assert verdict.value is None or may is None or verdict.value in may
        json.dumps(verdict.value).encode()


@given(
    text=TEXTS | st.sampled_from(["Yes.", "No, it is grim.", '{"share": true, "reason": "x"}', "Yes and no"])
)
def test_yes_or_no_is_read_as_ever(text: str) -> None:
    form, expected = declared(bool), parse_reply(text)
    assert form.judge(text) == expected._replace(value=expected.decision)
    assert (form.answers, form.schema) == (answer_choices(), None)


def test_yes_or_no_is_asked_for_as_ever() -> None:
    from agentnet.prompts import PromptSet

    assert declared(bool).instruction == PromptSet.load().texts["answer_plain.txt"]


class Tree(BaseModel):
    children: list[Tree]


class Anything(BaseModel):
    said: Source
    extra: Any


class Hidden(BaseModel):
    share: bool = Field(exclude=True)


class Calls(BaseModel):
    when: Callable[[], int]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (Tree, "Tree.children[] holds Tree within Tree"),
        (Anything, "Anything.extra may be anything"),
        (Hidden, "Hidden.share is left out"),
        (Calls, "Calls cannot be asked for"),
        (set[Callable[[], int]], "cannot be asked for"),
        (dict[str, int], "no fields of its own"),
        (bytes, "no model can write"),
        (list[bytes], "no model can write"),
        (tuple[int, str], "prefixItems"),
        (list, "may be anything"),
        (Any, "may be anything"),
        (None, "None is no answer"),
        (Annotated[int, Field(ge=0.5)], "cannot be asked for"),
        (7, "7 cannot be asked for"),
        ("yes", "'yes' cannot be asked for: it is a text; declare"),
        (Literal["a", "A "], "read the same"),
        (Literal["1", 1], "read the same"),
        (Literal["a", None], "None in"),
        (Literal["!", "?"], "no text or number"),
    ],
)
def test_what_cannot_be_asked_for_or_read_back_is_an_error_that_names_it(form: Any, words: str) -> None:
    with pytest.raises(DesignError) as raised:
        declared(form)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("form", "decides", "words"),
    [
        (Retelling, "shares", "has no field 'shares'; did you mean 'share'"),
        (Retelling, "mood", "is not true or false"),
        (Retelling, ("mood", "sad"), "never 'sad'"),
        (Action, "love", "can be that"),
        (Stance, 3, "can be that"),
        (bool, False, "yes decides"),
    ],
)
def test_what_decides_is_an_answer_that_can_be_given(form: Any, decides: object, words: str) -> None:
    with pytest.raises(DesignError) as raised:
        declared(form, decides=decides)
    assert words in str(raised.value)


def test_a_field_and_its_value_may_decide() -> None:
    said = Retelling(share=False, text="x", action="like", stance=2, sources=[], mood=Mood.ANGRY)
    for decides, decision in ((("action", "like"), True), (("mood", Mood.CALM), False), (None, None)):
        assert declared(Retelling, decides=decides).judge(said.model_dump_json()).decision is decision


def test_a_model_is_asked_for_in_the_form_of_strict_modes_and_in_words() -> None:
    form = declared(Retelling)
    assert form.fields == tuple(Retelling.model_fields)
    assert form.schema is not None
    assert "$" not in form.schema
    tree = json.loads(form.schema)
    for node in (tree, tree["properties"]["sources"]["items"]):
        assert node["required"] == [*node["properties"]]
        assert node["additionalProperties"] is False
    assert tree["properties"]["mood"] == {"enum": ["calm", "angry"], "type": "string"}
    assert form.instruction.startswith("Answer with one JSON object and nothing else:\n")
    assert '"text": <a text of at most 400 characters: the news in your own words>' in form.instruction
    assert (
        '"sources": [{"name": <a text>, "trust": <a number from 0.0 to 1.0>}, ...] (at most 3 of them)'
        in (form.instruction)
    )
    assert '"day": <a text in the form of a date> or <null>' in form.instruction


def test_variants_are_told_apart_by_what_they_hold() -> None:
    class Stay(BaseModel):
        kind: Literal["stay"]

    class Move(BaseModel):
        kind: Literal["move"]
        to: int

    class Turn(BaseModel):
        act: Annotated[Stay | Move, Field(discriminator="kind")]

    form = declared(Turn)
    assert form.schema is not None
    assert "oneOf" not in form.schema
    assert '"enum": ["move"]' in form.schema
    assert form.read(form.judge('{"act": {"kind": "move", "to": 3}}').value) == Turn(
        act=Move(kind="move", to=3)
    )
    assert form.judge('{"act": {"kind": "move"}}').problem == WRONG_VALUE


def test_what_a_model_itself_forbids_is_unusable() -> None:
    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def _even(cls, n: int) -> int:
            if n % 2:
                raise ValueError("odd")
            return n

    class Rounded(BaseModel):
        x: float

        @field_serializer("x")
        def _round(self, x: float) -> float:
            return round(x)

    class Twice(BaseModel):
        n: int

        @computed_field  # type: ignore[prop-decorator]
        @property
        def twice(self) -> int:
            return 2 * self.n

    assert declared(Even).judge('{"n": 3}').problem == WRONG_VALUE
    assert declared(Rounded).judge('{"x": 0.4}').problem == WRONG_VALUE
    assert declared(Twice).read(declared(Twice).judge('{"n": 3}').value) == Twice(n=3)


def test_an_answer_that_is_no_object_is_asked_for_within_one() -> None:
    form = declared(list[int])
    assert json.loads(form.schema or "")["properties"] == {
        "answer": {"type": "array", "items": {"type": "integer"}}
    }
    assert form.judge('{"answer": [1, 2]}').value == form.judge("```\n[1, 2]\n```").value == [1, 2]
    assert form.judge("1, 2").problem == "no_answer"
    assert declared(int | None).judge('{"answer": null}').problem == ""


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (bool, True),
        (bool, False),
        (str, "A post."),
        (Action, "do not share"),
        (Literal[True, "perhaps"], True),
        (Stance, -2),
        (Mood, Mood.ANGRY),
        (float, 1e-7),
        (int | None, None),
        (int | None, 3),
        (list[int], [1, 2]),
        (date, date(2024, 2, 29)),
        (Source, Source(name='"{', trust=0.5)),
    ],
)
def test_what_is_spelled_is_read_as_what_it_was(form: Any, value: object) -> None:
    made = declared(form)
    assert made.read(made.judge(made.spell(value)).value) == value


def test_what_is_no_answer_cannot_be_spelled() -> None:
    with pytest.raises(DesignError, match="'love' is no answer that"):
        declared(Action).spell("love")


def test_a_value_of_another_declaration_is_an_error_that_says_so() -> None:
    with pytest.raises(DesignError, match="was the declaration changed"):
        declared(Action).read("love")
