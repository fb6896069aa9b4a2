"""Layers win in their order, and every value knows where it came from."""

from itertools import combinations
from pathlib import Path

import pytest

from agentnet.config import Flag, load_configuration, secrets_environ

LAYERS = ("agentnet.toml", ".env", "environment AGENTNET_SEED", "-S seed=5")
SUBSETS = [subset for n in range(5) for subset in combinations(range(4), n)]


@pytest.fixture
def load(tmp_path):
    """Load the configuration of a folder with the given files."""

    def load(*flags, toml=None, dotenv=None, environ=None, config_file=None):
        for name, text in (("agentnet.toml", toml), (".env", dotenv)):
            if text is not None:
                (tmp_path / name).write_text(text, encoding="utf-8")
        return load_configuration(
            folder=tmp_path, environ=environ or {}, config_file=config_file, flags=flags
        )

    return load


def origins(configuration):
    return {row.key: row.origin for row in configuration.rows() if row.origin != "default"}


@pytest.mark.parametrize("present", SUBSETS, ids=str)
def test_the_last_layer_that_sets_a_value_wins_and_is_its_origin(load, present):
    configuration = load(
        *(["seed=5"] if 3 in present else []),
        toml="seed = 2\n" if 0 in present else None,
        dotenv="AGENTNET_SEED=3\n" if 1 in present else None,
        environ={"AGENTNET_SEED": "4"} if 2 in present else {},
    )
    assert configuration.settings.seed == (max(present) + 2 if present else 0)
    assert configuration.origin("seed") == (LAYERS[max(present)] if present else "default")


def test_without_any_layer_the_defaults_hold(load):
    settings = load().settings
    assert (settings.seed, settings.runs, settings.backend.name) == (0, Path("runs"), "mock")
    assert settings.backend.options == {}
    assert settings.engine.model_dump() == {
        "workers": 64,
        "realizations_at_once": 64,
        "max_asks": 3,
        "on_missing": "keep going",
        "max_missing": 0.05,
        "brake_after": 20,
        "run_ahead": False,
    }
    assert settings.sampler.mode == "call"
    assert settings.log.model_dump() == {"group_rows": 1000, "group_s": 0.25, "parquet": True}
    unset = dict.fromkeys(("path", "kind", "severity", "date_format", "encoding"))
    assert settings.news.model_dump() == {**unset, "columns": {}}
    assert settings.experiment.overrides == {}


def test_every_section_can_be_set_in_the_file(load):
    settings = load(
        toml="""
            seed = -7
            runs = "elsewhere"
            [backend]
            name = "openai"
            model = "gpt-4o"
            limits = { per_minute = 60 }
            [engine]
            on_missing = "stop"
            [log]
            group_s = 1
            parquet = false
            [news]
            path = "news.csv"
            kind = "acled"
            severity = "labels.csv"
            date_format = "%d/%m/%Y"
            encoding = "cp1252"
            [news.columns]
            text = "notes"
            [experiment]
            repeats = 2
            network_options.rewiring = 0.1
        """
    ).settings
    assert (settings.seed, settings.runs) == (-7, Path("elsewhere"))
    assert settings.backend.name == "openai"
    assert settings.backend.options == {"model": "gpt-4o", "limits": {"per_minute": 60}}
    assert settings.engine.on_missing == "stop"
    assert (settings.log.group_s, settings.log.parquet) == (1.0, False)
    assert settings.news.model_dump() == {
        "path": Path("news.csv"),
        "kind": "acled",
        "columns": {"text": "notes"},
        "severity": Path("labels.csv"),
        "date_format": "%d/%m/%Y",
        "encoding": "cp1252",
    }
    assert settings.experiment.overrides == {"repeats": 2, "network_options": {"rewiring": 0.1}}


def test_a_given_file_replaces_the_folders_own(load, tmp_path):
    (tmp_path / "other.toml").write_text("runs = 'there'\n", encoding="utf-8")
    configuration = load(toml="seed = 2\n", config_file=Path("other.toml"))
    assert configuration.settings.seed == 0
    assert origins(configuration) == {"runs": "other.toml"}
    assert load(config_file=tmp_path / "other.toml").origin("runs") == str(tmp_path / "other.toml")


def test_a_byte_order_mark_does_no_harm(load):
    assert load(toml="\ufeffseed = 2\n", dotenv="\ufeffAGENTNET_RUNS=r\n").settings.seed == 2


def test_a_folder_called_dotenv_or_a_missing_folder_is_no_file(tmp_path):
    (tmp_path / ".env").mkdir()
    assert load_configuration(folder=tmp_path, environ={}).origins == {}
    assert secrets_environ(tmp_path / "missing", {"A": "1"}) == {"A": "1"}


def test_names_of_variables_nest_by_double_underscores_in_any_case(load):
    configuration = load(
        dotenv="agentnet_news__columns__text=notes\n",
        environ={"AGENTNET_ENGINE__MAX_ASKS": "5", "Agentnet_Backend__Base_Url": "http://localhost:1/v1"},
    )
    assert configuration.settings.news.columns == {"text": "notes"}
    assert configuration.settings.engine.max_asks == 5
    assert configuration.settings.backend.options == {"base_url": "http://localhost:1/v1"}
    assert origins(configuration) == {
        "news.columns.text": ".env",
        "engine.max_asks": "environment AGENTNET_ENGINE__MAX_ASKS",
        "backend.base_url": "environment Agentnet_Backend__Base_Url",
    }


def test_a_variable_for_a_key_wins_over_one_for_its_table_in_any_order(load):
    environ = {"AGENTNET_ENGINE__WORKERS": "8", "AGENTNET_ENGINE": "{workers = 9, max_asks = 2}"}
    for items in (environ.items(), reversed(environ.items())):
        engine = load(environ=dict(items)).settings.engine
        assert (engine.workers, engine.max_asks) == (8, 2)


def test_variables_of_others_are_left_alone(load):
    environ = {"AGENTNET": "x", "AGENTNETWORK_SEED": "3", "SEED": "4", "MY_AGENTNET_SEED": "5"}
    assert load(environ=environ, dotenv="SEED=6\nexport OTHER\n").origins == {}


def test_neither_the_process_environment_nor_its_folder_is_read(load, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "agentnet.toml").write_text("seed = 8\n", encoding="utf-8")
    (elsewhere / ".env").write_text("AGENTNET_SEED=8\n", encoding="utf-8")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("AGENTNET_SEED", "9")
    assert load().settings.seed == 0


def test_a_dollar_sign_in_dotenv_stands_for_itself(load, monkeypatch):
    monkeypatch.setenv("HOME", "nowhere")
    assert load(dotenv="AGENTNET_RUNS=${HOME}/runs\n").settings.runs == Path("${HOME}/runs")


@pytest.mark.parametrize(
    ("flag", "overrides"),
    [
        ("repeats=2", {"repeats": 2}),
        ("experiment.repeats=2", {"repeats": 2}),
        ("network_options.rewiring=0.1", {"network_options": {"rewiring": 0.1}}),
        ("workers=3", {"workers": 3}),
        ("title=a = b", {"title": "a = b"}),
        ("experiment={a = {b = 1}}", {"a": {"b": 1}}),
        ('"my title" = x', {"my title": "x"}),
    ],
)
def test_a_flag_of_no_section_and_no_setting_belongs_to_the_experiment(load, flag, overrides):
    configuration = load(flag)
    assert configuration.settings.experiment.overrides == overrides
    assert set(origins(configuration).values()) == {f"-S {flag}"}


def test_a_named_flag_is_taken_as_it_is(load):
    configuration = load(
        Flag("--model", "backend.model", "4"),
        Flag("--news", "news.path", Path("n.csv")),
        Flag("--replay", "backend.replay", Path("r")),
        Flag("--repeats", "repeats", 3),
    )
    assert configuration.settings.backend.options == {"model": "4", "replay": "r"}
    assert configuration.settings.news.path == Path("n.csv")
    assert configuration.settings.experiment.overrides == {"repeats": 3}
    assert origins(configuration) == {
        "backend.model": "--model 4",
        "backend.replay": "--replay r",
        "news.path": "--news n.csv",
        "experiment.repeats": "--repeats 3",
    }


def test_of_two_flags_for_one_key_the_later_counts(load):
    assert load("seed=1", Flag("--seed", "seed", 2)).origin("seed") == "--seed 2"
    assert load(Flag("--seed", "seed", 2), "seed=1").settings.seed == 1


def test_tables_are_merged_key_by_key(load):
    configuration = load(
        "news.columns.date=when",
        "experiment.options={b = 3}",
        toml="[news.columns]\ntext = 'notes'\ndate = 'day'\n[experiment.options]\na = 1\nb = 2\n",
    )
    assert configuration.settings.news.columns == {"text": "notes", "date": "when"}
    assert configuration.settings.experiment.overrides == {"options": {"a": 1, "b": 3}}
    assert origins(configuration) == {
        "news.columns.text": "agentnet.toml",
        "news.columns.date": "-S news.columns.date=when",
        "experiment.options.a": "agentnet.toml",
        "experiment.options.b": "-S experiment.options={b = 3}",
    }


def test_an_empty_table_clears_and_arrays_are_replaced(load):
    toml = "[news.columns]\ntext = 'notes'\n[experiment]\nseverities = [0, 1]\n"
    configuration = load("news.columns={}", "severities=[1]", toml=toml)
    assert configuration.settings.news.columns == {}
    assert configuration.settings.experiment.overrides == {"severities": [1]}
    assert set(configuration.origins) == {"news.columns", "experiment.severities"}
    assert load("x.a=1", "x={}", "x.b=2").settings.experiment.overrides["x"] == {"b": 2}


def test_a_value_gives_way_to_a_table_and_a_table_to_a_value(load):
    toml = "[experiment]\nnetwork = 'ring'\n[experiment.news]\na = 1\n"
    overrides = load("network.kind=regular", "experiment.news=none", toml=toml).settings.experiment.overrides
    assert overrides == {"network": {"kind": "regular"}, "news": "none"}


def test_the_origin_of_a_table_is_that_of_its_last_setting(load):
    configuration = load("options.a=1", toml="[experiment]\noptions.b = 2\n")
    assert configuration.origin("experiment.options") == "-S options.a=1"
    assert configuration.origin("experiment.option") == "default"


def test_rows_list_every_value_with_its_meaning(load):
    rows = load("repeats=2", "backend.model=gpt-4o", 'news.columns."event id"=id').rows()
    assert rows[0] == ("seed", "0", "default", "the run's seed, an integer of 64 bits")
    assert rows[1] == ("runs", '"runs"', "default", "folder of the run folders")
    by_key = {row.key: row for row in rows}
    assert len(by_key) == len(rows)
    assert by_key["backend.model"][1:] == ('"gpt-4o"', "-S backend.model=gpt-4o", "option of the backend")
    assert by_key["experiment.repeats"].description == "attribute of the experiment's design"
    assert by_key['news.columns."event id"'].description == by_key_description("news.columns")
    assert by_key["news.path"].value == "(none)"
    assert by_key["log.parquet"].value == "true"
    assert all(row.description for row in rows)


def by_key_description(key):
    rows = load_configuration(folder=Path("nowhere"), environ={}).rows()
    return next(row.description for row in rows if row.key == key)


def test_a_long_value_is_whole_in_its_row_and_short_in_its_origin(load):
    long = "x" * 500
    row = next(row for row in load(f"title={long}").rows() if row.key == "experiment.title")
    assert row.value == f'"{long}"'
    assert row.origin.endswith("...")
    assert len(row.origin) < 100


def test_backends_find_their_keys_in_the_environment_over_dotenv(tmp_path):
    (tmp_path / ".env").write_text(
        "OPENAI_API_KEY='from file'\nOTHER_TOKEN=$x # note\nexport NAKED\n", encoding="utf-8"
    )
    environ = {"OPENAI_API_KEY": "from environment", "HOME": "h"}
    assert secrets_environ(tmp_path, environ) == {
        "OPENAI_API_KEY": "from environment",
        "OTHER_TOKEN": "$x",
        "HOME": "h",
    }
    assert environ == {"OPENAI_API_KEY": "from environment", "HOME": "h"}
