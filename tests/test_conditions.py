"""Conditions of one run: they share chance, equal ones stay two, and each is called by what differs."""

import sqlite3
from contextlib import closing

import pytest

from agentnet import CascadeExperiment, ResponseRatioExperiment, Run
from agentnet.errors import DesignError
from agentnet.events import LOG_NAME
from agentnet.events.conditions import condition_names

FILE = """
from agentnet import CascadeExperiment

class Sizes(CascadeExperiment):
    n_agents, degree, steps, items_per_severity, repeats = 24, 4, 5, 1, 2
    conditions = ({"degree": 4}, {"steps": 3}, {"degree": 4}, {"temperature": 0.9})
"""


class Small(CascadeExperiment):
    n_agents, degree, steps, items_per_severity, repeats = 24, 4, 5, 1, 2


def by_condition(run, columns, table="realizations"):
    """Give the rows of each condition, in the order of news items and repeats."""
    rows = run.rows(f"SELECT realization, {columns} FROM {table} ORDER BY realization")[1]
    n_each = len(run.rows("SELECT 1 FROM realizations")[1]) // len(run.meta["experiment"]["conditions"])
    found = {}
    for realization, *row in rows:
        found.setdefault(realization // n_each, []).append(tuple(row))
    return list(found.values())


def test_conditions_of_one_news_item_and_repeat_have_the_same_networks_dealings_and_first_agents(play):
    run = play(Small(), Small(steps=3), Small(asking_rule="always"))
    begun = by_condition(run, "news, repeat, network, initial_agent")
    assert begun[0] == begun[1] == begun[2]
    assert len({network for _, _, network, _ in begun[0]}) == 4
    dealt = by_condition(run, "agent, profile", "agents")
    assert dealt[0] == dealt[1] == dealt[2]


def test_equal_conditions_play_alike_to_the_end_and_stay_two(play):
    run = play(Small(), Small())
    decided = by_condition(run, "kind, step, agent, source, temperature, decision", "events")
    assert len(decided) == 2
    assert sorted(decided[0]) == sorted(decided[1])
    assert run.meta["n_realizations"] == 8


def test_conditions_that_differ_in_the_last_digit_are_told_apart(play):
    run = play(Small(temperature=0.3), Small(temperature=0.1 + 0.2))
    counts = run.rows("SELECT condition, COUNT(*) FROM decisions GROUP BY condition ORDER BY condition")[1]
    assert [condition for condition, _ in counts] == [0, 1]


def test_conditions_of_response_ratios_share_their_draws(play):
    run = play(*(ResponseRatioExperiment(items_per_severity=1, repeats=2, max_tokens=n) for n in (99, 100)))
    decided = by_condition(run, "agent, repeat, temperature, decision", "events")
    assert sorted(decided[0]) == sorted(decided[1])


def test_a_condition_with_more_repeats_shares_those_that_both_have(play):
    run = play(Small(repeats=1), Small(repeats=3))
    rows = run.rows("SELECT news, repeat, network FROM realizations ORDER BY realization")[1]
    networks = {(news, repeat): network for news, repeat, network in rows[2:]}
    assert [networks[news, repeat] == network for news, repeat, network in rows[:2]] == [True, True]
    assert len(set(networks.values())) == 6


def test_a_run_begun_before_conditions_shared_chance_goes_on_as_it_began(command, tmp_path):
    (tmp_path / "sizes.py").write_text(FILE)
    options = ("--json", "--quiet", "-S", "log.parquet=false", "-S", "stack.cache=false")
    for name in ("new", "old"):
        assert command("run", "sizes.py", "--out", name, *options, "-S", "stack.max_calls=3").code == 3
    older = tmp_path / "old" / LOG_NAME
    with closing(sqlite3.connect(older)) as log, log:
        assert log.execute("DELETE FROM meta WHERE key = 'chance'").rowcount == 1
        # As if nothing had been asked yet: what is begun was begun by the new keys.
        for table in ("events", "agents", "steps", "realizations", "networks"):
            log.execute(f"DELETE FROM {table}")
    for name in ("new", "old"):
        assert command("run", "--resume", name, "--quiet", "-S", "stack.max_calls=100000").code == 0
    networks = by_condition(Run(older.parent), "network")
    assert len({network for of_condition in networks for network in of_condition}) == 16
    shared = by_condition(Run(tmp_path / "new"), "network")
    assert shared == [shared[0]] * 4
    assert networks[0] == shared[0], "the first condition's keys are what they were"


def test_conditions_are_called_by_what_differs_between_them(command, tmp_path):
    (tmp_path / "sizes.py").write_text(FILE)
    assert command("run", "sizes.py", "--out", "run", "--quiet", "-S", "log.parquet=false").code == 0
    meta = Run(tmp_path / "run").meta
    names = ["as designed (1)", "steps 3", "as designed (2)", "temperature 0.9"]
    assert meta["experiment"]["condition_names"] == names


@pytest.mark.parametrize(
    ("overrides", "designs", "names"),
    [
        ([{}], [{"steps": 3}], ["as designed"]),
        ([{"a": 1, "b": 2}, {"a": 1, "b": 3}], [{"a": 1, "b": 2}, {"a": 1, "b": 3}], ["b 2", "b 3"]),
        ([{"a": [1, 2]}, {}], [{"a": [1, 2]}, {"a": None}], ["a 1, 2", "as designed"]),
        ([{"a": 1}, {"b": 2}], [{"a": 1, "b": 2}] * 2, ["as designed (1)", "as designed (2)"]),
        ([{"a": True}, {"a": 1}], [{"a": True}, {"a": 1}], ["a true", "a 1"]),
    ],
)
def test_names_tell_apart_what_is_different(overrides, designs, names):
    assert list(condition_names(overrides, designs)) == names


@pytest.mark.parametrize("family", [Small, ResponseRatioExperiment])
def test_a_condition_that_would_choose_other_news_is_refused_and_none_is_played_as_what_it_is_not(
    play, family
):
    few, more = family(items_per_severity=1, repeats=2), family(items_per_severity=2, repeats=2)
    with pytest.raises(DesignError, match=r"condition 1 chooses other news .* \(4 and 2\).*RUN1 RUN2"):
        play(few, more)


def test_conditions_may_name_the_news_that_all_have(play):
    run = play(Small(), Small(items_per_severity=1, steps=3))
    assert run.meta["n_realizations"] == 8


def test_conditions_within_a_condition_are_refused(command, tmp_path):
    (tmp_path / "sizes.py").write_text(FILE)
    done = command("check", "sizes.py", "-S", 'conditions=[{"degree": 4}, {"conditions": [{"steps": 3}]}]')
    assert (done.code, done.err.splitlines()[-1]) == (
        2,
        "error: condition 1: it has conditions of its own; list them as conditions of the run",
    )


def test_a_knob_that_every_condition_sets_is_not_set_for_the_run_beside_them(command, tmp_path):
    path = tmp_path / "sizes.py"
    path.write_text(FILE.replace('{"steps": 3}, ', "").replace(', {"temperature": 0.9}', ""))
    for name in ("check", "run"):
        done = command(name, path, "-S", "degree=6", "-S", "steps=1")
        assert done.code == 2
        assert "degree is set to 6 for the whole run, and every condition sets its own" in done.err
    path.write_text(FILE)
    assert command("check", path, "-S", "degree=6", "-S", "steps=1").code == 0
