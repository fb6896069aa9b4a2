"""A model is asked whether it guesses from a run's prompts what the run is for."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from scipy.stats import binomtest, fisher_exact

from agentnet import CascadeExperiment, Run
from agentnet.errors import UserError
from agentnet.guesses import Share, read_guesses, some_prompts
from agentnet.report.credibility import credibility
from agentnet.report.log_facts import read_facts

HYPOTHESIS = "Do open people share more?"

BACKEND = '''
import json
from agentnet.backend import Reply


class Suspicious:
    """Takes for a study what asks about sharing, and names the hypothesis then; does not talk of Bergen."""

    about, needs = "suspects", "nothing"
    name, model_name, worth_caching = "suspicious", "suspicious-1", False

    @classmethod
    def from_options(cls, options, environ=None):
        return cls()

    async def complete(self, request):
        text = request.messages[-1][1]
        if request.schema is None:
            return Reply(("yes" if HYPOTHESIS in text and "openness" in text else "no",))
        if "Bergen" in text:
            return Reply(("I would rather not say.",))
        study = "acled" in text.lower() or "share" in text.lower()
        return Reply((json.dumps({"study": study, "purpose": "openness" if study else "<b>a chore</b>"}),))

    async def aclose(self):
        pass
'''.replace("HYPOTHESIS in", f"{HYPOTHESIS!r} in")


@pytest.fixture
def asked(command, small, tmp_path):
    """Play a small cascade, and ask of its prompts."""
    (tmp_path / "suspicious.py").write_text(BACKEND)
    assert command("run", small, "--out", "run", "--quiet", "-S", "log.parquet=false").code == 0

    def asked(*options):
        done = command("guess", "run", "--backend", "./suspicious.py:Suspicious", *options)
        assert done.code == 0, done.err
        return done

    return asked


def test_what_prompts_betray_is_told_from_what_everyday_requests_do(asked, tmp_path):
    told = json.loads(asked("--n", 6, "--hypothesis", HYPOTHESIS, "--json").out)
    found = read_guesses(tmp_path / "run")
    assert (found.model, found.hypothesis, found.n_missing) == ("suspicious-1", HYPOTHESIS, 1)
    # Nine everyday requests have an answer: what is missing is no "no".
    assert found.study == Share(6, 6, 0, 9)
    assert found.names == Share(6, 6, 0, 9)
    assert told["taken_for_a_study"]["n_yes"] == 6
    assert told["missing"] == 1
    texts = some_prompts(tmp_path / "run", 6)
    assert len(set(texts)) == len(texts) == 6
    recorded = {
        messages for (messages,) in Run(tmp_path / "run" / "guess").rows("SELECT messages FROM prompts")[1]
    }
    assert all(any(json.dumps(text)[1:-1] in messages for messages in recorded) for text in texts)


def test_the_card_says_what_was_guessed(asked, tmp_path):
    before = card(tmp_path)
    assert before["state"] == "met"
    assert "agentnet guess asks one" in before["fact"]
    asked("--n", 6, "--hypothesis", HYPOTHESIS)
    after = card(tmp_path)
    assert after["state"] == "not met"
    assert "took for a study 6 of 6 (61% to 100%), of everyday requests 0 of 9" in after["fact"]
    assert "named the hypothesis, by its own judgement, on 6 of 6" in after["fact"]
    assert "; on 1 it did not answer" in after["fact"]


def card(folder):
    part = SimpleNamespace(facts=read_facts(Run(folder / "run")), told=None)
    (row,) = [row for row in credibility(part).rows if str(row[0]).startswith("unawareness")]
    return {"state": row[1], "fact": row[2]}


def test_what_was_answered_is_not_asked_again_and_another_hypothesis_is_refused(asked, command, tmp_path):
    asked("--n", 3, "--hypothesis", HYPOTHESIS)
    digest = Run(tmp_path / "run" / "guess").digest()
    assert "is finished" in asked("--n", 3).err
    assert Run(tmp_path / "run" / "guess").digest() == digest
    done = command("guess", "run", "--hypothesis", "Something else?")
    assert (done.code, HYPOTHESIS in done.err) == (2, True)
    done = command("guess", "run", "--backend", "mock")
    assert (done.code, "backend.name" in done.err) == (2, True)
    assert (command("guess", "run", "--hypothesis", "  ").code) == 2


def test_a_folder_that_holds_another_run_is_taken_for_no_guesses(command, small, tmp_path):
    assert command("run", small, "--out", "run", "--quiet", "-S", "log.parquet=false").code == 0
    shutil.copytree(tmp_path / "run", tmp_path / "guess")
    (tmp_path / "guess").rename(tmp_path / "run" / "guess")
    done = command("guess", "run")
    assert (done.code, "move that folder away" in done.err) == (2, True)
    with pytest.raises(UserError, match="another run"):
        read_guesses(tmp_path / "run")


def test_a_run_without_prompts_has_nothing_to_guess_from(new_run):
    with pytest.raises(UserError, match="records no prompt"):
        some_prompts(new_run(CascadeExperiment(n_agents=32)).folder, 5)


@pytest.mark.parametrize(
    ("yes", "n", "everyday_yes", "everyday"), [(6, 6, 0, 9), (3, 20, 2, 10), (0, 5, 5, 5)]
)
def test_shares_are_wilsons_and_fishers(yes, n, everyday_yes, everyday):
    share = Share(yes, n, everyday_yes, everyday)
    low, high = binomtest(yes, n).proportion_ci(0.9, method="wilson")
    assert share.interval(0.9) == pytest.approx((low, high))
    table = [[yes, n - yes], [everyday_yes, everyday - everyday_yes]]
    assert share.p_more() == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
    assert replace(share, n=0, n_yes=0).interval() == (0.0, 1.0)
    assert Share(0, 0, 0, 0).p_more() == 1.0
