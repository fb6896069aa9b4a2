"""The synthetic sample: its shape, its consistency, and the packaged file."""

import collections
import datetime as dt
import re
from importlib.resources import files

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.cli.news import news
from agentnet.errors import DesignError, InputError, StorageError
from agentnet.news import choose, load_news, sample_news, severity_of, synthesize
from agentnet.news.acled_server import ACLED_COLUMNS, acled_writer
from agentnet.news.severity import disorder_type_of
from agentnet.news.sources.acled import ACTOR_TYPES, SYNTHETIC_SOURCE, interaction_of


@pytest.fixture(scope="module")
def rows():
    return synthesize(2000, 11)


def severity(row):
    return severity_of(row["disorder_type"], row["event_type"], row["sub_event_type"])


def test_the_packaged_sample_is_what_the_command_writes_by_default(tmp_path):
    out = tmp_path / "again.csv"
    result = CliRunner().invoke(news, ["synth", "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    packaged = files("agentnet.news") / "data" / "synthetic_philippines.csv"
    assert out.read_bytes() == packaged.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.csv"]


def test_the_packaged_sample_serves_the_papers_design_and_is_marked_as_synthetic():
    sample = sample_news()
    assert sample is sample_news()
    assert len(sample.items) == 240
    assert sample.warnings == sample.licences == ()
    assert {one.source for one in sample.items} == {"synthetic"}
    assert len(choose(sample.items, 25, seed=1)) == 50


def test_every_row_is_marked_as_synthetic_but_its_notes_are_not(rows):
    for row in rows:
        assert (row["source"], row["tags"]) == (SYNTHETIC_SOURCE, "synthetic")
        assert row["event_id_cnty"].startswith("SYN")
        assert not any(mark in row["notes"].lower() for mark in ("synthetic", "agentnet", "syn0"))
    assert [row["event_id_cnty"] for row in rows[:2]] == ["SYN000001", "SYN000002"]
    assert len({row["event_id_cnty"] for row in rows}) == len(rows)


def test_every_row_has_the_columns_of_the_export_in_order_and_consistent_fields(rows):
    for row in rows:
        assert tuple(row) == ACLED_COLUMNS
        assert row["disorder_type"] == disorder_type_of(row["event_type"], row["sub_event_type"])
        assert row["interaction"] == interaction_of(row["inter1"], row["inter2"])
        assert {row["inter1"], row["inter2"]} <= {"", *ACTOR_TYPES}
        assert (row["actor2"] == "") == (row["inter2"] == "")
        assert row["civilian_targeting"] == ("Civilian targeting" if row["inter2"] == "Civilians" else "")
        day = dt.date.fromisoformat(row["event_date"])
        assert dt.date(2021, 2, 24) <= day <= dt.date(2024, 2, 27)
        assert int(row["year"]) == day.year
        recorded = dt.datetime.fromtimestamp(int(row["timestamp"]), dt.UTC).date()
        assert dt.timedelta(3) <= recorded - day <= dt.timedelta(10)
        assert 4 < float(row["latitude"]) < 21
        assert 116 < float(row["longitude"]) < 127
        assert row["admin2"] in row["notes"]


COUNTS = {"no": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
TOLL = re.compile(r"(\w+) fighters? (?:was|were) killed, (\w+) soldiers? (?:was|were) killed and")


def told_deaths(row):
    """Count the deaths that the notes tell of."""
    kind, notes = row["sub_event_type"], row["notes"]
    if kind == "Armed clash":
        return sum(COUNTS[word.lower()] for word in TOLL.search(notes).groups())
    if kind == "Attack":
        companions = re.search(r"and (\w+) companions?", notes)
        return 1 + (COUNTS[companions[1]] if companions else 0)
    killed = re.search(r"killing (\w+) (?:person|people)", notes)
    return COUNTS[killed[1]] if killed else int(kind == "Mob violence")


def test_deaths_in_the_notes_and_in_the_count_agree(rows):
    assert [told_deaths(row) for row in rows] == [int(row["fatalities"]) for row in rows]


def test_notes_have_the_length_of_news_and_hardly_ever_repeat(rows):
    lengths = [len(row["notes"]) for row in rows]
    assert min(lengths) >= 150
    assert max(lengths) <= 500
    assert max(lengths) - min(lengths) > 200
    assert len({row["notes"] for row in rows}) > 0.99 * len(rows)
    assert not any("{" in row["notes"] or "  " in row["notes"] for row in rows)


def test_attacks_on_civilians_are_the_commonest_severe_events(rows):
    counted = collections.Counter(row["sub_event_type"] for row in rows if severity(row) == 1)
    assert counted.most_common(1)[0][0] == "Attack"
    assert len(counted) == 6
    assert {row["sub_event_type"] for row in rows if severity(row) == 0} == {"Peaceful protest"}


def test_clustering_the_words_finds_the_two_severities(rows):
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    some = rows[:300]
    points = TfidfVectorizer(stop_words="english").fit_transform(row["notes"] for row in some)
    axes = TruncatedSVD(2, random_state=0).fit_transform(points)
    cluster = KMeans(2, n_init=5, random_state=0).fit_predict(axes)
    same = sum(int(found) == severity(row) for found, row in zip(cluster, some, strict=True))
    assert max(same, len(some) - same) >= 0.98 * len(some)


@settings(max_examples=25)
@given(n=st.integers(1, 40), seed=st.integers(-5, 2**63), fraction=st.floats(0, 1))
def test_the_share_of_severe_events_is_exact_and_the_seed_fixes_everything(n, seed, fraction):
    made = synthesize(n, seed, fraction)
    assert len(made) == n
    assert abs(sum(severity(row) for row in made) - n * fraction) <= 0.5
    assert [row["event_date"] for row in made] == sorted(row["event_date"] for row in made)
    assert synthesize(n, seed, fraction) == made


def test_another_seed_makes_other_events_and_more_events_keep_the_first():
    notes = {row["notes"] for row in synthesize(40, 1)}
    assert not notes & {row["notes"] for row in synthesize(40, 2)}
    assert notes <= {row["notes"] for row in synthesize(60, 1)}


@pytest.mark.parametrize(("n", "fraction"), [(0, 0.5), (5, -0.1), (5, 1.1), (5, float("nan"))])
def test_an_impossible_sample_is_refused(n, fraction):
    with pytest.raises(DesignError, match=r"n is 0|must be a finite number|must be in \[0, 1\]"):
        synthesize(n, 1, fraction)


def test_synth_replaces_a_file_only_when_forced(tmp_path):
    out = tmp_path / "s.csv"
    out.write_text("precious")
    result = CliRunner().invoke(news, ["synth", "--n", "4", "--out", str(out)])
    assert isinstance(result.exception, InputError)
    assert "exists already" in str(result.exception)
    assert out.read_text() == "precious"
    command = ["synth", "--n", "4", "--seed", "9", "--severe-fraction", "0.25", "--out", str(out), "--force"]
    result = CliRunner().invoke(news, command, catch_exceptions=False)
    assert (result.stdout, result.stderr) == ("", f"wrote 4 synthetic events to {out}\n")
    assert sorted(one.severity for one in load_news(out).items) == [0, 0, 0, 1]


def test_a_target_that_cannot_be_made_is_refused_before_any_work(tmp_path):
    for target, words in ((tmp_path, "is a folder"), (tmp_path / "no" / "s.csv", "make it first")):
        with pytest.raises(InputError, match=words), acled_writer(target, force=True):
            pytest.fail("the writer opened")


def write_then(path, happens):
    with acled_writer(path) as write:
        write(synthesize(3, 1))
        assert not path.exists()
        happens()


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    out = tmp_path / "s.csv"
    with pytest.raises(KeyboardInterrupt):
        write_then(out, interrupt)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="exists already"):
        write_then(out, lambda: out.write_text("made meanwhile"))
    assert out.read_text() == "made meanwhile"
    assert list(tmp_path.iterdir()) == [out]


def test_a_full_disk_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No space left"), acled_writer(tmp_path / "s.csv"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []
