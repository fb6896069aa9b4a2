"""The report in sentences: what all families of runs say of their questions, backends, troubles and news."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentnet.events.spending import cost_words
from agentnet.report import paper
from agentnet.report.figures.words import counted, listed, percent
from agentnet.report.log_facts import LogFacts
from agentnet.vocabulary import AFTERWARDS, DECISION_KINDS, INLINE, OF_A_RULE, REASON, WITHOUT


def asked_sentences(facts: LogFacts, condition: int | None = None) -> Iterator[str]:
    """Say who was asked how often, how much is missing, and what that took.

    Args:
        facts: The run.
        condition: Of which condition; None for all of the run.
    """
    one_of_many = condition is not None and facts.n_conditions > 1
    asked = facts.asked if condition is None else facts.begun[condition].asked
    n = sum(each.n for each in asked if each.kind != REASON)
    by_rules = facts.n_by_rules if condition is None else facts.begun[condition].n_by_rules
    are_decisions = all(each.kind in (*DECISION_KINDS, REASON) or each.n_yes + each.n_no for each in asked)
    thing = "decision" if are_decisions else "answer"
    missing = sum(each.n_missing for each in asked if each.kind != REASON)
    state = "" if facts.meta["status"] == "finished" else ", which is still played or was stopped,"
    where = " in this condition" if one_of_many else ""
    yield (
        f"Run {facts.run}{state} asked {facts.meta['model_name']} through the backend "
        f"{facts.meta['backend']} for {counted(n - by_rules, thing)}{where}"
    )
    if n > by_rules:
        are = "is" if missing == 1 else "are"
        share = percent(missing / (n - by_rules))
        yield f"{missing:,} of them ({share}) {are} missing" if missing else "None of them is missing"
    if by_rules:
        yield f"{counted(by_rules, f'more {thing}')} came from rules of the experiment, at no call"
    whose = f"All {facts.n_conditions} conditions of the run" if one_of_many else "That"
    yield f"{whose} took {cost_words(facts.spending)}"


def sources_words(facts: LogFacts) -> str:
    """Say where the news items come from."""
    return (
        listed([str(facts.source(source)["whence"]) for source in facts.sources])
        if facts.sources
        else "of unknown source"
    )


def asking_sentences(facts: LogFacts, condition: int | None = None) -> Iterator[str]:
    """Say which model answered what, and how it was asked, in a condition or in all of them."""
    yield model_sentence(facts, condition)
    yield answer_words(facts, condition)
    yield from put_otherwise(facts)


def model_sentence(facts: LogFacts, condition: int | None = None) -> str:
    """Say which model answered, and how questions became requests, in a condition or in all of them."""
    return (
        f"{voices_words(facts, condition)}, at {temperature_words(facts, condition)}, with at most "
        f"{numbers_words(facts, 'max_tokens', 'token', condition)} a reply; {sampler_words(facts, condition)}"
    )


def voices_words(facts: LogFacts, condition: int | None = None) -> str:
    """Say who answered, in a condition or in all of them: one backend, or how many agents by which voice."""
    models = [name for name, _, _ in facts.models]
    returned = f"as returned: {listed(list(dict.fromkeys(models)) or ['none'])}"
    n_agents: Counter[str] = Counter()
    for (number, voice), n in facts.voices.items():
        n_agents[voice] += n if condition in (None, number) else 0
    if not n_agents.total():
        meta = facts.meta
        return (
            f"All answers came from {meta['model_name']} ({returned}) through the backend {meta['backend']}"
        )
    shares = [
        f"for {n:,} from {_voice_words(voice, facts.meta['voices'].get(voice))}"
        for voice, n in sorted(n_agents.items())
        if n
    ]
    whose = f"Of {counted(n_agents.total(), 'agent')} over all realizations, answers came"
    return f"{whose} {listed(shares)}, models {returned}"


def _voice_words(voice: str, told: Mapping[str, Any] | None) -> str:
    if told is None:
        return f"a voice that the log does not describe ({voice})"
    if told["model_name"].startswith(OF_A_RULE):
        return f"a rule of the experiment (voice {voice})"
    named = f" (voice {voice})" if voice else ""
    return f"{told['model_name']} through the backend {told['backend']}{named}"


_SAMPLERS: Final = {
    "choices": "several draws were taken from one request",
    "logprobs": "decisions were drawn from log-probabilities of yes and no",
}


def sampler_words(facts: LogFacts, condition: int | None = None) -> str:
    """Say how questions became requests, by the sampler mode of the run."""
    mode = str(facts.meta["settings"].get("sampler", {}).get("mode", "call"))
    unasked = _unasked(facts, condition)
    if mode == "call":
        return f"each question was a request of its own without memory (sampler mode call){unasked}"
    mass = ""
    if facts.mass is not None:
        least, mean = facts.mass
        mass = f", whose listed tokens hold {mean:.3f} of the probability on average, {least:.3f} at least"
    how = f"no request had a memory. Sampler mode {mode}: {_SAMPLERS.get(mode, 'see the settings')}{mass}"
    return f"{how}{unasked}"


def _unasked(facts: LogFacts, condition: int | None) -> str:
    """Say which answers no request of the run gave."""
    whence = {
        "rules of the experiment": facts.n_by_rules,
        "the cache of replies": facts.spending.from_cache,
        "what the same model had answered to the same question": facts.spending.reused,
    }
    is_more = condition is not None and facts.n_conditions > 1
    of_all = f" in all {facts.n_conditions} conditions together" if is_more else ""
    said = [f"{counted(n, 'answer')} came from {who}" for who, n in whence.items() if n]
    return f"; {listed(said)}, without a request{of_all}" if said else ""


_ANSWERS: Final = {
    INLINE: "one JSON object of decision and reason",
    AFTERWARDS: "one word, yes or no, and the reason in a later request that repeats question and reply",
    WITHOUT: "one word, yes or no, without a reason",
}
_OF_ITS_OWN: Final = {AFTERWARDS: ", and the reason in a later request"}


def answer_words(facts: LogFacts, condition: int | None = None) -> str:
    """Say what an answer had to look like, and when a reason was asked for."""
    modes = [str(mode) for mode in facts.knob("rationale", condition)]
    usual = " or ".join(f"{_ANSWERS.get(mode, 'the mode says')} (rationale: {mode})" for mode in modes)
    later = " or ".join(f"{_OF_ITS_OWN.get(mode, '')} (rationale: {mode})" for mode in modes)
    if declared := declared_answers(facts, condition):
        usual = f"the experiment declares them (answer: {listed(declared)})"
    if has_own_prompts(facts, condition):
        usual = f"the experiment's own templates say{later}"
    asked = facts.unless("messages load_prompts", usual, f"the experiment's own {{}} asks{later}")
    return f"Answers were asked for as {asked}{facts.unless('judge', '', ', and read by its own {}')}"


def declared_answers(facts: LogFacts, condition: int | None = None) -> list[str]:
    """List the answers that a condition, or any, declares where they are more than yes or no."""
    numbers = range(facts.n_conditions) if condition is None else [condition]
    found = dict.fromkeys(str(facts.design(number).get("answer", "bool")) for number in numbers)
    return [each for each in found if each != "bool"]


def has_own_prompts(facts: LogFacts, condition: int | None = None) -> bool:
    """Say whether the templates, or some, are not those that come with agentnet."""
    return any(folder is not None for folder in facts.knob("prompts", condition))


def question_words(facts: LogFacts, condition: int | None, usual: str, otherwise: str) -> str:
    """Say what was asked, as long as agentnet's own templates ask it.

    Args:
        facts: The run.
        condition: Number of the condition; None for all.
        usual: What they ask.
        otherwise: What to say of other ones; ``{}`` stands for whose they are.
    """
    if has_own_prompts(facts, condition):
        usual = otherwise.format("set of templates")
    return facts.unless("messages load_prompts", usual, otherwise)


def numbers_words(facts: LogFacts, knob: str, thing: str, condition: int | None = None) -> str:
    """Count things by a knob that may differ between conditions: ``8 or 12 steps``."""
    *others, last = sorted(int(value) for value in facts.knob(knob, condition))
    return f"{''.join(f'{n:,} or ' for n in others)}{counted(last, thing)}"


def put_otherwise(facts: LogFacts) -> Iterator[str]:
    """Say what the server was not sent as the design has it."""
    for whose, _, backend in backends_of(facts):
        of_it = f" of {whose}" if whose else ""
        omitted = [backend["omit"]] if isinstance(backend.get("omit"), str) else backend.get("omit", ())
        if omitted:
            yield (
                f"Left out of every request{of_it}, so that the server's own values held: "
                f"{listed(list(omitted))}"
                + (
                    " (temperatures of the design were drawn and not sent)"
                    if "temperature" in omitted
                    else ""
                )
            )
        if backend.get("system_role", "system") != "system":
            yield f"System messages{of_it} were sent under the role {backend['system_role']}"
    adapted = [
        change for each in facts.incidents if each.kind == "adapted" for change in each.detail["changes"]
    ]
    if adapted:
        yield f"Requests were adapted to the server: {'; '.join(dict.fromkeys(adapted))}"


def backends_of(facts: LogFacts) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """List the backends of a run: whose each is (``voice small``; "" for the run's own), name, options."""
    voices = facts.meta.get("voices")
    if not voices:
        options = {k: v for k, v in facts.meta["settings"].get("backend", {}).items() if k != "name"}
        yield "", str(facts.meta["backend"]), options
        return
    for voice, told in voices.items():
        yield f"voice {voice}" if voice else "", told["backend"], told["options"]


def temperature_words(facts: LogFacts, condition: int | None = None) -> str:
    """Spell the temperatures of a condition, or of all."""
    return " or ".join(map(temperature, facts.knob("temperature", condition)))


def temperature(value: object) -> str:
    """Spell the temperature of a design.

    Examples:
        >>> temperature([0.7, 1.3]), temperature(1.0), temperature(0.7000000000000001)
        ('temperatures drawn uniformly from 0.7 to 1.3', 'temperature 1', 'temperature 0.7000000000000001')
    """
    if isinstance(value, list | tuple):
        low, high = map(_in_full, value)
        return f"temperatures drawn uniformly from {low} to {high}"
    return f"temperature {_in_full(value)}"


def _in_full(value: object) -> str:
    """Spell a number so that no other one is spelled alike."""
    return str(value).removesuffix(".0")


def missing_sentences(facts: LogFacts, condition: int | None = None) -> Iterator[str]:
    """Say how many answers are missing, of one condition or of all."""
    asked = facts.asked if condition is None else facts.begun[condition].asked
    n, missing = sum(each.n for each in asked), sum(each.n_missing for each in asked)
    asks = facts.meta["settings"].get("engine", {}).get("max_asks")
    times = "not asked for again" if asks == 1 else f"asked for up to {asks} times"
    again = "" if asks is None else f" Unusable replies were {times}."
    again += " People were asked each question once." if facts.has_people else ""
    yield f"{missing:,} of {counted(n, 'answer')} stayed missing and counted neither as yes nor as no.{again}"


def unusable_words(facts: LogFacts) -> str:
    """Say what became of an unusable reply."""
    asks = facts.meta["settings"].get("engine", {}).get("max_asks")
    at_most = "" if asks is None else f"up to {asks} times in all, "
    return f"{'' if asks == 1 else f'was asked for again, {at_most}and then '}counted as missing"


def citations(facts: LogFacts) -> tuple[str, ...]:
    """List what to cite: the paper, and the sources of the news."""
    return (
        f"Design and laws: {paper.CITATION}.",
        *news_citations(facts),
    )


def news_citations(facts: LogFacts) -> tuple[str, ...]:
    """List what to cite for the news items."""
    return (
        *(f"News: {said}" for source in facts.sources if (said := facts.source(source)["citation"])),
        *(f"Licence of the news: {licence}." for licence in facts.meta["licences"]),
    )
