"""Interacting models in sentences; they say first what results have to be called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from agentnet.analysis.study import OUTCOMES, ConditionStudy
from agentnet.events.conditions import in_words
from agentnet.report.checklist import fields_of
from agentnet.report.figures.of_conditions import turns_of
from agentnet.report.figures.words import counted, listed, percent, spelled
from agentnet.report.interviews_vertices import vertices_words
from agentnet.report.log_facts import overriding_sentences
from agentnet.report.words import numbers_words, temperature_words
from agentnet.vocabulary import EVALUATION, INTERVIEW

if TYPE_CHECKING:
    from agentnet.report.interviews_part import InterviewPart

HELM: Final = (
    "H. Helm, B. Duderstadt, Y. Park and C. E. Priebe (2024), Tracking the perspectives of interacting "
    "language models, arXiv:2406.11938"
)

_MOST_CLASSES: Final = 8
_MOST_CONTRASTS: Final = 3
"""Contrasts that the first screen tells; the table has all."""


def interview_summary(part: InterviewPart) -> Iterator[str]:
    """Summarize a run of interacting models."""
    facts = part.facts
    if part.label:
        yield f"These are results of a {part.label}"
    state = "" if facts.meta["status"] == "finished" else ", which is still played or was stopped,"
    evaluations, interviews = facts.kind(EVALUATION), facts.kind(INTERVIEW)
    n = evaluations.n + interviews.n
    yield (
        f"Run {facts.run}{state} recorded {counted(n, 'answer')} of {facts.meta['model_name']}: "
        f"{evaluations.n:,} in evaluations, {interviews.n:,} in interviews"
    )
    if n:
        yield f"{evaluations.n_missing + interviews.n_missing:,} of them are missing"
    if not part.study.conditions:
        yield "No result can be given yet"
        return
    steps = max(
        (each.n_steps - 1 for condition in part.study.conditions for each in condition.played), default=0
    )
    repeats = max(len(condition.played) for condition in part.study.conditions)
    yield (
        f"It has {counted(len(part.study.conditions), 'condition')} with "
        f"{_models(part.study.conditions[0])}, {counted(repeats, 'repeat')} and {counted(steps, 'step')}; "
        f"answers were embedded by {part.study.embedder}"
    )
    yield from _turn_sentences(part)
    for condition in part.study.conditions:
        yield from _of_condition(condition)


def interview_findings(part: InterviewPart) -> Iterator[str]:
    """Say what results have to be called, then what conditions differ in, then where each ended."""
    if part.label:
        yield f"These are results of a {part.label}"
    if not part.study.conditions:
        yield "No result can be given yet"
    between = [each for each in part.study.contrasts if each.kind != "growth"]
    for each in between[:_MOST_CONTRASTS]:
        found = each.contrast
        yield (
            f"{each.compared}: {OUTCOMES[each.outcome][0]} {spelled(found.value)} "
            f"[{spelled(found.low)}, {spelled(found.high)}] ({counted(found.n_repeats, 'repeat')})"
        )
    yield from _turn_sentences(part)
    for condition in part.study.conditions:
        yield from _of_condition(condition)


def _turn_sentences(part: InterviewPart) -> Iterator[str]:
    for condition in part.study.conditions:
        for turn in turns_of(part, condition):
            yield (
                f"{condition.name}: from step {turn.step} on a model may interview {turn.after:.3g} of the "
                f"others on average, {turn.before:.3g} at the step before"
            )


def _models(condition: ConditionStudy) -> str:
    return models_in_words({name: len(condition.members(name)) for name in condition.class_names})


def models_in_words(numbers: Mapping[str, int]) -> str:
    """Count the models of each class, or of all where there are many.

    Examples:
        >>> models_in_words({"society": 5, "science": 1})
        '5 models of class society and 1 model of class science'
        >>> models_in_words({f"{profile:05b}": 1 for profile in range(32)})
        '32 models of 32 classes'
    """
    if len(numbers) > _MOST_CLASSES:
        return f"{counted(sum(numbers.values()), 'model')} of {counted(len(numbers), 'class', 'classes')}"
    return listed(
        [counted(n, f"model of class {name}", f"models of class {name}") for name, n in numbers.items()]
    )


def _of_condition(condition: ConditionStudy) -> Iterator[str]:
    for what, measured in (("polarization", condition.ratio), ("squared gap", condition.gap)):
        series = measured.series
        if series is None:
            continue
        interval = ""
        if measured.has_interval:
            low, high = float(series.low[-1]), float(series.high[-1])
            if low < high:
                interval = f" ({series.level:.0%} interval {spelled(low)} to {spelled(high)})"
        value, step = spelled(float(series.value[-1])), len(series.value) - 1
        yield f"{condition.name}: {what} {value}{interval} at step {step}"
    if condition.played and condition.ratio.series is None:
        first = condition.shown
        yield from _beside_own(condition)
        if first.clusters is not None:
            number = int(first.clusters.n_clusters[-1])
            yield f"{condition.name}: {counted(number, 'cluster')} of models at step {first.n_steps - 1}"


def _beside_own(condition: ConditionStudy) -> Iterator[str]:
    """Say how many models have their nearest in their own class, where there are several classes."""
    shares = [each.beside_own[-1] for each in condition.whole if each.beside_own is not None]
    if shares:
        sizes, n_models = Counter(condition.classes).values(), len(condition.classes)
        by_chance = percent(sum(n * (n - 1) for n in sizes) / n_models / (n_models - 1))
        yield (
            f"{condition.name}: the nearest of {percent(sum(shares) / len(shares))} of models is of their "
            f"own class at the last step, by chance it would be of {by_chance}"
        )


def interview_methods(part: InterviewPart) -> Iterator[str]:
    """Say for a paper how the run was played, from what it recorded."""
    facts = part.facts
    if part.label:
        yield f"Results are those of a {part.label}"
    yield (
        "We simulated interacting language models after Helm et al. (2024) with agentnet "
        f"{facts.meta['versions'].get('agentnet', '')}"
    )
    told = "; each was told who it is by a system message" if _told(part) else ""
    were = "was" if all(sum(map(int, models.values())) == 1 for models in facts.knob("models")) else "were"
    yield f"There {were} {company_words(part)}{told}; {taught_words(part)}"
    if any(facts.knob("steps")):
        yield _interviews(part)
        yield f"Who may interview whom: {topology_words(part)}"
        yield from vertices_words(part)
    else:
        repeats = numbers_words(facts, "repeats", "realization")
        yield f"They were asked alone, and did not interview each other; {repeats}"
    yield f"Questions come from {bank_words(part)}"
    yield f"Update rule: {rules_in_words(part)}"
    yield from overriding_sentences(facts)
    yield from _evaluations(part)


def company_words(part: InterviewPart) -> str:
    """Count the models of each class, of all conditions that differ in them."""
    return " or ".join(
        models_in_words({name: int(n) for name, n in models.items()}) for models in part.facts.knob("models")
    )


def taught_words(part: InterviewPart) -> str:
    """Say what models were taught at the start."""
    facts = part.facts
    if not any(facts.knob("n_taught")):
        usual = "nothing was taught at the start"
    else:
        taught = numbers_words(facts, "n_taught", "question")
        usual = f"each was taught {taught} of its class's topic at the start"
        if facts.knob("taught_from") == [EVALUATION]:
            usual += ", drawn from the evaluation set,"
        usual += " with the answers of the bank"
    return facts.unless("choose_taught", usual, "each was taught what the experiment's own {} chose")


def topology_words(part: InterviewPart) -> str:
    """Say who may interview whom."""
    named = " or ".join(in_words(value) for value in part.facts.knob("topology"))
    return part.facts.unless("make_topology", f"topology {named}", "as the experiment's own {} has it")


def bank_words(part: InterviewPart) -> str:
    """Say where questions come from."""
    named = " or ".join(in_words(value) for value in part.facts.knob("bank"))
    return part.facts.unless(
        "load_questions", f"the question bank {named}", "a question bank that the experiment's own {} made"
    )


def _told(part: InterviewPart) -> bool:
    """Say whether models were told anything by system messages."""
    return any(text for told in part.facts.meta["interviews"].get("system_messages", ()) for text in told)


def _interviews(part: InterviewPart) -> str:
    facts = part.facts
    n_conditions = facts.n_conditions
    of_conditions = f" in each of {n_conditions} conditions" if n_conditions > 1 else ""
    return (
        f"At each of {numbers_words(facts, 'steps', 'step')} every model with candidates picked one of them "
        f"at random, asked it {numbers_words(facts, 'n_questions', 'question')} and was updated by the "
        "answers; all answers of a step came from the states at its start; "
        f"{numbers_words(facts, 'repeats', 'realization')}{of_conditions}"
    )


def _evaluations(part: InterviewPart) -> Iterator[str]:
    facts = part.facts
    when = "At the start and after each step all" if any(facts.knob("steps")) else "All"
    sizes = sorted({len(each) for each in facts.meta["interviews"][EVALUATION]})
    of = listed(map(str, sizes))
    chosen = facts.unless("choose_evaluation", "", " chosen by the experiment's own {}")
    yield (
        f"{when} models answered an evaluation set of {of} question{'s' * (sizes != [1])}{chosen} at "
        f"{temperature_words(facts)}; answers were embedded by {part.study.embedder}, and "
        "perspectives found by classical multidimensional scaling of the Frobenius distances between all "
        "models at all steps of a realization"
    )
    yield (
        "Clusters are Gaussian mixtures with one covariance chosen by the Bayesian information criterion; "
        "the iso-mirror is that of Athreya et al. (2022) from two dimensions; intervals are percentile "
        f"bootstraps ({percent(part.study.level)}, {part.study.n_bootstrap:,} draws, seed {part.study.seed})"
    )
    if part.study.contrasts:
        several = len(part.study.conditions) > 1
        what = "Conditions were compared within repeats" if several else "Growth was taken within repeats"
        yield f"{what}, with Student's t intervals and tests that turn the signs of repeats"


def interview_fields(part: InterviewPart) -> dict[str, Any]:
    """Spell what a run of interacting models knows, for the answers in ``interviews.toml``."""
    facts = part.facts
    fields = fields_of(facts)
    own = [rule["name"] for rule in facts.meta["interviews"]["rules"] if rule["model_name"]]
    return fields | {
        "label": f" These are results of a {part.label}." if part.label else "",
        "access": (
            f"No server was asked: update rule {listed(dict.fromkeys(own))} ran the models itself; each "
            "question was answered on its own."
            if own
            else f"By program through the backend {fields['backend']}; {fields['requests']}."
        ),
        "state": (
            "By the update rule alone: what a model heard in interviews changes its later answers; no chat "
            "went on from one question to the next."
            if any(facts.knob("steps"))
            else "None: each question was asked on its own."
        ),
        "rules": rules_in_words(part),
        "instructions": (
            "Each model's system message stands in this report."
            if _told(part)
            else "The experiment gives none."
        ),
        "data": f"Questions: {bank_words(part)}",
        "processing": (
            "Any text but a blank one was taken as an answer, as it came. A question to which an answer is "
            "missing in an evaluation was left out of its realization. Answers were embedded by "
            f"{part.study.embedder}; perspectives are computed from these vectors."
        ),
        "sample": "; a sample stands in this report" if part.answers else "",
        "conditions": counted(facts.n_conditions, "condition"),
        "models": company_words(part),
        "vertices": "".join(f" {sentence}." for sentence in vertices_words(part)),
        "steps": numbers_words(facts, "steps", "step"),
        "taught": taught_words(part),
        "interaction": (
            f"Interviews of {numbers_words(facts, 'n_questions', 'question')}; {topology_words(part)}."
            if any(facts.knob("steps"))
            else "None: models were asked alone."
        ),
        **(_INTERVIEWED if any(facts.knob("steps")) else _ALONE),
    }


_INTERVIEWED: Final = {
    "process": (
        "At each step every model with candidates interviews one of them, all answers coming from the states "
        "at the step's start; then all models are updated, and all answer the evaluation set."
    ),
    "come_from": "interviews",
    "made": "as the update rule made it of what it heard",
    "sensing": "The answers of the model that it interviews; nothing else of others.",
    "partners": "Partners, questions",
    "submodels": "The language model; the update rule; the topology; the embedder.",
}
_ALONE: Final = {
    "process": "All models answer the evaluation set once, each alone; there are no interviews.",
    "come_from": "answers",
    "made": "as it was taught at the start",
    "sensing": "Nothing of others.",
    "partners": "Questions",
    "submodels": "The language model; the embedder.",
}
"""What happens in a run without steps, in which nobody interviews anybody, and in others."""


def rules_in_words(part: InterviewPart) -> str:
    """Name the update rules of all conditions, with their models and options."""
    designs = part.facts.meta["experiment"]["design"]
    rules = part.facts.meta["interviews"]["rules"]
    found: dict[str, None] = {}
    for design, rule in zip(designs, rules, strict=True):
        options = in_words(design["update_options"].get(rule["name"], {}))
        model = rule["model_name"] or part.facts.meta["model_name"]
        found[f"{rule['name']} of {model}{f' ({options})' if options else ''}"] = None
    return listed(found)
