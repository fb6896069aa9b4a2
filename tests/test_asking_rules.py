"""Asking rules, and what they say of how far they look."""

import pytest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["asking_rule=unexposed_neighbour"],
            "'unexposed_neighbour' does not say that it looks at neighbours",
        ),
        (["sampler.mode=choices", "rationale=none"], "sampler mode 'choices' draws whole steps"),
    ],
)
def test_agents_are_not_played_ahead_of_what_decides_whom_they_are_asked_about(
    command, small, options, words
):
    assigned = [part for option in options for part in ("-S", option)]
    told = command("check", small, "-S", "engine.run_ahead=true", *assigned)
    assert (told.code, words in told.err) == (2, True)
    assert command("check", small, "-S", "engine.run_ahead=true").code == 0
