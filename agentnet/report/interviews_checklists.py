"""The reporting checklists of `checklists` for interacting models, filled as far as a run knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentnet.events.conditions import in_words
from agentnet.report.checklists import (
    AUTHOR,
    FUNDING,
    OF_ANY_RUN,
    PART,
    RUN,
    VALIDATION,
    WHY,
    Item,
    access_item,
    code_item,
    model_item,
    resources_item,
)
from agentnet.report.figures.words import counted, listed
from agentnet.report.interviews_words import models_in_words, rules_in_words

if TYPE_CHECKING:
    from agentnet.report.interviews_part import InterviewPart


def interview_guide_llm(part: InterviewPart) -> tuple[Item, ...]:
    """Fill GUIDE-LLM."""
    return (*_use(part), *_models(part), *_prompts(part), *_rest(part), *_optional(part))


def _use(part: InterviewPart) -> tuple[Item, ...]:
    label = f" These are results of a {part.label}." if part.label else ""
    return (
        Item(
            "A.1",
            "What language models were used for",
            "As the subjects of the study: their answers to fixed questions are the data." + label + " Other "
            "uses, such as in writing or coding, are for the author to state.",
            PART,
        ),
        Item(
            "A.2",
            "Whether people were in the loop",
            "None: questions come from a bank, and models hear each other by a program.",
            RUN,
        ),
    )


def _models(part: InterviewPart) -> tuple[Item, ...]:
    facts, design = part.facts, part.design
    own = [rule["name"] for rule in facts.meta["interviews"]["rules"] if rule["model_name"]]
    return (
        model_item(facts),
        Item(
            "B.2",
            "Way of access; one chat or separate calls",
            f"No server was asked: update rule {listed(dict.fromkeys(own))} ran the models itself; each "
            "question was answered on its own.",
            RUN,
        )
        if own
        else access_item(facts),
        Item(
            "B.3",
            "Parameters: temperature, bounds, seed, number of runs",
            f"Temperature {in_words(design['temperature'])}; at most {design['max_tokens']} tokens an "
            f"answer; run seed {facts.meta['seed']}; "
            f"{counted(sum(each.n for each in facts.asked), 'answer')} in "
            f"{counted(int(facts.meta['n_realizations']), 'realization')}. What a server sets beyond "
            "that is not known.",
            RUN,
        ),
        Item(
            "B.4",
            "Fine-tuning or customization",
            f"Update rule: {rules_in_words(part)}. What was done to the models before is for the author to "
            "state.",
            PART,
        ),
        Item(
            "B.5",
            "Whether state was kept between interactions",
            "By the update rule alone: what a model heard in interviews changes its later answers; no chat "
            "went on from one question to the next."
            if int(design["steps"])
            else "None: each question was asked on its own.",
            RUN,
        ),
    )


def _prompts(part: InterviewPart) -> tuple[Item, ...]:
    told = any(part.facts.meta["interviews"].get("system_messages", ()))
    messages = (
        "Each model's system message stands in this report. " if told else "The experiment gives none. "
    )
    return (
        Item(
            "C.1",
            "Exact prompts",
            "Every question stands in the event log with its answer; what an update rule puts before it "
            "follows from the log and the rule's options.",
            RUN,
        ),
        Item(
            "C.2",
            "System-wide instructions",
            f"{messages}Instructions of the update rule are among its options; those that a provider adds "
            "are not known.",
            RUN,
        ),
    )


def _rest(part: InterviewPart) -> tuple[Item, ...]:
    return (
        Item(
            "D.1",
            "Personal or sensitive data",
            f"{_questions(part)}. Whether they hold personal data, and how that was handled, is for the "
            "author to state.",
            PART,
        ),
        VALIDATION,
        Item(
            "E.2",
            "Filtering, reformatting and other processing of outputs",
            "Any text but a blank one was taken as an answer, as it came. A question to which an answer is "
            "missing in an evaluation was left out of its realization. Answers were embedded by "
            f"{part.study.embedder}; perspectives are computed from these vectors.",
            RUN,
        ),
        code_item(part.facts),
        FUNDING,
    )


def _questions(part: InterviewPart) -> str:
    return f"Question bank: {in_words(part.design['bank'])}, unless the experiment file makes its own"


def _optional(part: InterviewPart) -> tuple[Item, ...]:
    return (
        *WHY,
        Item(
            "optional",
            "Comparison with other methods or models",
            f"{counted(len(part.facts.meta['experiment']['design']), 'condition')} in this report; other "
            "models are for the author to run.",
            PART,
        ),
        Item(
            "optional",
            "Leakage of training data",
            "What the models were trained on, and whether it held the questions, is for the author to state.",
            AUTHOR,
        ),
        *OF_ANY_RUN,
        resources_item(part.facts),
    )


def interview_odd(part: InterviewPart) -> tuple[Item, ...]:
    """Fill ODD."""
    return (*_overview(part), *_concepts(part), *_details(part))


def _overview(part: InterviewPart) -> tuple[Item, ...]:
    design = part.design
    models = models_in_words({name: int(n) for name, n in design["models"].items()})
    return (
        Item(
            "1",
            "Purpose and patterns",
            "To study how the perspectives of language models change by their interviewing each other. "
            "Patterns: places in perspective space, clusters, the iso-mirror, and the gap between classes. "
            "The study's own question is for the author to state.",
            PART,
        ),
        Item(
            "2",
            "Entities, state variables and scales",
            f"Models ({models}), each with a class and with what the update rule keeps of it. Time: "
            f"{counted(int(design['steps']), 'step')} without a length in hours; no space beyond who may "
            "interview whom.",
            RUN,
        ),
        Item(
            "3",
            "Process overview and scheduling",
            "At each step every model with candidates interviews one of them, all answers coming from the "
            "states at the step's start; then all models are updated, and all answer the evaluation set.",
            RUN,
        ),
    )


def _concepts(part: InterviewPart) -> tuple[Item, ...]:
    design = part.design
    return (
        Item(
            "4.1",
            "Basic principles",
            "Models are known by their answers to fixed questions (Helm et al. 2024).",
            RUN,
        ),
        Item(
            "4.2",
            "Emergence",
            "Clusters and gaps come from single interviews; nothing prescribes them.",
            RUN,
        ),
        Item("4.3", "Adaptation", "A model answers as the update rule made it of what it heard.", RUN),
        Item("4.4", "Objectives", "None is given to models.", RUN),
        Item("4.5", "Learning", f"By the update rule: {rules_in_words(part)}.", RUN),
        Item("4.6", "Prediction", "None is asked for; what a language model anticipates is not known.", RUN),
        Item("4.7", "Sensing", "The answers of the model that it interviews; nothing else of others.", RUN),
        Item(
            "4.8",
            "Interaction",
            f"Interviews of {counted(int(design['n_questions']), 'question')}; topology "
            f"{in_words(design['topology'])}, unless the experiment file makes another.",
            RUN,
        ),
        Item(
            "4.9",
            "Stochasticity",
            "Partners, questions and what models are taught are drawn by the run's seed "
            f"({part.facts.meta['seed']}), keyed by what they are for; answers are greedy at temperature 0, "
            "else drawn by the model.",
            RUN,
        ),
        Item("4.10", "Collectives", "Classes of models, by what they were taught at the start.", RUN),
        Item("4.11", "Observation", "Every question, answer and update is recorded.", RUN),
    )


def _details(part: InterviewPart) -> tuple[Item, ...]:
    design = part.design
    return (
        Item(
            "5",
            "Initialization",
            f"Each model was taught {counted(int(design['n_taught']), 'question')} of its class's topic, "
            "with the answers of the bank.",
            RUN,
        ),
        Item(
            "6",
            "Input data",
            f"{_questions(part)}. Nothing else drives the system from outside.",
            RUN,
        ),
        Item("7", "Submodels", "The language model; the update rule; the topology; the embedder.", RUN),
    )
