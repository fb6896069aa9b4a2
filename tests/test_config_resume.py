"""Settings survive the event log exactly, and a resumed run keeps its design."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentnet.config import Flag, Settings, StackSettings, configuration_for_resume, load_configuration
from agentnet.config.secrets import looks_secret
from agentnet.config.sections import may_change, section_of
from agentnet.errors import ConfigurationError

free_values = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$toml", "a", "b c", "é", "x.y"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture
def recorded(tmp_path):
    flags = [
        "seed=3",
        "repeats=2",
        "network_options.k=5",
        "news.path=n.csv",
        "backend.base_url=a",
        "log.group_s=1",
    ]
    return load_configuration(folder=tmp_path, environ={}, flags=flags).settings


def refusal(recorded, *flags, **more):
    with pytest.raises(ConfigurationError) as caught:
        configuration_for_resume(recorded, flags=flags, **more)
    return str(caught.value)


@given(value=free_values, seed=st.integers(-(2**63), 2**63 - 1), rate=st.floats(0, 1e6))
def test_settings_survive_json_exactly(value, seed, rate):
    settings = Settings.model_validate(
        {
            "seed": seed,
            "runs": "some/where",
            "backend": {"name": "b", "option": value},
            "log": {"group_s": rate},
            "experiment": {"name": value, "options": {"deep": value}},
        }
    )
    text = settings.to_json()
    assert text.isascii()
    back = Settings.from_json(text)
    assert back == settings
    assert back.to_json() == text


def test_the_record_of_older_settings_gets_the_defaults_of_newer_ones():
    assert Settings.from_json('{"seed": 3}') == Settings(seed=3)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "no JSON: "),
        ("[]", "should be a valid dictionary"),
        ('{"engine": {"gears": 3}}', "engine.gears: Extra inputs are not permitted"),
        ('{"experiment": {"x": NaN}}', "experiment.x: Value error, should be a text, a number"),
        ('{"experiment": {"x": null}}', "experiment.x: Value error, should be a text, a number"),
        ('{"backend": {"api_key": "sk"}}', "backend: Value error, api_key looks like a secret"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused(text, fault):
    with pytest.raises(ConfigurationError, match="recorded settings cannot be read") as caught:
        Settings.from_json(text)
    assert fault in str(caught.value)


def test_settings_are_frozen_and_can_be_sent_to_other_processes(recorded):
    with pytest.raises(ValidationError, match="frozen"):
        recorded.seed = 4
    with pytest.raises(ValidationError, match="frozen"):
        recorded.backend.base_url = "b"
    assert pickle.loads(pickle.dumps(recorded)) == recorded


def test_without_flags_a_run_goes_on_as_recorded(recorded):
    configuration = configuration_for_resume(Settings.from_json(recorded.to_json()))
    assert configuration.settings == recorded
    assert configuration.origin("seed") == "the run's record"


@pytest.mark.parametrize(
    "flag",
    [
        "engine.workers=8",
        "engine.realizations_at_once=2",
        "engine.on_missing=stop",
        "engine.max_missing=0.5",
        "engine.brake_after=40",
        "engine={workers = 8}",
        "log.group_rows=5",
        "log.group_s=2",
        "log.parquet=false",
        "runs=elsewhere",
        "backend.base_url=b",
        "backend.endpoints=['a', 'b']",
        "backend.timeout_s=3",
        "backend.latency_s=0.5",
    ],
)
def test_how_the_work_is_done_may_change(recorded, flag):
    configuration = configuration_for_resume(recorded, flags=[flag])
    assert configuration.settings != recorded
    assert configuration.settings.experiment == recorded.experiment
    assert f"-S {flag}" in configuration.origins.values()


@pytest.mark.parametrize(
    ("flag", "change"),
    [
        ("seed=4", "seed was 3 when this run began and cannot become 4"),
        ("repeats=3", "experiment.repeats was 2 when this run began and cannot become 3"),
        ("repeats=2.0", "experiment.repeats was 2 when this run began and cannot become 2.0"),
        ("steps=4", "experiment.steps was not set when this run began and cannot become 4"),
        ("network_options.k=4", "experiment.network_options.k was 5 when this run began and cannot become 4"),
        ("news.path=m.csv", 'news.path was "n.csv" when this run began and cannot become "m.csv"'),
        ("news.columns.text=t", 'news.columns.text was not set when this run began and cannot become "t"'),
        ("backend.name=openai", 'backend.name was "mock" when this run began and cannot become "openai"'),
        ("backend.model=m", 'backend.model was not set when this run began and cannot become "m"'),
        ("backend.law=table", 'backend.law was not set when this run began and cannot become "table"'),
        ("engine.max_asks=9", "engine.max_asks was 3 when this run began and cannot become 9"),
    ],
)
def test_a_change_of_the_design_asks_for_a_new_run(recorded, flag, change):
    assert refusal(recorded, flag) == f"-S {flag}: {change}; start a new run for that"


def test_the_same_design_may_be_given_again(recorded):
    flags = [
        "seed=3",
        "experiment.repeats=2",
        Flag("--news", "news.path", "n.csv"),
        "network_options={k = 5}",
    ]
    assert configuration_for_resume(recorded, flags=flags).settings == recorded


def test_a_cleared_part_of_the_design_is_a_change_too(recorded):
    message = refusal(recorded, "experiment={}")
    assert "experiment.repeats was 2 when this run began and cannot become not set" in message
    assert "experiment.network_options.k was 5" in message


def test_long_values_that_differ_at_their_end_are_a_change(tmp_path):
    recorded = load_configuration(folder=tmp_path, environ={}, flags=[f"title={'x' * 200}1"]).settings
    assert "cannot become" in refusal(recorded, f"title={'x' * 200}2")


def test_all_changes_of_the_design_are_reported_at_once(recorded):
    first, *changes = refusal(recorded, "seed=4", "engine.workers=3", "engine.max_asks=9").split("\n  - ")
    assert first == "this run cannot go on with other settings of its design:"
    assert [change.split(": ")[0] for change in changes] == ["-S seed=4", "-S engine.max_asks=9"]


def test_a_wrong_flag_is_refused_on_resuming_as_ever(recorded):
    assert refusal(recorded, "engine.wrokers=4").startswith(
        "-S engine.wrokers=4: engine.wrokers is no setting"
    )


def test_a_backend_names_further_options_that_may_change(recorded):
    flags = ["backend.region=eu"]
    assert "backend.region was not set" in refusal(recorded, *flags, operational_options=["zone"])
    resumed = configuration_for_resume(recorded, flags=flags, operational_options=["region"])
    assert resumed.settings.backend.options["region"] == "eu"
    assert "experiment.region was" in refusal(recorded, "region=eu", operational_options=["region"])


def declared(section=Settings, above=()):
    for name, field in section.model_fields.items():
        inner = section_of(field)
        yield (*above, name), field
        yield from declared(inner, (*above, name)) if inner else ()


def test_only_settings_of_how_the_work_is_done_are_marked_as_such():
    assert {".".join(key) for key, _ in declared() if may_change(key)} == {
        "runs",
        "engine.workers",
        "engine.realizations_at_once",
        "engine.on_missing",
        "engine.max_missing",
        "engine.brake_after",
        "engine.run_ahead",
        "log.group_rows",
        "log.group_s",
        "log.parquet",
        *(f"stack.{name}" for name in StackSettings.model_fields),
    }


def test_every_setting_says_what_it_is_and_none_looks_like_a_secret():
    for key, field in declared():
        assert field.description, key
        assert not looks_secret(key[-1]), key


def test_equal_settings_have_the_same_record_in_whatever_order_they_were_given(tmp_path):
    flags = ["repeats=2", "steps=3", "backend.model=m", "backend.base_url=a"]
    one, other = (
        load_configuration(folder=tmp_path, environ={}, flags=order).settings
        for order in (flags, flags[::-1])
    )
    assert one.to_json() == other.to_json()


def test_the_record_is_plain_json(recorded):
    record = json.loads(recorded.to_json())
    assert record["backend"] == {"name": "mock", "base_url": "a"}
    assert record["experiment"] == {"repeats": 2, "network_options": {"k": 5}}
    assert record["news"]["path"] == "n.csv"
