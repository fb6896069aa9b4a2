"""Tables of what people heard and did: read, refused, and fitted by laws."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm

from agentnet.analysis import fit_run, read_people
from agentnet.errors import ConfigurationError, DesignError, InputError


def table(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def village(tmp_path: Path) -> Path:
    """Write a table of three villages: who has heard from more adopts more often, women more than men."""
    draws, rows = np.random.default_rng(7), ["village,person,day,heard_from,adopted,female"]
    for village in range(3):
        for person in range(40):
            female = int(draws.random() < 0.5)
            for day in range(6):
                yes = draws.random() < 1 / (1 + np.exp(1.7 - 0.5 * day - 0.6 * female))
                said = "" if draws.random() < 0.1 else "yes" if yes else "no"
                rows.append(f"{village},p{person},{day},n{person}-{day},{said},{female}")
    return table(tmp_path / "village.csv", "\n".join(rows) + "\n")


NAMED = {"group": "village"}


def test_a_law_of_what_people_heard_is_the_logistic_regression_of_their_decisions(village: Path) -> None:
    by = ("n_heard", "female")
    tables = read_people(village, columns=by, named=NAMED)
    law = fit_run(tables, laws=["column_logistic"], by=by, n_bootstrap=0).law("column_logistic")
    heard, female, yes = [], [], []
    engaged: set[tuple[str, str]] = set()
    before: dict[tuple[str, str], int] = {}
    for line in village.read_text().splitlines()[1:]:
        group, person, _, _, said, woman = line.split(",")
        who = (group, person)
        before[who] = before.get(who, 0) + 1
        if who in engaged:
            continue
        if said:
            heard.append(before[who])
            female.append(int(woman))
            yes.append(said == "yes")
        if said == "yes":
            engaged.add(who)
    assert tables.n_missing > 0
    assert len(yes) == tables.n_exposures - tables.n_missing
    design = sm.add_constant(np.column_stack([heard, female]).astype(float))
    theirs = sm.GLM(np.array(yes, float), design, family=sm.families.Binomial()).fit(tol=1e-12)
    found = {each.name: each.estimate for each in law.parameters}
    assert [found["n_heard"], found["female"]] == pytest.approx(theirs.params[1:].tolist(), abs=1e-6)


def test_who_has_said_yes_is_asked_no_more_and_missing_is_no_no(tmp_path: Path) -> None:
    file = table(
        tmp_path / "people.csv",
        "who,when,source,did\na,1,x,no\na,2,y,\na,3,x,yes\na,4,z,no\nb,2,x,1\n",
    )
    found = read_people(file, columns=("n_heard", "n_asked"))
    counts = found.exposures
    assert counts.step.tolist() == [1, 2, 2, 3]
    assert counts.columns["n_heard"].tolist() == [1, 2, 1, 2]
    assert counts.columns["n_asked"].tolist() == [0, 1, 0, 2]
    assert [counts.n_yes.tolist(), counts.n_no.tolist(), counts.n_missing.tolist()] == [
        [0, 0, 1, 1],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
    ]
    assert "left out: 1 rows of people after their first yes" in found.notes
    assert found.n_agents.tolist() == [2]
    assert (found.networks.degrees.tolist(), found.networks.n_agents.tolist()) == ([1, 3], [1, 1])


def test_rows_are_taken_in_the_order_of_their_times_and_twins_count_once(tmp_path: Path) -> None:
    rows = ["who,when,source,did", "a,2024-03-02,y,yes", "a,2024-03-01,x,no", "a,2024-03-01,x,no"]
    found = read_people(table(tmp_path / "people.csv", "\n".join(rows)))
    assert found.exposures.columns["n_heard"].tolist() == [1, 2]
    assert found.exposures.n_yes.tolist() == [0, 1]
    assert "standing twice, and counted once: 1 rows" in found.notes


def test_without_times_rows_stand_in_their_order_and_twins_are_two(tmp_path: Path) -> None:
    found = read_people(table(tmp_path / "people.csv", "who,source,did\na,x,no\na,x,no\na,x,yes\n"))
    assert found.exposures.step.tolist() == [1, 2, 3]
    assert found.exposures.columns["n_heard"].tolist() == [1, 1, 1]


def test_people_of_the_same_name_in_two_groups_are_two_people(tmp_path: Path) -> None:
    found = read_people(table(tmp_path / "people.csv", "group,who,source,did\n1,a,x,yes\n2,a,x,no\n"))
    assert found.n_realizations == 2
    assert found.n_agents.tolist() == [1, 1]
    assert found.exposures.n_no.sum() == 1


def test_a_value_may_be_what_counts_as_a_yes(tmp_path: Path) -> None:
    file = table(tmp_path / "people.csv", "who,source,did\na,x,like\nb,x,share\nc,x,\n")
    counts = read_people(file, "share").exposures
    assert [counts.n_yes.sum(), counts.n_no.sum(), counts.n_missing.sum()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "field", "row", "words"),
    [
        ("who,source,did\na,x,maybe\n", "did", 2, "say which value is a yes"),
        ("person,source\na,x\n", "did", None, "--column did=NAME"),
        ("who,when,did\na,1,yes\nb,,no\n", "when", 3, "is empty"),
        ("who,when,did\na,1,yes\nb,2020-01-01,no\n", "when", 3, "write all times alike"),
        ("who,when,did\na,soon,yes\n", "when", 2, "is no time"),
        ("who,did\n,yes\n", "who", 2, "is empty"),
        ("who,person_id,subject,did\na,1,2,yes\n", None, None, None),
        ("who,did\n", None, None, "no row below the header"),
    ],
)
def test_what_cannot_be_used_is_refused_by_row_and_column(
    tmp_path: Path, text: str, field: str | None, row: int | None, words: str | None
) -> None:
    file = table(tmp_path / "people.csv", text)
    if words is None:  # the field's own name stands, and the others are not looked at
        assert read_people(file).n_exposures == 1
        return
    with pytest.raises(InputError) as refused:
        read_people(file)
    assert words in str(refused.value)
    assert refused.value.field == field
    assert refused.value.row == row


def test_several_columns_that_may_be_meant_are_named(tmp_path: Path) -> None:
    file = table(tmp_path / "people.csv", "participant,subject,did\na,1,yes\n")
    with pytest.raises(InputError, match="participant and subject may all be the who"):
        read_people(file)
    assert read_people(file, named={"who": "subject"}).n_exposures == 1
    with pytest.raises(ConfigurationError, match="whom"):
        read_people(file, named={"who": "subject", "whom": "subject"})


def test_columns_are_numbers_or_one_of_their_values(tmp_path: Path) -> None:
    file = table(tmp_path / "people.csv", "who,did,age,sex\na,yes,31,f\nb,no,40,m\n")
    columns = read_people(file, columns=("age", "sex=f")).exposures.columns
    assert (columns["age"].tolist(), columns["sex=f"].tolist()) == ([31, 40], [1, 0])
    with pytest.raises(DesignError, match="sex=f"):
        read_people(file, columns=("sex",))
    with pytest.raises(DesignError, match=r"no column 'aeg'.*age"):
        read_people(file, columns=("aeg",))
    gone = table(tmp_path / "gone.csv", "who,did,sex\na,yes,f\nb,no,\n")
    with pytest.raises(DesignError, match="holds nothing for some rows"):
        read_people(gone, columns=("sex=f",))


def test_nobody_who_did_what_counts_as_a_yes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nobody did 'shares'.*share"):
        read_people(table(tmp_path / "people.csv", "who,did\na,share\n"), "shares")


def test_the_command_fits_a_file_of_people(command: Callable[..., Any], village: Path) -> None:
    fitted = command(
        "fit", village, "--law", "hill", "--by", "n_heard", "--column", "group=village", "--json"
    )
    assert fitted.code == 0, fitted.err
    (law,) = json.loads(fitted.out)["laws"]
    assert law["law"] == "hill"
    every = command("fit", village, "--column", "group=village", "--bootstraps", 0)
    assert every.code == 0, every.err
    assert "decisions are those of people in village.csv" in every.out
    refused = command("fit", village, "--condition", 0)
    assert refused.code == 2
    assert "is a table of people" in refused.err
