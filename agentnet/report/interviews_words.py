"""Interacting models in sentences; they say first what results have to be called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from agentnet.report.figures.words import counted, listed, percent, spelled
from agentnet.report.interviews import Arm
from agentnet.report.log_tables import in_words

if TYPE_CHECKING:
    from agentnet.report.interviews_part import InterviewPart

HELM: Final = (
    "H. Helm, B. Duderstadt, Y. Park and C. E. Priebe (2024), Tracking the perspectives of interacting "
    "language models, arXiv:2406.11938"
)

_MOST_CLASSES: Final = 8


def interview_summary(part: InterviewPart) -> Iterator[str]:
    """Summarize a run of interacting models."""
    facts = part.facts
    if part.label:
        yield f"These are results of a {part.label}"
    state = "" if facts.meta["status"] == "finished" else ", which is still played or was stopped,"
    evaluations, interviews = facts.kind("evaluation"), facts.kind("interview")
    n = evaluations.n + interviews.n
    yield (
        f"Run {facts.run}{state} recorded {counted(n, 'answer')} of {facts.meta['model_name']}: "
        f"{evaluations.n:,} in evaluations, {interviews.n:,} in interviews"
    )
    if n:
        yield f"{evaluations.n_missing + interviews.n_missing:,} of them are missing"
    if not part.arms:
        yield "No result can be given yet"
        return
    steps = max((each.n_steps - 1 for arm in part.arms for each in arm.played), default=0)
    repeats = max(len(arm.played) for arm in part.arms)
    yield (
        f"It has {counted(len(part.arms), 'arm')} with {_models(part.arms[0])}, {counted(repeats, 'repeat')} "
        f"and {counted(steps, 'step')}; answers were embedded by {part.embedder}"
    )
    for arm in part.arms:
        yield from _of_arm(arm)


def interview_findings(part: InterviewPart) -> Iterator[str]:
    """Say what results have to be called, then where each arm ended."""
    if part.label:
        yield f"These are results of a {part.label}"
    if not part.arms:
        yield "No result can be given yet"
    for arm in part.arms:
        yield from _of_arm(arm)


def _models(arm: Arm) -> str:
    return models_in_words({name: len(arm.members(name)) for name in arm.class_names})


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


def _of_arm(arm: Arm) -> Iterator[str]:
    for what, measured in (("polarization", arm.ratio), ("squared gap", arm.gap)):
        series = measured.series
        if series is None:
            continue
        interval = ""
        if measured.has_interval:
            low, high = spelled(float(series.low[-1])), spelled(float(series.high[-1]))
            interval = f" ({series.level:.0%} interval {low} to {high})"
        value, step = spelled(float(series.value[-1])), len(series.value) - 1
        yield f"{arm.name}: {what} {value}{interval} at step {step}"
    if arm.played and arm.ratio.series is None:
        first = arm.shown
        if first.clusters is not None:
            number = int(first.clusters.n_clusters[-1])
            yield f"{arm.name}: {counted(number, 'cluster')} of models at step {first.n_steps - 1}"


def interview_methods(part: InterviewPart) -> Iterator[str]:
    """Say for a paper how the run was played, from what it recorded."""
    facts, design = part.facts, part.design
    if part.label:
        yield f"Results are those of a {part.label}"
    yield (
        "We simulated interacting language models after Helm et al. (2024) with agentnet "
        f"{facts.meta['versions'].get('agentnet', '')}"
    )
    taught = counted(int(design["n_taught"]), "question")
    models = models_in_words({name: int(n) for name, n in design["models"].items()})
    told = "; each was told who it is by a system message" if _told(part) else ""
    yield f"There were {models}{told}; each was taught {taught} at the start"
    if int(design["steps"]):
        yield _interviews(part)
    else:
        repeats = counted(int(design["repeats"]), "realization")
        yield f"They were asked alone, and did not interview each other; {repeats}"
    yield f"Update rule: {rules_in_words(part)}"
    yield from _evaluations(part)


def _told(part: InterviewPart) -> bool:
    """Say whether models were told anything by system messages."""
    return any(part.facts.meta["interviews"].get("system_messages", ()))


def _interviews(part: InterviewPart) -> str:
    facts, design = part.facts, part.design
    n_arms = facts.n_conditions
    of_arms = f" in each of {n_arms} arms" if n_arms > 1 else ""
    return (
        f"At each of {counted(int(design['steps']), 'step')} every model with candidates picked one of them "
        f"at random, asked it {counted(int(design['n_questions']), 'question')} and was updated by the "
        "answers; all answers of a step came from the states at its start; "
        f"{counted(int(design['repeats']), 'realization')}"
        f"{of_arms}"
    )


def _evaluations(part: InterviewPart) -> Iterator[str]:
    facts, design = part.facts, part.design
    when = "At the start and after each step all" if int(design["steps"]) else "All"
    sizes = sorted({len(each) for each in facts.meta["interviews"]["evaluation"]})
    yield (
        f"{when} models answered an evaluation set of {listed(map(str, sizes))} questions at "
        f"temperature {in_words(design['temperature'])}; answers were embedded by {part.embedder}, and "
        "perspectives found by classical multidimensional scaling of the Frobenius distances between all "
        "models at all steps of a realization"
    )
    yield (
        "Clusters are Gaussian mixtures with one covariance chosen by the Bayesian information criterion; "
        "the iso-mirror is that of Athreya et al. (2022) from two dimensions; intervals are percentile "
        f"bootstraps ({percent(part.level)}, {part.n_bootstrap:,} draws, seed {part.seed})"
    )
    if part.contrasts:
        yield (
            "Arms were compared within repeats, with Student's t intervals and tests that turn the signs of "
            "repeats"
        )


def rules_in_words(part: InterviewPart) -> str:
    """Name the update rules of all arms, with their models and options."""
    designs = part.facts.meta["experiment"]["design"]
    rules = part.facts.meta["interviews"]["rules"]
    found: dict[str, None] = {}
    for design, rule in zip(designs, rules, strict=True):
        options = in_words(design["update_options"].get(rule["name"], {}))
        model = rule["model_name"] or part.facts.meta["model_name"]
        found[f"{rule['name']} of {model}{f' ({options})' if options else ''}"] = None
    return listed(found)
