"""Question banks: the bundled one's facts agree with each other, a user's files are read or refused."""

import csv
import io
import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import ConfigurationError, InputError
from agentnet.interviews import Question, topics_of
from agentnet.interviews.bank import load_bank, scan_bank
from agentnet.interviews.bank.bundled import SCIENCE, SOCIETY, TEMPLATES, facts
from agentnet.interviews.bank.files import YAHOO_TOPICS, one_sentence

BANK = load_bank()
NO_STATES = {"Kosovo", "Gibraltar", "French Guiana", "the Gaza Strip"}
NOBLE_GASES = {2, 10, 18, 36, 54, 86}
ALKALI_METALS = {3, 11, 19, 37, 55, 87}


def test_the_bundled_bank_has_two_topics_large_enough_for_the_paper_s_studies():
    counts = Counter(question.topic for question in BANK)
    assert topics_of(BANK) == (SOCIETY, SCIENCE)
    assert min(counts.values()) >= 400


def test_no_question_or_answer_stands_twice():
    for field in ("id", "text", "answer"):
        texts = [getattr(question, field).casefold() for question in BANK]
        assert len(set(texts)) == len(texts), field


@pytest.mark.parametrize("question", BANK[::97], ids=lambda question: question.id)
def test_ids_say_what_is_asked(question):
    assert re.fullmatch(r"(society|science)-[a-z]+-[a-z0-9-]*[a-z0-9]", question.id)
    assert "--" not in question.id


def test_each_question_is_one_question_with_an_answer_of_one_short_sentence():
    for question in BANK:
        assert question.text.index("?") == len(question.text) - 1, question
        assert question.answer.endswith("."), question
        assert one_sentence(question.answer), question
        assert len(question.answer) < 200, question
        assert (question.text[0] + question.answer[0]).isupper(), question
        assert not re.search(r"[{}]|  |\bthe the\b|None", question.text + question.answer), question


def test_the_first_questions_of_a_topic_are_of_every_kind():
    for topic, templates in TEMPLATES.items():
        first = [question.id.split("-")[1] for question in BANK if question.topic == topic][:200]
        assert set(first) == {template.kind for template in templates}


def test_every_wording_is_used():
    for topic, templates in TEMPLATES.items():
        for template in templates:
            asked = [q.text for q in BANK if q.id.startswith(f"{topic}-{template.kind}-")]
            for ask, _ in template.wordings:
                pattern = re.sub(r"\\{\w+\\}", ".+", re.escape(ask))
                assert any(re.fullmatch(pattern, text) for text in asked), ask


def test_a_few_answers_are_what_anybody_can_look_up():
    answers = {question.id: question.answer for question in BANK}
    assert "Nairobi" in answers["society-capital-kenya"]
    assert "yen" in answers["society-money-japan"]
    assert answers["society-neighbours-portugal"].endswith("Spain.")
    assert "Canada and Mexico" in answers["society-neighbours-united-states"]
    assert "Fe" in answers["science-symbol-iron"]
    assert "group 8" in answers["science-place-iron"]
    assert "group 18" in answers["science-place-helium"]
    assert "period 1 and group 1." in answers["science-place-hydrogen"]
    assert "period 6 among the lanthanides" in answers["science-place-lutetium"]
    assert "group 4." in answers["science-place-hafnium"]
    assert "an actinide" in answers["science-family-uranium"]


def test_who_is_a_neighbour_has_that_neighbour():
    rows = csv.DictReader(io.StringIO(raw("countries")))
    neighbours = {row["country"]: row["neighbours"].split("/") for row in rows}
    for country, names in neighbours.items():
        for name in filter(None, names):
            assert name in neighbours.keys() | NO_STATES, (country, name)
            assert name in NO_STATES or neighbours[name] == [""] or country in neighbours[name], (
                country,
                name,
            )


def test_mountains_are_in_countries_of_the_table():
    countries = {row["country"] for row in facts("countries")}
    assert {row["country"] for row in facts("mountains")} <= countries


def test_the_elements_are_all_there_with_their_families():
    rows = facts("elements")
    assert [int(row["number"]) for row in rows] == list(range(1, 119))
    assert len({row["symbol"] for row in rows}) == 118
    families = {
        family: {int(row["number"]) for row in rows if row["family"] == family}
        for family in ("noble gas", "alkali metal", "lanthanide", "actinide")
    }
    assert families["noble gas"] == NOBLE_GASES
    assert families["alkali metal"] == ALKALI_METALS
    assert families["lanthanide"] == set(range(57, 72))
    assert families["actinide"] == set(range(89, 104))


def test_formulas_are_of_elements():
    symbols = {row["symbol"] for row in facts("elements")}
    for row in facts("compounds"):
        found = re.findall(r"[A-Z][a-z]?", row["formula"])
        assert set(found) <= symbols, row
        assert re.fullmatch(r"([A-Z][a-z]?\d*|\((?:[A-Z][a-z]?\d*)+\)\d*)+", row["formula"]), row


def test_the_rows_of_a_period_end_with_a_noble_gas():
    for row in facts("elements"):
        if int(row["number"]) in NOBLE_GASES:
            assert row["place"].endswith("and group 18")


def raw(table):
    from importlib.resources import files

    return files("agentnet.interviews.bank").joinpath("facts", f"{table}.csv").read_text("utf-8")


# A user's own files.

texts = st.text(st.characters(exclude_categories=("C", "Z"), codec="utf-8"), min_size=1, max_size=20)
rows_of_texts = st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=5)


@given(rows=rows_of_texts, as_json=st.booleans(), with_ids=st.booleans())
def test_a_file_gives_back_what_was_written(tmp_path_factory, rows, as_json, with_ids):
    questions = [Question(str(n if with_ids else n + (not as_json)), *row) for n, row in enumerate(rows, 1)]
    records = [
        dict(zip(("id", "topic", "question", "answer"), question, strict=True)) for question in questions
    ]
    for record in records if not with_ids else ():
        del record["id"]
    path = tmp_path_factory.mktemp("bank") / ("bank.jsonl" if as_json else "bank.csv")
    if as_json:
        path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(records[0]))
            writer.writeheader()
            writer.writerows(records)
    assert load_bank(path) == tuple(questions)


@pytest.fixture
def written(tmp_path):
    def write(text, name="bank.csv"):
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path / name

    return write


def test_columns_can_be_named(written):
    path = written("nr;theme;Title;reply\nq1;sea;How deep?;Very.\n")
    columns = {"id": "nr", "topic": "theme", "text": "title", "answer": "reply"}
    assert load_bank(str(path), columns=columns) == (Question("q1", "sea", "How deep?", "Very."),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "topic,qestion,answer\na,b,c\n",
            r"field 'question': there is no such column; did you mean 'qestion'\?",
        ),
        ("question,answer\nb,c\n", r"field 'topic': there is no such column"),
        ("topic,question,answer\na,b,c\na,,c\n", r"bank\.csv, row 3, field 'question': is empty"),
        ("topic,question,answer\na,b\n", r"bank\.csv, row 2: has 2 fields where the header has 3"),
        (
            "id,topic,question,answer\n1,a,b,c\n1,a,d,e\n",
            r"row 3, field 'id': id '1' stands in row 2 already",
        ),
        ('topic,question,answer\na,b,"c\n', r"row 2: cannot be read as delimited text"),
        ("topic,question,answer\n", "has a header and no rows"),
        ("", "the file is empty"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_its_place(written, text, said):
    with pytest.raises(InputError, match=said):
        load_bank(written(text))


def test_every_bad_row_is_found_in_one_reading(written):
    found = scan_bank(written("topic,question,answer\n,b,c\na,b,c\na,b\na,b,\n"))
    assert [problem.row for problem in found.problems] == [2, 4, 5]
    assert [question.id for question in found.questions] == ["3"]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: there is no such file"):
        load_bank(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"source": "x.csv", "kind": "yahu"}, r"no kind of question bank 'yahu'; did you mean 'yahoo'\?"),
        ({"kind": "table"}, "the bundled question bank takes neither kind nor columns"),
        ({"columns": {"text": "title"}}, "the bundled question bank takes neither kind nor columns"),
        ({"source": "x.csv", "kind": "yahoo", "columns": {"text": "a"}}, r"columns \(text\) cannot be named"),
    ],
)
def test_impossible_wishes_are_refused(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        load_bank(**arguments)


def test_a_column_for_an_unknown_field_is_refused(written):
    path = written("topic,question,answer\na,b,c\n")
    with pytest.raises(
        ConfigurationError, match=r"for field 'txt', which a question bank does not have; did"
    ):
        load_bank(path, columns={"txt": "question"})


YAHOO = (
    '"1","Why do people wave?","","Because ""hello"" is seen further than heard."\n'
    '"2","Is water wet?","I mean\\nreally.","It is."\n'
    '"2","Is it? Or not?","","It is."\n'
    '"2","Tell me why","","It is."\n'
    '"2","Why not?","","It is. I think."\n'
    '"2","Why not?","","It is\\nso"\n'
    '"2","Why not?","",""\n'
    f'"2","Why not?","","{"a" * 200}"\n'
    f'"10","Why not?","","{"a" * 199}"\n'
)


def test_yahoo_answers_are_known_by_their_first_row_and_cut_down_to_single_sentences(written):
    path = written(YAHOO, "train.csv")
    assert load_bank(path) == (
        Question("yahoo-1", "society", "Why do people wave?", 'Because "hello" is seen further than heard.'),
        Question("yahoo-2", "science", "Is water wet?", "It is."),
        Question("yahoo-9", "politics", "Why not?", "a" * 199),
    )
    assert scan_bank(path).n_left_out == 6


def test_yahoo_answers_without_quotation_marks_need_their_kind(written):
    path = written("1,Why?,,So.\n")
    assert load_bank(path, kind="yahoo") == (Question("yahoo-1", "society", "Why?", "So."),)
    with pytest.raises(InputError, match="there is no such column"):
        load_bank(path)


@pytest.mark.parametrize("index", ["0", "11", "x", "", "1.5", "²"])
def test_a_class_that_yahoo_answers_does_not_have_is_a_bad_row(written, index):
    with pytest.raises(InputError, match=r"row 2, field 'class index': .* is no class of Yahoo! Answers"):
        load_bank(written(f'"1","Why?","","So."\n"{index}","Why?","","So."\n'))


def test_a_file_of_which_nothing_fits_says_so(written):
    with pytest.raises(InputError, match="none of its 1 rows has a title of one question and a best answer"):
        load_bank(written('"1","No question","","So."\n'))


def test_every_class_of_yahoo_answers_is_a_topic(written):
    text = "".join(f'"{index}","Why?","","So."\n' for index in range(1, 11))
    assert tuple(question.topic for question in load_bank(written(text))) == YAHOO_TOPICS


@pytest.mark.parametrize("text", ["So.", "So", "So?!", "It is 3.5 km.", "U.S. law"])
def test_one_sentence_is_one(text):
    assert one_sentence(text) == (text != "U.S. law")


@pytest.mark.parametrize("text", ["", "So. No.", "So! And", "So\nno", "Why? Because."])
def test_more_or_less_than_one_sentence_is_not(text):
    assert not one_sentence(text)


def test_a_bank_is_read_in_its_encoding(tmp_path):
    path = tmp_path / "bank.csv"
    path.write_text("topic,question,answer\nCafé,Où est Nîmes ?,En Gaule.\n", encoding="cp1252")
    (question,) = load_bank(path, encoding="cp1252")
    assert (question.topic, question.text) == ("Café", "Où est Nîmes ?")
    with pytest.raises(InputError, match=r"load_bank\(encoding=\)"):
        load_bank(path)
