"""Severity from a file of labels: read, written, and put in the place of the taxonomy's."""

import numpy as np
import pytest

from agentnet import CascadeExperiment
from agentnet.analysis.severity import cluster_severity
from agentnet.errors import DesignError, InputError, StorageError
from agentnet.news import (
    NewsItem,
    load_acled,
    load_news,
    load_severity,
    load_table,
    load_ucdp,
    sample_news,
    severity_of,
    validate_news,
    with_severity,
    write_severity,
)

ITEMS = (NewsItem("a", "One.", severity=0), NewsItem("b", "Two.", severity=1), NewsItem("c", "Three."))


def test_severities_are_replaced_and_nothing_else():
    changed = with_severity(ITEMS, {"c": 0, "a": 1, "b": None})
    assert [item.severity for item in changed] == [1, None, 0]
    assert [(item.id, item.text) for item in changed] == [(item.id, item.text) for item in ITEMS]
    assert changed[0].hash != ITEMS[0].hash


def test_items_without_an_entry_are_refused_with_the_first_one_named():
    with pytest.raises(
        InputError, match=r"2 of 3 news items have no label, first 'b' .*'a'.*; give each item one"
    ):
        with_severity(ITEMS, {"a": 1})
    with pytest.raises(InputError, match="3 of 3 news items have no label, first 'a'; give"):
        with_severity(ITEMS, {})


def test_labels_of_other_news_are_refused_with_the_first_one_named():
    labels = {"a": 1, "b": 0, "c": 0, "A": 1, "d": None}
    with pytest.raises(
        InputError, match=r"2 of 5 labels are of no news item, first 'A' .*'a'.*; take them out"
    ):
        with_severity(ITEMS, labels)
    with pytest.raises(InputError, match="both called 'a'"):
        with_severity([*ITEMS, ITEMS[0]], labels)


@pytest.mark.parametrize("severity", [2, "severe", True])
def test_an_impossible_severity_is_refused(severity):
    with pytest.raises(InputError, match="severity"):
        with_severity(ITEMS[:1], {"a": severity})


def test_what_was_written_is_read(tmp_path):
    labels = {"a": 1, "b": None, 'odd, "id"\n': 0}
    path = tmp_path / "labels.csv"
    write_severity(path, labels)
    assert load_severity(path) == {"a": 1, "b": None, 'odd, "id"': 0}
    with pytest.raises(InputError, match="exists already"):
        write_severity(path, {})
    write_severity(path, {"a": 0}, force=True)
    assert load_severity(str(path)) == {"a": 0}


def test_a_file_that_cannot_be_written_is_refused_before_or_after(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        write_severity(tmp_path / "missing" / "labels.csv", {})
    with pytest.raises(StorageError, match="could not be written"):
        write_severity(tmp_path / ("x" * 250), {})


@pytest.mark.parametrize(
    ("labels", "said"),
    [({"a": 2}, "field 'severity': id 'a' with severity 2"), ({"a": True}, "True"), ({" ": 0}, "field 'id'")],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, labels, said):
    with pytest.raises(InputError, match=said):
        write_severity(tmp_path / "labels.csv", labels)
    assert list(tmp_path.iterdir()) == []


def test_words_and_json_lines_are_read_too(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"ID": "a", "severity": "severe"}\n{"id": "b", "severity": 0}\n{"id": "c"}\n')
    assert load_severity(path) == {"a": 1, "b": 0, "c": None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,sevrity\na,1\n", r"field 'severity': there is no such column; did you mean 'sevrity'\?"),
        ("name,severity\na,1\n", "field 'id': there is no such column"),
        ("id,severity\na,1\nb,5\n", "row 3, field 'severity': '5' is no severity"),
        ("id,severity\na,1\na,1\n", "row 3, field 'id': 'a' stands twice"),
        ("id,severity\n,1\n", "row 2, field 'id': is empty"),
        ("id,severity\na\n", "row 2: has 1 field where the header has 2"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_by_row_and_field(tmp_path, text, said):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        load_severity(path)
    assert str(caught.value).startswith(str(path))


NEWS = "id,text,severity\na,One.,0\nb,Two.,1\nc,Three.,\n"


@pytest.fixture
def news(tmp_path):
    path = tmp_path / "news.csv"
    path.write_text(NEWS)
    return path


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,severity\na,1\nb,1\nc,peaceful\n")
    return path


def test_a_news_file_is_loaded_with_the_severities_of_labels(news, labels):
    loaded = load_news(news, severity=labels)
    assert [item.severity for item in loaded.items] == [1, 1, 0]
    assert loaded.warnings == (
        f"severities are those of {labels}; in 2 rows of 3 they are not the file's own",
    )
    assert load_table(news, severity={"a": 1, "b": 1, "c": 0}).items == loaded.items
    unknown = load_news(news, severity={"a": 0, "b": None, "c": None})
    assert "2 rows of 3 without severity" in unknown.warnings[1]
    assert validate_news(news, severity=labels).by_severity == {"peaceful": 1, "severe": 2, "unknown": 0}


def test_labels_that_do_not_fit_the_file_are_refused_with_their_own_file_named(news, labels):
    labels.write_text("id,severity\na,1\nb,1\n")
    with pytest.raises(InputError, match="1 of 3 news items have no label, first 'c'") as caught:
        load_news(news, severity=labels)
    assert str(caught.value).startswith(str(labels))
    assert validate_news(news, severity=labels).problems == (str(caught.value),)
    labels.write_text("id,severity\na,1\nb,1\nc,0\nx,0\n")
    with pytest.raises(InputError, match="1 of 4 labels are of no news item, first 'x'"):
        load_news(news, severity=labels)
    with pytest.raises(InputError, match="there is no such file"):
        load_news(news, severity=labels.with_name("none.csv"))


def test_problems_of_the_news_come_before_those_of_labels(news, labels):
    news.write_text(NEWS.replace("Three.", ""))
    report = validate_news(news, severity=labels)
    assert len(report.problems) == 1
    assert "row 4, field 'text'" in report.problems[0]


def test_a_label_outside_the_codebook_leaves_nothing_open_where_labels_decide(tmp_path):
    path = tmp_path / "news.csv"
    path.write_text("id,text,event_type\na,One.,Duel\n")
    assert load_news(path).warnings[0].endswith("; such labels leave the severity unknown")
    assert not any("leave" in warning for warning in load_news(path, severity={"a": 1}).warnings)


@pytest.mark.parametrize("load", [load_acled, load_ucdp])
def test_every_loader_takes_labels(load, tmp_path, ucdp_and_acled):
    path, name = ucdp_and_acled[load is load_ucdp]
    assert load(path, severity={name: 0}).items[0].severity == 0
    with pytest.raises(InputError, match="no label"):
        load(path, severity={})


@pytest.fixture
def ucdp_and_acled(tmp_path):
    acled, ucdp = tmp_path / "acled.csv", tmp_path / "ucdp.csv"
    acled.write_text("event_id_cnty,notes,event_date,event_type\nPHL1,News.,2021-03-09,Battles\n")
    ucdp.write_text(
        "id,date_start,date_end,type_of_violence,side_a,side_b,best,country,where_coordinates,date_prec,"
        "deaths_a,deaths_b,deaths_civilians,deaths_unknown,where_prec\n"
        "7,2021-03-09,2021-03-09,1,Army,Rebels,2,Philippines,Naga,1,1,1,0,0,1\n"
    )
    return (acled, "PHL1"), (ucdp, "7")


class Design(CascadeExperiment):
    n_agents = 32
    steps = 2
    repeats = 1
    items_per_severity = 1


def test_a_run_plays_the_severities_of_clusters(play, tmp_path):
    items = sample_news().items
    flip = {0: (1.0, 0.0), 1: (0.0, 1.0)}
    vectors = np.array([flip[item.severity] for item in items]) + np.linspace(0, 0.01, len(items))[:, None]
    rows = [("", "Protests", "Peaceful protest") if v[0] < 0.5 else ("", "Battles", "") for v in vectors]
    clusters = cluster_severity(vectors, [item.id for item in items], rows, severity_of, max_clusters=2)
    write_severity(tmp_path / "labels.csv", clusters.severity)
    run = play(Design(news_severity=tmp_path / "labels.csv"))
    own = {item.id: item.severity for item in items}
    played = dict(run.query("SELECT id, severity FROM news").itertuples(index=False))
    assert sorted(played.values()) == [0, 1]
    assert all(severity == 1 - own[name] for name, severity in played.items())


def test_a_design_takes_labels_for_a_file_and_finds_too_few_by_them(news, labels):
    chosen = Design(news=str(news), news_severity=labels).choose_news(3)
    assert [(item.id, item.severity) for item in chosen] in ([("c", 0), ("a", 1)], [("c", 0), ("b", 1)])
    labels.write_text("id,severity\na,1\nb,1\nc,1\n")
    with pytest.raises(DesignError, match="0 peaceful and 3 severe"):
        Design(news=str(news), news_severity=labels).choose_news(3)


def test_labels_are_given_on_the_command_line(command, small, news, labels):
    news.write_text("id,text\na,One.\nb,Two.\nc,Three.\n")
    shown = command("news", "validate", news, "--severity", labels, "--json")
    assert shown.code == 0
    assert '"severe": 2' in shown.out
    done = command("run", small, "--news", news, "-S", f"news.severity={labels}", "-S", "runs=r")
    assert done.code == 0, done.err
    labels.write_text("id,severity\na,1\n")
    refused = command("news", "validate", news, "--severity", labels)
    assert refused.code == 2
    assert "problems: 1, the first being" in refused.err
    refused = command("run", small, "-S", f"news.severity={labels}")
    assert refused.code == 2
    assert "news items have no label" in refused.err


@pytest.mark.parametrize("written", ["cp1252", "utf-8"])
def test_labels_are_read_as_what_they_are_beside_news_of_another_encoding(tmp_path, written):
    (tmp_path / "news.csv").write_text("id,text\nñ1,A fair.\nñ2,A raid.\n", encoding="cp1252")
    (tmp_path / "labels.csv").write_text("id,severity\nñ1,0\nñ2,1\n", encoding=written)
    news = load_news(tmp_path / "news.csv", severity=tmp_path / "labels.csv", encoding="cp1252")
    assert [item.severity for item in news.items] == [0, 1]
