"""Templates, the messages made of them, and what is checked before any model is asked."""

import datetime as dt
import hashlib
import importlib.resources
import json
import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import DesignError, InputError
from agentnet.profiles import Profile, all_profiles
from agentnet.prompts import (
    FILES,
    PromptSet,
    answer_choices,
    answer_schema,
    conversation,
    parse_reply,
    prompt_hash,
)
from agentnet.vocabulary import TRAITS

PACKAGE = PromptSet.load()
KINDS = ("seed", "exposure", "ratio")
RATIONALES = ("inline", "afterwards", "none")
SOMEBODY = Profile.from_bits("01101")


@dataclass(frozen=True)
class Item:
    text: str = "Farmers marched to the capitol."
    id: str = "n1"
    date: dt.date | None = dt.date(2022, 5, 3)
    place: str = "Cebu City"


@pytest.fixture
def folder(tmp_path):
    """An empty folder for the user's own templates."""
    own = tmp_path / "prompts"
    own.mkdir()
    return own


def with_content(text, **others):
    return PromptSet.from_texts(PACKAGE.texts | {"content.txt": text} | others)


def asked(prompts, item, **how):
    (_, question) = prompts.messages("exposure", SOMEBODY, item, **({"rationale": "none"} | how))
    return question[1]


# What is asked


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rationale", RATIONALES)
def test_every_prompt_is_a_system_message_and_a_question_with_the_news_in_it(kind, rationale):
    messages = PACKAGE.messages(kind, SOMEBODY, Item(), rationale=rationale)
    assert [role for role, _ in messages] == ["system", "user"]
    assert Item().text in messages[1][1]
    assert "$" not in messages[0][1] + messages[1][1]


def test_the_system_prompt_states_the_level_of_every_trait_and_nothing_of_the_other_level():
    for profile in all_profiles():
        ((_, system), _) = PACKAGE.messages("exposure", profile, Item(), rationale="none")
        for trait, low, high in zip(TRAITS, PACKAGE.wording.low, PACKAGE.wording.high, strict=True):
            assert (high in system, low in system) == (profile.high(trait), not profile.high(trait))


def test_profiles_items_kinds_and_answers_make_distinct_prompts():
    items = [Item(), Item(text="A bomb exploded in the market.")]
    prompts = {
        prompt_hash(PACKAGE.messages(kind, profile, item, rationale=rationale))
        for kind in ("seed", "exposure")
        for profile in all_profiles()
        for item in items
        for rationale in ("inline", "none")
    }
    assert len(prompts) == 2 * 32 * 2 * 2


def test_the_seed_prompt_speaks_of_followers_and_the_ratio_prompt_is_that_of_an_exposure():
    seed, exposure, ratio = (PACKAGE.messages(kind, SOMEBODY, Item(), rationale="none") for kind in KINDS)
    assert "online followers" in seed[1][1]
    assert ratio == exposure != seed


def test_the_inline_answer_asks_for_the_keys_of_the_schema_and_the_plain_one_for_the_choices():
    inline = asked(PACKAGE, Item(), rationale="inline")
    for key in json.loads(answer_schema("inline"))["properties"]:
        assert f'"{key}"' in inline
    for rationale in ("afterwards", "none"):
        plain = asked(PACKAGE, Item(), rationale=rationale)
        assert plain != inline
        for choice in answer_choices():
            assert choice in plain


def test_an_echo_of_the_instructions_is_no_decision():
    for rationale in RATIONALES:
        assert parse_reply(asked(PACKAGE, Item(), rationale=rationale)).decision is None


def test_the_reason_prompt_goes_on_from_the_agents_own_reply():
    messages = PACKAGE.messages("exposure", SOMEBODY, Item(), rationale="afterwards")
    longer = PACKAGE.reason_messages(messages, "Yes")
    assert longer[:2] == messages
    assert longer[2] == ("assistant", "Yes")
    assert longer[3] == ("user", PACKAGE.texts["reason.txt"])


def test_a_reply_goes_back_without_its_unpaired_surrogates():
    assert PACKAGE.reason_messages((), "No\ud800, \ud83d\ude00!")[0] == ("assistant", "No, \U0001f600!")


@given(
    text=st.text(st.sampled_from('${}newstraid%\\ "'), min_size=1), place=st.text(st.sampled_from("${ws}"))
)
def test_values_are_inserted_as_they_are_and_never_expanded_again(text, place):
    prompts = with_content("<$news|$place|${date}> $$5 {news} $answer")
    answer = PACKAGE.texts["answer_plain.txt"]
    item = Item(text=text, place=place)
    assert asked(prompts, item) == f"<{text}|{place or 'unknown'}|2022-05-03> $5 {{news}} {answer}"


def test_a_dollar_in_the_wording_or_the_answer_is_what_its_file_says():
    traits = PACKAGE.texts["traits.toml"].replace("You are reserved.", "You save every $news.")
    prompts = with_content("$news $answer", **{"traits.toml": traits, "answer_plain.txt": "For $$1: yes?"})
    ((_, system), (_, question)) = prompts.messages(
        "exposure", Profile.from_index(0), Item("x"), rationale="none"
    )
    assert "You save every $news." in system
    assert question == "x For $1: yes?"


def test_an_unknown_date_or_place_is_called_unknown():
    prompts = with_content("$news ($place, $date) $answer")
    assert "x (unknown, unknown) " in asked(prompts, Item("x", date=None, place=""))


def test_an_unknown_kind_or_rationale_is_met_with_the_nearest():
    with pytest.raises(DesignError, match=r"no kind of prompt 'exposur'; did you mean 'exposure'\?"):
        PACKAGE.messages("exposur", SOMEBODY, Item(), rationale="none")
    with pytest.raises(DesignError, match=r"no rationale 'inlin'; did you mean 'inline'\?"):
        PACKAGE.messages("seed", SOMEBODY, Item(), rationale="inlin")
    with pytest.raises(DesignError, match="no rationale 'later'; known: afterwards, inline, none"):
        answer_schema("later")


# Answers and hashes


def test_the_schema_is_strict_and_asks_for_the_decision_first():
    schema = json.loads(answer_schema("inline"))
    assert list(schema["properties"]) == schema["required"] == ["share", "reason"]
    assert schema["additionalProperties"] is False
    assert [schema["properties"][key]["type"] for key in schema["required"]] == ["boolean", "string"]


def test_a_plain_answer_has_choices_which_the_parser_understands_and_no_schema():
    assert answer_schema("afterwards") is answer_schema("none") is None
    assert [parse_reply(choice).decision for choice in answer_choices()] == [True, False]


def test_the_prompt_hash_is_the_sha256_of_the_conversation_as_json():
    messages = (("system", "é"), ("user", 'a "b"'))
    text = '[["system","\\u00e9"],["user","a \\"b\\""]]'
    assert prompt_hash(messages) == hashlib.sha256(text.encode()).hexdigest()


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), unique=True, min_size=2, max_size=2))
def test_different_conversations_have_different_hashes(pair):
    (a, b), (c, d) = pair
    assert prompt_hash(((a, b),)) != prompt_hash(((c, d),))
    assert prompt_hash(((a, b), (c, d))) != prompt_hash(((c, d), (a, b)))


def test_the_hash_of_a_prompt_set_changes_with_any_of_its_texts():
    changed = {
        name: PromptSet.from_texts(
            PACKAGE.texts | {name: f"{text} " if name != "traits.toml" else f"{text}\n#"}
        )
        for name, text in PACKAGE.texts.items()
    }
    hashes = {PACKAGE.hash, *(prompts.hash for prompts in changed.values())}
    assert len(hashes) == 1 + len(FILES)
    assert len(PACKAGE.hash) == 64


def test_the_recorded_texts_make_the_same_prompt_set_in_any_order():
    again = PromptSet.from_texts(dict(reversed(PACKAGE.texts.items())))
    assert again == PACKAGE
    assert again.hash == PACKAGE.hash
    assert set(PACKAGE.texts) == set(FILES)


def test_a_prompt_set_travels_to_another_process():
    assert pickle.loads(pickle.dumps(PACKAGE)) == PACKAGE


def test_changing_the_texts_taken_from_a_prompt_set_does_not_change_it():
    PACKAGE.texts["system.txt"] = "x"
    assert PACKAGE.texts["system.txt"] != "x"


# The user's files


def test_a_users_file_replaces_the_packages_file_of_its_name(folder):
    (folder / "content.txt").write_text("News: $news\n\n$answer\n", encoding="utf-8")
    prompts = PromptSet.load(folder)
    assert prompts.texts == PACKAGE.texts | {"content.txt": "News: $news\n\n$answer"}
    assert asked(prompts, Item("x")).startswith("News: x\n\n")


def test_a_full_copy_of_the_packages_files_is_the_same_prompt_set(folder):
    for name, text in PACKAGE.texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert PromptSet.load(folder) == PACKAGE


def test_line_ends_and_a_byte_order_mark_do_not_change_a_template(folder):
    (folder / "content.txt").write_bytes(b"\xef\xbb\xbfNews:\r\n$news\r\r\n$answer\r\n")
    assert PromptSet.load(folder).texts["content.txt"] == "News:\n$news\n\n$answer"


def test_files_whose_names_begin_with_a_dot_are_not_looked_at(folder):
    (folder / ".DS_Store").write_bytes(b"\xff")
    (folder / "reason.txt").write_text("Why?", encoding="utf-8")
    assert PromptSet.load(folder).texts["reason.txt"] == "Why?"


def test_a_users_wording_may_have_several_sentences(folder):
    own = PACKAGE.texts["traits.toml"].replace("You are reserved.", "You are shy. Very.")
    (folder / "traits.toml").write_text(own, encoding="utf-8")
    ((_, system), _) = PromptSet.load(folder).messages(
        "seed", Profile.from_index(0), Item(), rationale="none"
    )
    assert "- You are shy. Very. " in system


def rejected(folder, name, text):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        PromptSet.load(folder)
    assert str(folder / name) in str(caught.value)
    return caught.value


def test_an_unknown_file_is_met_with_the_nearest_name(folder):
    assert "did you mean 'content.txt'?" in str(rejected(folder, "contents.txt", "$news $answer"))


@pytest.mark.parametrize("text", ["", " \n\t\n", b"\xef\xbb\xbf"])
def test_an_empty_template_is_rejected(folder, text):
    assert "is empty" in str(rejected(folder, "reason.txt", text))


def test_a_template_that_is_no_utf_8_is_rejected_with_its_row(folder):
    error = rejected(folder, "system.txt", "$traits\n\nYou are r\xe9serv\xe9".encode("latin-1"))
    assert error.row == 3
    assert "is not UTF-8 (byte 18)" in str(error)


@pytest.mark.parametrize(
    ("name", "text", "row", "message"),
    [
        ("content.txt", "a\n\n$news $nwes $answer", 3, "unknown placeholder $nwes; did you mean 'news'?"),
        ("content.txt", "$news\n${Answer}", 2, "unknown placeholder $Answer; did you mean 'answer'?"),
        ("content.txt", "$newsworthy $answer", 1, "unknown placeholder $newsworthy"),
        ("content.txt", "$news $answer $traits", 1, "unknown placeholder $traits; known: "),
        ("system.txt", "$traits $news", 1, "unknown placeholder $news"),
        ("reason.txt", "Why $$5?\nWhy $news?", 2, "unknown placeholder $news; this file takes none"),
        ("answer_plain.txt", "It costs\n\n5$.", 3, "lone '$'; write '$$'"),
        ("answer_inline.txt", '{"share": ${', 1, "lone '$'"),
        ("seed.txt", "Share?", None, "lacks the placeholder $answer, $news"),
        ("content.txt", "$news", None, "lacks the placeholder $answer"),
        ("content.txt", "$$news $answer", None, "lacks the placeholder $news"),
        ("system.txt", "You are you.", None, "lacks the placeholder $traits"),
    ],
)
def test_placeholders_are_checked_with_file_and_row(folder, name, text, row, message):
    error = rejected(folder, name, text)
    assert message in str(error)
    assert error.row == row


TRAITS_TOML = PACKAGE.texts["traits.toml"]


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("[openness", None, "is not TOML"),
        (TRAITS_TOML.replace("[openness]", "[opennes]"), "opennes", "did you mean 'openness'?"),
        (TRAITS_TOML.split("[neuroticism]")[0], "neuroticism", "needs a table with `low` and `high`"),
        ("openness = 'high'", "openness", "needs a table"),
        (TRAITS_TOML + '\nhihg = "x"', "neuroticism.hihg", "did you mean 'high'?"),
        ('[openness]\nlow = "x"', "openness.high", "must be text"),
        ('[openness]\nlow = " "\nhigh = "x"', "openness.low", "must be text"),
        ("[openness]\nlow = 1\nhigh = 2", "openness.low", "must be text"),
    ],
)
def test_the_wording_is_checked_with_file_and_field(folder, text, field, message):
    error = rejected(folder, "traits.toml", text)
    assert message in str(error)
    assert error.field == field


def test_a_missing_folder_and_one_without_templates_are_rejected(folder):
    with pytest.raises(InputError, match=r"nowhere.*cannot be read"):
        PromptSet.load(folder / "nowhere")
    with pytest.raises(InputError, match=r"holds no prompt template; it may hold any of system\.txt"):
        PromptSet.load(folder)


def test_a_folder_in_a_templates_place_is_rejected(folder):
    (folder / "system.txt").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        PromptSet.load(folder)


def test_recorded_texts_must_be_complete_and_known():
    texts = PACKAGE.texts
    with pytest.raises(InputError, match=r"lacks reason\.txt"):
        PromptSet.from_texts({name: text for name, text in texts.items() if name != "reason.txt"})
    with pytest.raises(InputError, match=r"reasons\.txt: .*did you mean 'reason\.txt'\?"):
        PromptSet.from_texts(texts | {"reasons.txt": "Why?"})
    with pytest.raises(InputError, match=r"content\.txt, row 1: .*unknown placeholder"):
        PromptSet.from_texts(texts | {"content.txt": "$new $answer"})


def test_the_package_ships_every_file_and_no_other():
    shipped = importlib.resources.files("agentnet.prompts") / "templates"
    assert {file.name for file in shipped.iterdir()} == set(FILES)


@pytest.mark.parametrize(
    "given",
    [None, 3, "hello", "ab", [], [("user",)], [("user", 3)], ["ab"], [{"role": "user", "content": "Why?"}]],
)
def test_what_is_no_conversation_is_none(given: object) -> None:
    assert conversation(given) == ()


def test_a_conversation_may_be_held_by_anything() -> None:
    assert conversation(iter([["user", "Why?"]])) == (("user", "Why?"),)
