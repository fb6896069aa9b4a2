"""A word that rooms share is spelled in one file: a second spelling may drift from the first unseen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentnet import vocabulary

ROOT = Path(__file__).parent.parent
LIBRARY = sorted([*(ROOT / "agentnet").rglob("*.py"), *(ROOT / "backends").rglob("*.py")])
HOME = Path(vocabulary.__file__)

# Words that mean other things elsewhere too: a field of somebody's JSON, a setting's value, plain English.
ORDINARY = frozenset(
    {
        *("unknown", "seed", "ratio", "reason", "interview", "yes", "no", "stop", "length"),
        *("refused", "failed", "invalid", "none", "refusal"),
    }
)


def _words() -> set[str]:
    """Everything that the vocabulary spells, but for profiles' bits, which are made."""
    values = [value for name, value in vars(vocabulary).items() if name.isupper() and name != "PROFILES"]
    texts = {
        each
        for value in values
        for each in ([value] if isinstance(value, str) else value if isinstance(value, tuple) else [])
    }
    return {text for text in texts if isinstance(text, str)} - ORDINARY


def _spelled(tree: ast.AST) -> Iterator[str]:
    """The string literals of a file, but for docstrings and keys that a call names."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_a_word_of_the_vocabulary_is_spelled_in_no_other_file() -> None:
    """Names of traits, severities, kinds of events and ends of replies stand in `agentnet.vocabulary`."""
    words = _words()
    found = {
        str(path.relative_to(ROOT)): elsewhere
        for path in LIBRARY
        if path != HOME and (elsewhere := words & set(_spelled(ast.parse(path.read_text("utf-8")))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text", ['KIND = "exposure"', 'def f(a="peaceful"):\n    """Do."""', "match x:\n    case 'severe': ..."]
)
def test_a_spelling_is_seen_wherever_a_literal_may_stand(text: str) -> None:
    """As a constant, a default, a pattern."""
    assert set(_spelled(ast.parse(text))) & _words()


def test_words_in_sentences_and_docstrings_are_prose() -> None:
    """A message may say 'peaceful' within a sentence."""
    text = '"""severe"""\nraise ValueError("write 0 or peaceful")'
    assert not set(_spelled(ast.parse(text))) & _words()


def test_numbers_bits_and_names_belong_together() -> None:
    """A profile's place is its bits read as a number; a severity's is its number."""
    assert [int(bits, 2) for bits in vocabulary.PROFILES] == list(range(vocabulary.N_PROFILES))
    assert vocabulary.severity_name(vocabulary.PEACEFUL) == "peaceful"
    assert vocabulary.severity_name(vocabulary.SEVERE) == "severe"
