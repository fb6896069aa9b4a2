"""What `agentnet prepare` takes of a user's file, and what it has the update rule do; no PyTorch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from agentnet.errors import ConfigurationError, InputError
from agentnet.interviews.instructions import CATEGORIES, Instruction, load_instructions

ROWS = [
    {"instruction": "Why?", "context": "", "response": "So.", "category": "open_qa"},
    {"instruction": "Sum up.", "context": "A long text.", "response": "Short.", "category": "open_qa"},
    {"instruction": "Name one.", "context": "", "response": "None", "category": "brainstorming"},
    {"instruction": "Write.", "context": "", "response": "x" * 99, "category": "creative_writing"},
    {"instruction": "Write more.", "context": "", "response": "x" * 100, "category": "creative_writing"},
    {"instruction": "Extract.", "context": "", "response": "Date.", "category": "information_extraction"},
    {"instruction": "Who?", "context": "", "response": "They.", "category": "general_qa"},
]
TAKEN = [Instruction(ROWS[row]["instruction"], ROWS[row]["response"]) for row in (0, 2, 3, 6)]

# An update rule that notes what it is told, and trains nothing.
RULE = """
from pathlib import Path

class Notes:
    about = needs = ""
    name, label, model_name = "notes", "", "BASE"
    asks_backend, checkpoint_every, systems_at_once = False, 0, None

    async def begin(self, system):
        raise NotImplementedError

    async def aclose(self):
        pass

    def __init__(self, options):
        self.options = options

    @classmethod
    def from_options(cls, options, environ):
        return cls(options)

class Rule(Notes):
    def prepare(self, taught, tuning, out, facts, tell):
        if self.options.get("breaks"):
            raise KeyboardInterrupt
        tell(0, 2, float("nan"))
        tell(2, 2, 0.5)
        told = {"options": self.options, "taught": taught, "out": out.name}
        return {**facts, **tuning._asdict(), "loss": 0.5, **told}
"""


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "dolly.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return path


@pytest.fixture
def prepare(command, data):
    Path("rule.py").write_text(RULE)

    def call(*arguments):
        return command("prepare", "BASE", "--update", "./rule.py:Rule", *arguments)

    return call


# What is taken.


def test_rows_are_taken_as_in_the_paper_and_the_others_counted(data):
    found = load_instructions(data)
    assert list(found.taken) == TAKEN
    assert found.left_out == {
        "with a context": 1,
        "with a response of over 99 characters": 1,
        "of other categories": 1,
    }
    assert found.sha256 == hashlib.sha256(data.read_bytes()).hexdigest()


def test_categories_columns_and_the_bound_are_the_user_s(data, tmp_path):
    assert len(load_instructions(data, categories=None, longest=100).taken) == 6
    assert [each.text for each in load_instructions(data, categories=["general_qa"]).taken] == ["Who?"]
    table = tmp_path / "mine.csv"
    table.write_text("ask,say\nWhy?,So.\n")
    found = load_instructions(table, columns={"instruction": "ask", "response": "say"})
    assert found.taken == (Instruction("Why?", "So."),)


@pytest.mark.parametrize(
    ("text", "chosen", "said"),
    [
        ('{"instruction": "Why?"}\n', {}, r"file\.jsonl, field 'response': there is no such column"),
        (
            '{"instruction": "Why?", "response": " "}\n',
            {},
            r"file\.jsonl, row 1, field 'response': is empty; every row needs its response",
        ),
        (
            '{"instruction": ["Why?"], "response": "So."}\n',
            {},
            r"row 1, field 'instruction': holds an object",
        ),
        ('{"instruction": "Why?", "response": "So."}\n[]\n', {}, r"row 2: is not a JSON object"),
        ('{"instruction": "Why?", "response": "So."}\n{\n', {}, r"row 2: is not JSON"),
        (
            '{"instruction": "Why?", "response": "So.", "category": "open_qa"}\n',
            {"categories": ["open qa"]},
            r"has no row of category 'open qa'; did you mean 'open_qa'\?",
        ),
        (
            '{"instruction": "Why?", "response": "So.", "context": "x"}\n',
            {},
            r"no row of it is taken \(1 with a context\)",
        ),
    ],
)
def test_what_cannot_be_learnt_is_named_with_file_row_and_field(tmp_path, text, chosen, said):
    path = tmp_path / "file.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        load_instructions(path, **chosen)


def test_an_unknown_field_of_a_column_is_an_error(data):
    with pytest.raises(ConfigurationError, match="'answer', which a file of instructions does not have"):
        load_instructions(data, columns={"answer": "response"})


# The command.


def test_the_rule_is_told_what_is_learnt_and_how_by_default_as_in_the_paper(prepare, data):
    done = prepare("--data", data, "--out", "model", "-U", "device=cuda", "--json")
    assert done.code == 0, done.err
    card = json.loads(done.out)
    assert card["options"] == {"model": "BASE", "device": "cuda"}
    assert [Instruction(*each) for each in card["taught"]] == TAKEN
    assert (card["epochs"], card["lr"], card["batch"], card["seed"], card["out"]) == (10, 5e-5, 8, 0, "model")
    assert (card["data"], card["data_sha256"]) == (data.name, hashlib.sha256(data.read_bytes()).hexdigest())
    assert (card["categories"], card["longest"]) == (list(CATEGORIES), 99)
    assert "4 pairs of instruction and response; left out: 1 with a context, 1 with a response" in done.err
    assert "step 2 of 2, loss 0.500" in done.err


def test_flags_decide_how_it_is_trained_and_what_is_next_is_said(prepare, data):
    done = prepare(
        "--data", data, "--out", "model", "--epochs", 2, "--lr", 0.1, "--batch", 3, "--all-categories"
    )
    assert done.out == "wrote model: loss 0.500 nats a token in the last epoch of 2\n"
    assert "5 pairs" in done.err
    assert "--update ./rule.py:Rule -S ./rule.py:Rule.model=model" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "there"], "there: exists already; name another folder, or pass --force"),
        (["--out", "none/model"], "there is no folder none; make it first"),
        (["--out", "model", "-U", "device"], "-U 'device' is not KEY=VALUE, such as device=cuda"),
        (["--out", "model", "-U", "model=x"], "the model is the command's argument"),
        (["--out", "model", "--column", "response"], "--column 'response' is not FIELD=COLUMN"),
        (["--out", "model", "--update", "memory"], "memory.model is no option"),
        (["--out", "model", "--update", "./rule.py:Notes"], "has no models that could be prepared"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(prepare, data, arguments, said):
    Path("there").mkdir()
    done = prepare("--data", data, *arguments)
    assert done.code == 2
    assert said in done.err
    assert prepare("--data", data, "--out", "there", "--force").code == 0


def test_only_a_prepared_model_is_replaced(prepare, data):
    Path("thesis").mkdir()
    Path("thesis/chapter.txt").write_text("Years of work.")
    done = prepare("--data", data, "--out", "thesis", "--force")
    assert (done.code, "holds something else than a prepared model" in done.err) == (2, True)
    Path("thesis/agentnet.json").write_text("{}")
    assert prepare("--data", data, "--out", "thesis", "--force").code == 0


def test_an_interrupted_preparation_says_how_it_goes_on(prepare, data):
    done = prepare("--data", data, "--out", "model", "-U", "breaks=yes")
    assert done.code == 130
    assert "the same command goes on from the last checkpoint" in done.err
