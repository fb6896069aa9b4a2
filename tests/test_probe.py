"""A probe finds what is planted in a backend, passes one without, and says what it does not know."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentnet import CascadeExperiment
from agentnet.backend import Backend, Reply, Request, Wrapper, make_backend
from agentnet.config import Settings
from agentnet.errors import BackendUnusable, PluginError, RequestRejected
from agentnet.experiment import Source
from agentnet.probe.asking import Asker, find_probabilities
from agentnet.probe.card import Card, Finding
from agentnet.probe.contract import CHECKS, Check, Found, look, make_card
from agentnet.probe.judging import MeanRange, PromptEstimate, exact, logit, mean_of, of_sizes, sigma
from agentnet.probe.subject import ProbeSubject
from agentnet.runner import prepare
from agentnet.streams import mix, unit

Shift = Callable[[Request], float]


class Biased(Wrapper):
    """The mock, with what is planted: shifts of the logit of sharing, of probabilities and of texts."""

    def __init__(
        self, listed: Shift = lambda _: 0.0, said: Shift | None = None, *, lists: bool = True
    ) -> None:
        super().__init__(make_backend("mock", {}))
        self._listed, self._said, self._lists = listed, said or listed, lists

    async def complete(self, request: Request) -> Reply:
        """Answer as the mock would with the shift; the first of the answers is that of sharing."""
        # A question whose reply is free is answered by a word, too.
        answers = request.answers or ("yes", "no")
        if request.schema is not None or '"share"' in request.messages[-1][1]:
            return await self._inner.complete(request._replace(logprobs=False))
        asked = request._replace(answers=answers, logprobs=True)
        found = (await self._inner.complete(asked)).logprobs
        assert found is not None
        p = math.exp(found[answers[0]])
        texts = tuple(
            answers[unit(mix(request.seed, i)) >= _moved(p, self._said(request))] for i in range(request.n)
        )
        q = _moved(p, self._listed(request))
        logprobs = dict(zip(answers, (math.log(q), math.log1p(-q)), strict=True))
        return Reply(
            texts, 300, request.n, "biased", (), logprobs if request.logprobs and self._lists else None
        )


def _moved(p: float, by: float) -> float:
    return sigma(logit(p) + by)


def towards_the_first(request: Request) -> float:
    """Favour sharing where the answer that stands for it is named first."""
    last = request.messages[-1][1].splitlines()[-1]
    answers = request.answers or ("yes", "no")
    places = [last.rfind(each) for each in answers]
    return 1.5 if places[0] < places[1] else -1.5


def towards_yes(request: Request) -> float:
    """Favour the word yes, whatever is asked."""
    return 2.0 if "yes" in request.answers else 0.0


def towards_a(request: Request) -> float:
    """Favour the letter A, whatever it stands for."""
    return {("A", "B"): 1.5, ("B", "A"): -1.5}.get(request.answers, 0.0)


def subject_of(**knobs: Any) -> ProbeSubject:
    """The questions of a cascade."""
    source = Source(Path("default.py"), "", held=CascadeExperiment(**knobs))
    composer = prepare(source, Settings(), Path("/dev/null")).stage.composer(0)
    assert not isinstance(composer, str)
    return ProbeSubject(composer)


@pytest.fixture(scope="module")
def subject() -> ProbeSubject:
    """The questions of the default cascade."""
    return subject_of()


def probed(
    backend: Backend, subject: ProbeSubject, *names: str, seed: int = 0, n_texts: int = 32
) -> dict[str, Finding]:
    """Probe a backend: check -> what it found."""

    async def probing() -> Card:
        asker = Asker(backend, subject, seed, n_texts, 64)
        await find_probabilities(asker)
        return await make_card(asker, names or tuple(CHECKS), asked="questions", answer_format="a word")

    return {finding.check: finding for finding in asyncio.run(probing()).findings}


def verdicts(found: dict[str, Finding]) -> dict[str, str]:
    """Check -> its verdict."""
    return {name: finding.verdict for name, finding in found.items()}


def figures(finding: Finding) -> dict[str, float | None]:
    """Name -> value of each figure."""
    return {figure.name: figure.value for figure in finding.figures}


def test_an_unbiased_backend_passes_every_check(subject: ProbeSubject) -> None:
    assert set(verdicts(probed(Biased(), subject)).values()) == {"passes"}


def test_the_mock_itself_passes_every_check(subject: ProbeSubject) -> None:
    assert set(verdicts(probed(make_backend("mock", {}), subject)).values()) == {"passes"}


@pytest.mark.parametrize("lists", [True, False], ids=["probabilities", "texts"])
@pytest.mark.parametrize(
    ("planted", "check", "unmoved"),
    [
        (towards_the_first, "order", "names"),
        (towards_yes, "labels", "order"),
        (towards_yes, "opposite", "order"),
        (towards_a, "labels", "opposite"),
        (towards_the_first, "order", "opposite"),
    ],
)
def test_a_planted_bias_is_found_by_its_check_and_by_no_other(
    subject: ProbeSubject, planted: Shift, check: str, unmoved: str, lists: bool
) -> None:
    found = verdicts(probed(Biased(planted, lists=lists), subject, check, unmoved, n_texts=96))
    assert found == {check: "fails", unmoved: "passes"}


@pytest.mark.parametrize("lists", [True, False], ids=["probabilities", "texts"])
def test_what_was_listed_has_no_interval_and_what_was_sampled_has_one(
    subject: ProbeSubject, lists: bool
) -> None:
    found = probed(Biased(lists=lists), subject, "names")["names"]
    assert [each.low is None for each in found.figures] == [lists] * 2


def test_averaging_both_orders_takes_the_bias_out(subject: ProbeSubject) -> None:
    unbiased, biased = (
        figures(probed(Biased(planted), subject, "order")["order"])["yes / no: P averaged over both"]
        for planted in (lambda _: 0.0, towards_the_first)
    )
    assert biased == pytest.approx(unbiased, abs=1e-6)


def test_texts_that_come_with_another_probability_than_is_listed_are_found(subject: ProbeSubject) -> None:
    found = probed(Biased(lambda _: 0.0, lambda _: 1.0), subject, "texts", "sampling", "order")
    assert verdicts(found) == {"texts": "fails", "sampling": "passes", "order": "passes"}
    assert "outside of the interval in" in found["texts"].says[0]


def test_a_server_that_samples_greedily_is_found(subject: ProbeSubject) -> None:
    class Greedy(Biased):
        async def complete(self, request: Request) -> Reply:
            reply = await super().complete(request._replace(logprobs=True))
            assert reply.logprobs is not None
            likeliest = max(reply.logprobs, key=lambda each: (reply.logprobs or {})[each])
            kept = reply.logprobs if request.logprobs and self._lists else None
            return reply._replace(texts=(likeliest,) * request.n, logprobs=kept)

    assert verdicts(probed(Greedy(), subject, "sampling"))["sampling"] == "fails"
    # Without probabilities it may as well be sure of every answer.
    unlisted = Greedy()
    real = unlisted.complete

    async def hides(request: Request) -> Reply:
        return (await real(request))._replace(logprobs=None)

    unlisted.complete = hides  # type: ignore[method-assign]
    assert verdicts(probed(unlisted, subject, "sampling"))["sampling"] == "doubtful"


def test_what_moves_with_others_in_flight_is_found(subject: ProbeSubject) -> None:
    class Batching(Biased):
        in_flight = 0

        async def complete(self, request: Request) -> Reply:
            self.in_flight += 1
            try:
                await asyncio.sleep(0)
                self._listed = lambda _, many=self.in_flight > 1: 0.5 if many else 0.0
                return await super().complete(request)
            finally:
                self.in_flight -= 1

    found = probed(Batching(), subject, "repeatable")["repeatable"]
    assert found.verdict == "fails"
    assert (figures(found)["largest difference of a listed probability"] or 0.0) > 0.05


def test_a_format_that_moves_answers_is_doubtful_and_the_one_in_force_is_named() -> None:
    def by_schema(request: Request) -> float:
        return 0.0 if request.answers else 1.5

    plain = subject_of(rationale="none")
    found = probed(Biased(lambda _: 0.0, by_schema), plain, "formats", n_texts=96)["formats"]
    assert found.verdict == "doubtful"
    assert found.says[0].startswith("In force is: one word, constrained.")
    # JSON is answered by the mock's own law, and moves nothing.
    assert abs(figures(found)["moved by JSON with a reason, constrained"] or 0.0) < 0.1


def test_no_effect_is_claimed_that_other_wordings_turn(subject: ProbeSubject) -> None:
    def by_wording(request: Request) -> float:
        profile = str(request.metadata.get("profile", ""))
        turn = mix(sum(request.messages[-1][1].encode()), int(profile or "0", 2)) % 3 - 1
        return 20.0 * turn

    found = probed(Biased(by_wording), subject, "paraphrases")["paraphrases"]
    assert any("neuroticism: no claim" in each for each in found.says)
    effects = {name: value for name, value in figures(found).items() if name.startswith("openness")}
    assert set(effects) == {"openness: effect on the logit"}


def test_a_lean_without_content_and_deafness_to_news_are_found(subject: ProbeSubject) -> None:
    sure = make_backend("mock", {"law": "constant", "probability": 0.9})
    found = verdicts(probed(sure, subject, "null", "withheld", "paraphrases"))
    assert found == {"null": "fails", "withheld": "doubtful", "paraphrases": "fails"}


def test_a_name_that_changes_answers_is_found(subject: ProbeSubject) -> None:
    def by_name(request: Request) -> float:
        return 3.0 if "Maria" in request.messages[0][1] else 0.0

    assert verdicts(probed(Biased(by_name), subject, "names"))["names"] == "fails"


def test_little_mass_on_the_answers_fails_and_half_of_it_missing_is_no_no(subject: ProbeSubject) -> None:
    class Elsewhere(Biased):
        async def complete(self, request: Request) -> Reply:
            reply = await super().complete(request)
            less = {each: p + math.log(0.3) for each, p in (reply.logprobs or {}).items()}
            return reply._replace(logprobs=less or None)

    found = probed(Elsewhere(), subject, "mass", "opposite")
    assert verdicts(found) == {"mass": "fails", "opposite": "passes"}
    assert figures(found["mass"])["mean mass"] == pytest.approx(0.3)


def test_missing_answers_are_counted_and_are_no_part_of_a_figure(subject: ProbeSubject) -> None:
    class Rambling(Biased):
        async def complete(self, request: Request) -> Reply:
            reply = await super().complete(request)
            texts = tuple("Well..." if i % 2 else text for i, text in enumerate(reply.texts))
            return reply._replace(texts=texts)

    sound, half = (
        probed(each, subject, "mass", "opposite", n_texts=400)
        for each in (Biased(lists=False), Rambling(lists=False))
    )
    assert verdicts(half) == {"mass": "fails", "opposite": "passes"}
    assert half["mass"].n_missing == 16 * 200
    name = "P(yes to sharing) + P(yes to withholding)"
    assert figures(half["opposite"])[name] == pytest.approx(figures(sound["opposite"])[name] or 0.0, abs=0.05)


def test_where_nothing_can_be_understood_nothing_is_known(subject: ProbeSubject) -> None:
    class Silent(Biased):
        async def complete(self, request: Request) -> Reply:
            return Reply(("Hmm.",) * request.n)

    found = verdicts(probed(Silent(), subject))
    assert found.pop("mass") == "fails"
    assert found.pop("texts") == "not applicable"
    assert found.pop("repeatable") == "passes"
    assert set(found.values()) == {"not known"}


def test_a_request_that_is_rejected_is_a_missing_answer(subject: ProbeSubject) -> None:
    class Rejecting(Biased):
        async def complete(self, request: Request) -> Reply:
            if "withhold it" in request.messages[-1][1]:
                raise RequestRejected("no")
            return await super().complete(request)

    found = probed(Rejecting(), subject, "opposite")["opposite"]
    assert (found.verdict, found.n_missing) == ("not known", 32)


def test_a_server_that_refuses_log_probabilities_is_probed_by_texts(subject: ProbeSubject) -> None:
    class Refusing(Biased):
        async def complete(self, request: Request) -> Reply:
            if request.logprobs:
                raise BackendUnusable("logprobs are not for you")
            return await super().complete(request)

    found = verdicts(probed(Refusing(), subject, "order", "texts"))
    assert found["texts"] == "not applicable"
    assert found["order"] in {"passes", "not known"}


def test_fewer_samples_than_asked_for_are_topped_up(subject: ProbeSubject) -> None:
    class Stingy(Biased):
        async def complete(self, request: Request) -> Reply:
            return await super().complete(request._replace(n=min(request.n, 3)))

    async def sampled() -> tuple[int, int]:
        asker = Asker(Stingy(lists=False), subject, 0, 8, 64, lists_probabilities=False)
        found = await asker.texts(subject.question(subject.pairs()[0]), 8, 1.0)
        return len(found.said), asker.n_calls

    assert asyncio.run(sampled()) == (8, 3)


def test_a_question_that_several_checks_need_is_asked_once(subject: ProbeSubject) -> None:
    found = probed(Biased(), subject, "order", "labels", "mass")
    assert found["mass"].n_calls == 0
    assert found["labels"].n_calls == 2 * 16


def test_traits_and_sides_are_balanced_in_the_pairs(subject: ProbeSubject) -> None:
    pairs = subject.pairs()
    profiles = [pair.profile.bits for pair in pairs if pair.profile is not None]
    assert Counter(pair.item.severity for pair in pairs) == {0: 8, 1: 8}
    for i in range(5):
        assert Counter(bits[i] for bits in profiles) == {"0": 8, "1": 8}
        for j in range(i):
            assert set(Counter((bits[i], bits[j]) for bits in profiles).values()) == {4}


def test_every_finding_says_its_threshold_and_what_it_means(subject: ProbeSubject) -> None:
    for finding in probed(Biased(), subject).values():
        assert finding.threshold
        assert finding.says or finding.verdict == "not applicable"
        assert finding.title.endswith("?")


class OwnMessages(CascadeExperiment):
    """Asks in its own words, whatever the templates are."""

    rationale = "none"

    def messages(self, prompts: Any, kind: str, profile: Any, item: Any) -> Any:
        """Ask."""
        return (("user", f"{profile.bits}: {item.text} Yes or no?"),)


def test_a_check_that_the_prompts_leave_no_room_for_is_not_applicable_and_says_why() -> None:
    source = Source(Path("own.py"), "", held=OwnMessages())
    composer = prepare(source, Settings(), Path("/dev/null")).stage.composer(0)
    assert not isinstance(composer, str)
    found = probed(Biased(), ProbeSubject(composer))
    assert found["order"].verdict == "not applicable"
    assert "does not use its templates" in found["order"].threshold
    assert found["withheld"].verdict != "not applicable"


def test_a_template_without_a_question_leaves_the_wordings_out(tmp_path: Path) -> None:
    (tmp_path / "content.txt").write_text("Say whether you share this: $news\n$answer\n")
    found = probed(Biased(), subject_of(prompts=tmp_path), "paraphrases", "opposite", "order")
    assert verdicts(found) == {
        "paraphrases": "not applicable",
        "opposite": "not applicable",
        "order": "passes",
    }
    assert "question mark" in found["opposite"].threshold


@pytest.mark.parametrize(("n_yes", "n"), [(0, 10), (3, 10), (64, 128), (128, 128)])
def test_exact_intervals_are_those_of_the_beta_distribution(n_yes: int, n: int) -> None:
    from scipy.stats import beta

    found = exact(n_yes, n)
    low = beta.ppf(0.005, n_yes, n - n_yes + 1) if n_yes else 0.0
    high = beta.ppf(0.995, n_yes + 1, n - n_yes) if n_yes < n else 1.0
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution_of_what_was_sampled() -> None:
    from scipy.stats import norm

    values, variance = [0.1, 0.3, -0.2, 0.05, 0.4], 0.01
    low, high = norm.interval(0.99, loc=0.13, scale=math.sqrt(5 * variance) / 5)
    found = mean_of([PromptEstimate(math.nan), *(PromptEstimate(each, variance) for each in values)])
    assert found == pytest.approx((0.13, low, high))
    assert mean_of(map(PromptEstimate, values)) == pytest.approx((0.13, 0.13, 0.13))


def test_too_few_prompts_with_an_answer_have_no_mean() -> None:
    assert math.isnan(mean_of([PromptEstimate(0.1), PromptEstimate(0.2), PromptEstimate(math.nan)]).value)


@pytest.mark.parametrize(
    ("spread", "verdict"),
    [
        (MeanRange(0.2, 0.1, 0.3), "fails"),
        (MeanRange(-0.2, -0.3, -0.1), "fails"),
        (MeanRange(0.2, 0.01, 0.4), "doubtful"),
        (MeanRange(0.2, -0.1, 0.5), "not known"),
        (MeanRange(0.01, -0.2, 0.2), "not known"),
        (MeanRange(0.01, -0.05, 0.07), "passes"),
        (MeanRange(math.nan, math.nan, math.nan), "not known"),
    ],
)
def test_a_bias_counts_as_found_only_where_its_interval_lies_beyond_what_is_tolerated(
    spread: MeanRange, verdict: str
) -> None:
    assert of_sizes([spread], 0.05) == verdict


def test_a_text_that_was_cut_off_is_missing_whatever_it_says(subject: ProbeSubject) -> None:
    class CutOff(Biased):
        async def complete(self, request: Request) -> Reply:
            reply = await super().complete(request)
            return reply._replace(finish=("length",) * len(reply.texts))

    found = probed(CutOff(lists=False), subject, "mass")["mass"]
    assert (found.verdict, found.n_missing) == ("fails", 16 * 32)


@pytest.mark.slow
@pytest.mark.parametrize("lists", [True, False], ids=["probabilities", "texts"])
def test_probes_of_an_unbiased_backend_seldom_find_something(subject: ProbeSubject, lists: bool) -> None:
    backend = Biased(lists=lists)
    cards = [set(verdicts(probed(backend, subject, seed=seed)).values()) for seed in range(200)]
    assert sum(bool(each & {"fails", "doubtful"}) for each in cards) <= 10


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "'odd' of a probe gives None; it gives Found"),
        (Found("great", "t", (), ()), "gives verdict = 'great'"),  # type: ignore[arg-type]
        (Found("passes", None, (), ()), "gives threshold = None"),  # type: ignore[arg-type]
        (Found("passes", "t", ("a",), ()), r"gives figures.0 = 'a'"),  # type: ignore[arg-type]
        (Found("passes", "t", (), "hello"), "with sentences in a list"),
        (Found("passes", "t", (), ["\ud800"]), "with sentences in a list"),
    ],
)
def test_a_check_that_finds_nothing_that_a_card_can_hold_is_refused(found: Any, message: str) -> None:
    async def looks(_: object) -> Any:
        return found

    CHECKS.register("odd", Check("Is it odd?", looks), module=__name__)
    asker: Any = SimpleNamespace(n_calls=0, n_missing=0)
    try:
        with pytest.raises(PluginError, match=message):
            asyncio.run(look("odd", asker))
    finally:
        del CHECKS._defined["odd"]
