"""A wrong setting is reported with its origin, key, value and the way out; a secret is never repeated."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from agentnet.config import BackendSettings, ExperimentSettings, Flag, load_configuration, secrets_environ
from agentnet.config.secrets import looks_secret, shown_value
from agentnet.errors import ConfigurationError

SECRET = "sk-do-not-tell"


@pytest.fixture
def complaint(tmp_path):
    """Load a configuration that cannot be used; give the message."""

    def complaint(*flags, toml=None, dotenv=None, environ=None, config_file=None):
        for name, text in (("agentnet.toml", toml), (".env", dotenv)):
            if text is not None:
                (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            load_configuration(folder=tmp_path, environ=environ or {}, config_file=config_file, flags=flags)
        return str(caught.value)

    return complaint


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (
            "engine.workers=0",
            "engine.workers = 0 should be greater than or equal to 1 (requests in flight at once, 1 to 10",
        ),
        (
            "engine.workers=100001",
            "engine.workers = 100001 should be less than or equal to 100000 (requests in flight at once, ",
        ),
        (
            "engine.max_asks=101",
            "engine.max_asks = 101 should be less than or equal to 100 (how often an unusable reply is as",
        ),
        (
            "engine.on_missing=halt",
            "engine.on_missing = \"halt\" should be 'keep going' or 'stop' (what to do when a decision ",
        ),
        ("seed=3.5", "seed = 3.5 should be a valid integer (the run's seed, an integer of 64 bits)"),
        ("seed=true", "seed = true should be a valid integer (the run's seed, an integer of 64 bits)"),
        ("runs=3", "runs = 3 should be a path, in quotes (folder of the run folders)"),
        ("runs=''", 'runs = "" should be a path, not an empty text (folder of the run folders)'),
        ("news.kind=4", "news.kind = 4 should be a text, in quotes (format of that file, if"),
        ("news.columns=x", 'news.columns = "x" should be a table (which column of that file'),
        ("news.columns.text=1", "news.columns.text = 1 should be a text, in quotes (which column"),
        ("engine=5", "engine = 5 should be a table, as it is a section (how the engine asks)"),
        ("log.group_s=inf", "log.group_s = inf should be a finite number (longest wait"),
        ("log.parquet=1", "log.parquet = 1 should be a valid boolean (whether"),
        ("backend.name=''", 'backend.name = "" should not be empty (backend that'),
        ("backend.x=[nan]", "backend.x = [nan] should be a text, a number (not nan), a date, an array or"),
        ("experiment.x={y = nan}", "experiment.x = {y = nan} should be a text, a number (not nan)"),
    ],
)
def test_an_impossible_value_is_named_with_what_is_expected(complaint, flag, message):
    assert complaint(flag).startswith(f"-S {flag}: {message}")


def test_a_nul_that_an_escape_smuggles_in_is_refused_before_it_names_a_file(complaint):
    assert complaint('runs="a\\u0000b"').startswith("-S runs: runs holds a NUL, which no name of a file may")
    assert complaint(toml='news.path = "a\\u0000"').startswith("agentnet.toml: news.path holds a NUL")
    assert "experiment.network holds a NUL" in complaint('network="a\\u0000.csv"')


def test_every_origin_is_named(complaint, tmp_path):
    assert complaint(environ={"agentnet_SEED": "x"}).startswith(
        'environment agentnet_SEED: seed = "x" should'
    )
    assert complaint(dotenv="AGENTNET_SEED=x\n").startswith('.env: seed = "x" should be')
    assert complaint(Flag("--seed", "seed", "x"), dotenv="").startswith('--seed x: seed = "x" should be')
    assert complaint(toml="seed = 'x'\n").startswith('agentnet.toml: seed = "x" should be')
    (tmp_path / "mine.toml").write_text("seed = 'x'\n", encoding="utf-8")
    assert complaint(config_file=Path("mine.toml")).startswith('mine.toml: seed = "x" should be')


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[engine]\nwrokers = 2\n", "engine.wrokers is no setting; did you mean 'workers'?"),
        (
            "[engine.deep]\nx = 2\n",
            "engine.deep is no setting; known: brake_after, max_asks, max_missing, on_missing, ",
        ),
        (
            "sede = 2\n",
            "sede is no setting; did you mean 'seed'? (an attribute of the experiment is 'experiment.sede')",
        ),
        ("[enigne]\nworkers = 2\nmax_asks = 2\n", "enigne is no setting; did you mean 'engine'? ("),
        (
            "repeats = 2\n",
            "repeats is no setting; known: backend, embedder, engine, experiment, log, news, runs, sampler",
        ),
        ("workers = 2\n", "workers is no setting; did you mean 'engine.workers'?"),
    ],
)
def test_an_unknown_key_is_named_with_the_near_miss(complaint, toml, message):
    assert complaint(toml=toml).startswith(f"agentnet.toml: {message}")


def test_an_unknown_variable_is_an_error_too(complaint):
    message = complaint(environ={"AGENTNET_LOG__GROUPS_S": "1"})
    assert message.startswith("environment AGENTNET_LOG__GROUPS_S: log.groups_s is no setting; did you mean")
    assert complaint("log.rows=1").startswith("-S log.rows=1: log.rows is no setting; ")


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("seed", "-S seed: has no value; write key=value, such as -S engine.workers=8"),
        ("seed=", "-S seed: seed has no value; an empty text is written '\"\"'"),
        ("repeats= ", "-S repeats: experiment.repeats has no value; an empty text is written '\"\"'"),
        ("=3", "-S =...: '' is no key; write key=value with a dotted key"),
        ("a b=3", "-S a b=...: 'a b' is no key; write key=value with a dotted key"),
        ("backend.x=\udcff", "-S backend.x: the value of backend.x is not UTF-8 text"),
        (
            'a=[{"b":}]',
            "-S a: the value of experiment.a is neither TOML nor JSON, at character 7 ('}'): expecting value",
        ),
    ],
)
def test_a_flag_that_is_no_assignment_is_refused(complaint, flag, message):
    assert complaint(flag) == message


def test_a_text_beyond_ascii_is_welcome(tmp_path):
    configuration = load_configuration(folder=tmp_path, environ={}, flags=["title=déjà vu"])
    assert configuration.settings.experiment.overrides == {"title": "déjà vu"}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"AGENTNET_": "3"}, "environment AGENTNET_: AGENTNET_ names no setting; write AGENTNET_SEED or"),
        ({"AGENTNET_ENGINE__": "3"}, "environment AGENTNET_ENGINE__: AGENTNET_ENGINE__ names no setting; "),
        ({"AGENTNET_SEED": ""}, "environment AGENTNET_SEED: seed has no value; an empty text is written"),
        (
            {"AGENTNET_SEED": "3", "agentnet_seed": "3"},
            "environment: AGENTNET_SEED and agentnet_seed are the same setting; keep one",
        ),
    ],
)
def test_a_variable_that_sets_nothing_or_twice_is_refused(complaint, environ, message):
    assert complaint(environ=environ).startswith(message)


def test_a_line_of_dotenv_without_a_value_is_refused_if_it_is_ours(complaint):
    assert complaint(dotenv="OTHER\nAGENTNET_SEED\n").startswith(".env: seed has no value; ")


def test_broken_lines_of_dotenv_are_numbered_and_not_repeated(complaint, tmp_path):
    message = complaint(dotenv=f"A=1\n\n\nOPENAI KEY {SECRET}\nB=2\nC='{SECRET}\n")
    assert message == ".env, line 4, line 6: cannot be read; write NAME=value, with quotes closed"
    with pytest.raises(ConfigurationError, match=r"\.env, line 4, line 6: "):
        secrets_environ(tmp_path, {})


@pytest.mark.parametrize(
    ("toml", "line"),
    [("seed = 1\n\nruns runs\n", 3), ("seed = 1\nruns = 'x\n", 2), ("x = [1,\n2,\n", 2), ("a = 1\na = 2", 2)],
)
def test_broken_toml_is_reported_with_file_and_line(complaint, toml, line):
    message = complaint(toml=toml)
    assert message.startswith("agentnet.toml is not valid TOML: ")
    assert f"(at line {line}, " in message


def test_a_file_that_cannot_be_read_is_named(complaint, tmp_path):
    assert complaint(config_file=Path("no.toml")) == "there is no configuration file no.toml"
    (tmp_path / "folder").mkdir()
    assert complaint(config_file=Path("folder")) == "there is no configuration file folder"
    assert complaint(config_file=Path("x" * 300)).startswith(f"{'x' * 300} cannot be read: ")
    (tmp_path / "latin.toml").write_bytes(b"runs = '\xe9'\n")
    assert complaint(config_file=Path("latin.toml")) == "latin.toml is not UTF-8 text: byte 8 is none"


def test_everything_that_is_wrong_is_reported_at_once(complaint):
    message = complaint(
        "engine.workers=0",
        "seed",
        toml="runs = 4\n[lgo]\nx = 1\n",
        dotenv="AGENTNET_ENGINE__MAX_ASKS=0\n",
        environ={"AGENTNET_": "1", "AGENTNET_LOG__PARQUET": "yes"},
    )
    first, *faults = message.split("\n  - ")
    assert first == "the configuration cannot be used:"
    assert sorted(fault.split(": ")[0] for fault in faults) == [
        "-S engine.workers=0",
        "-S seed",
        ".env",
        "agentnet.toml",
        "agentnet.toml",
        "environment AGENTNET_",
        "environment AGENTNET_LOG__PARQUET",
    ]


def test_a_broken_file_does_not_hide_other_faults(complaint):
    message = complaint("seed=x", toml="seed =\n", dotenv="not a line\n")
    assert [part in message for part in ("not valid TOML", ".env, line 1", "-S seed=x")] == [True] * 3


def test_a_long_value_is_cut_in_the_message(complaint):
    assert len(complaint(f"seed={'x' * 1000}\ny")) < 300


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ({"flags": [f"backend.api_key={SECRET}"]}, "-S backend.api_key: backend.api_key"),
        ({"flags": [f"access_token={SECRET}"]}, "-S access_token: experiment.access_token"),
        ({"flags": [f"engine.password={SECRET}"]}, "-S engine.password: engine.password"),
        (
            {"flags": [f"x=[{{secret = '{SECRET}'}}, {{secret = '{SECRET}'}}]"]},
            "-S x: experiment.x.secret",
        ),
        ({"flags": [Flag("--key", "backend.api_key", SECRET)]}, "--key: backend.api_key"),
        ({"toml": f"[backend]\napi_key = '{SECRET}'\n"}, "agentnet.toml: backend.api_key"),
        ({"toml": f"[[backend]]\napi_key = '{SECRET}'\n"}, "agentnet.toml: backend.api_key"),
        (
            {"toml": f"[backend.headers]\nAuthorization = '{SECRET}'\n"},
            "agentnet.toml: backend.headers.Authorization",
        ),
        ({"dotenv": f"AGENTNET_BACKEND__API_KEY={SECRET}\n"}, ".env: backend.api_key"),
        (
            {"environ": {"AGENTNET_BACKEND__API_KEY": SECRET}},
            "environment AGENTNET_BACKEND__API_KEY: backend.api_key",
        ),
    ],
)
def test_a_secret_among_the_settings_is_refused_without_repeating_it(complaint, where, key):
    flags = where.pop("flags", [])
    message = complaint(*flags, **where)
    assert message.startswith(f"{key} looks like a secret, and settings are stored with the run: keys and ")
    assert (
        "come from the environment or from .env, under the name that the backend reads (OPENAI_API" in message
    )
    assert SECRET not in message
    assert "\n" not in message


def test_broken_toml_does_not_repeat_a_secret(complaint):
    assert SECRET not in complaint(toml=f"[backend]\napi_key = {SECRET}\n")


@pytest.mark.parametrize("section", [BackendSettings, ExperimentSettings])
def test_settings_made_in_python_hold_no_secrets_either(section):
    with pytest.raises(ValidationError, match=r"options\.api_key looks like a secret") as caught:
        section.model_validate({"options": {"api_key": SECRET}})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "api_key",
        "apiKey",
        "APIKEY",
        "x-api-key",
        "api_keys",
        "accesskey",
        "token",
        "hf_token",
        "authToken",
        "password",
        "db_passwd",
        "passphrase",
        "client_secret",
        "Credentials",
        "Authorization",
    ],
)
def test_names_of_secrets_are_recognized(name):
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "monkey", "key_column", "tokenizer", "keys_per_page", "model", "secretary", "turkey"],
)
def test_names_that_only_resemble_secrets_are_not(name):
    assert not looks_secret(name)


def test_a_value_with_a_secret_in_it_is_shown_as_set():
    assert shown_value(("backend", "api_key"), SECRET) == "(set)"
    assert shown_value(("backend", "options"), [{"api_key": SECRET}]) == "(set)"
    assert shown_value(("backend", "model"), "m") == '"m"'


def test_rows_hide_a_secret_that_got_in_without_validation(tmp_path):
    configuration = load_configuration(folder=tmp_path, environ={}, flags=["news.columns.text=t"])
    news = configuration.settings.news.model_copy(update={"columns": {"api_key": SECRET}})
    slipped = type(configuration)(configuration.settings.model_copy(update={"news": news}), {})
    row = next(row for row in slipped.rows() if row.key == "news.columns.api_key")
    assert row.value == "(set)"


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("stack.prices.m.input=1", "stack.prices.m.output is missing (model name -> {input, output}"),
        ("stack.prices.m={input=1, output=1, outputs=2}", "stack.prices.m.outputs is no setting (model name"),
    ],
)
def test_what_a_price_lacks_or_has_too_much_is_named(complaint, flag, said):
    assert f"-S {flag}: {said}" in complaint(flag)
