"""Two reporting checklists, filled as far as a run knows; the rest is left to the author, and says so.

GUIDE-LLM is the checklist for studies with language models in the behavioural and social sciences
(www.llm-checklist.com; 14 core items with letters and 8 optional ones). ODD is the protocol for describing
agent-based models (Grimm et al. 2020, J. Artif. Soc. Soc. Simul. 23(2) 7, doi:10.18564/jasss.4259; seven
elements, the fourth with eleven design concepts). Items keep their letters and numbers; the words are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from agentnet.events.conditions import in_words
from agentnet.report.figures.words import counted, listed
from agentnet.report.log_facts import LogFacts
from agentnet.report.log_tables import when
from agentnet.report.tables import Table
from agentnet.report.words import citations, temperature

if TYPE_CHECKING:
    from agentnet.report.cascades import CascadePart
    from agentnet.report.ratios import RatioPart

GUIDE_LLM_SOURCE: Final = (
    "Items: the GUIDE-LLM checklist as its site summarizes it (www.llm-checklist.com/checklist, read in "
    "2026); letters are its own, words are ours. Submit the original form."
)
ODD_SOURCE: Final = (
    "Elements and concepts: V. Grimm, S. F. Railsback, C. E. Vincenot et al. (2020), The ODD protocol for "
    "describing agent-based and other simulation models: a second update to improve clarity, replication, "
    "and structural realism, Journal of Artificial Societies and Social Simulation 23(2) 7, "
    "doi:10.18564/jasss.4259; words are ours."
)

By = Literal["the run", "the run, in part", "the author"]

AUTHOR: Final[By] = "the author"
RUN: Final[By] = "the run"
PART: Final[By] = "the run, in part"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a checklist.

    Attributes:
        number: Its letter or number; empty for one without.
        topic: What it asks for, in our words.
        answer: What the run knows, or what the author has to say.
        by: Who answers it.
    """

    number: str
    topic: str
    answer: str
    by: By


FUNDING: Final = Item(
    "G.1", "Funding, support and relevant relationships", "For the author to state.", AUTHOR
)
VALIDATION: Final = Item(
    "E.1", "Validation of outputs by people", "None in the run: for the author to state.", AUTHOR
)
WHY: Final = tuple(
    Item("optional", topic, "For the author to state.", AUTHOR)
    for topic in ("Why this model", "Why these prompts")
)
OF_ANY_RUN: Final = (
    Item("optional", "Risk of bias that bears on the conclusions", "For the author to state.", AUTHOR),
    Item(
        "optional",
        "Transcripts",
        "Every question and reply stands in the event log; a sample stands in this report.",
        RUN,
    ),
    Item("optional", "Ethical implications", "For the author to state.", AUTHOR),
)


def checklist_table(name: str, title: str, items: tuple[Item, ...], source: str) -> Table:
    """Lay a checklist out as a table."""
    open_ = sum(each.by != RUN for each in items)
    return Table(
        name=name,
        title=title,
        columns={"number": "item", "topic": "asks for", "answer": "answer", "by": "answered by"},
        rows=tuple((each.number, each.topic, each.answer, each.by) for each in items),
        notes=(
            (
                f"Answered from the run: {len(items) - open_} of {counted(len(items), 'item')}; left to the "
                f"author, wholly or in part: {open_}."
            ),
            source,
        ),
    )


def guide_llm_table(items: tuple[Item, ...]) -> Table:
    """Lay GUIDE-LLM out."""
    return checklist_table("guide_llm", "GUIDE-LLM: studies with language models", items, GUIDE_LLM_SOURCE)


def odd_table(items: tuple[Item, ...]) -> Table:
    """Lay ODD out."""
    return checklist_table("odd", "ODD: description of the agent-based model", items, ODD_SOURCE)


def guide_llm(part: CascadePart | RatioPart, decisions: str) -> tuple[Item, ...]:
    """Fill GUIDE-LLM.

    Args:
        part: Whose.
        decisions: What the decisions are.
    """
    return (*_guide_use(decisions), *_guide_model(part), *_guide_rest(part), *_guide_optional(part))


def _guide_use(asked: str) -> tuple[Item, ...]:
    return (
        Item(
            "A.1",
            "What language models were used for",
            f"As simulated agents: their replies are the decisions ({asked}) and the reasons for them. Other "
            "uses, such as in writing or coding, are for the author to state.",
            PART,
        ),
        Item(
            "A.2",
            "Whether people were in the loop",
            "None: questions were made from templates and replies read by a program.",
            RUN,
        ),
    )


def model_item(facts: LogFacts) -> Item:
    """Fill B.1: what answered, and when."""
    returned = (
        listed([f"{name} {mark}".strip() for name, mark, _ in facts.models]) if facts.models else "none"
    )
    dates = "no answer came"
    if facts.first_at is not None and facts.last_at is not None:
        dates = f"{when(facts.first_at)} to {when(facts.last_at)}"
    mock = " The mock backend is no language model." if facts.meta["backend"] == "mock" else ""
    return Item(
        "B.1",
        "Model name, provider, size, version, date of access, link",
        f"Asked for: {facts.meta['model_name']}; returned: {returned}; accessed {dates}.{mock} "
        "Provider, size and link are for the author to state.",
        PART,
    )


def access_item(facts: LogFacts) -> Item:
    """Fill B.2: how the backend was asked."""
    settings = facts.meta["settings"]
    backend = {key: value for key, value in settings.get("backend", {}).items() if key != "name"}
    mode = settings.get("sampler", {}).get("mode", "call")
    return Item(
        "B.2",
        "Way of access; one chat or separate calls",
        "By program through the backend "
        f"{facts.meta['backend']}{f' ({in_words(backend)})' if backend else ''}; each question was a "
        f"call of its own (sampler mode {mode}).",
        RUN,
    )


def _guide_model(part: CascadePart | RatioPart) -> tuple[Item, ...]:
    facts, design = part.facts, part.design
    return (
        model_item(facts),
        access_item(facts),
        Item(
            "B.3",
            "Parameters: temperature, bounds, seed, number of runs",
            f"{temperature(design['temperature'])}; at most {design['max_tokens']} tokens a reply; run seed "
            f"{facts.meta['seed']}; {counted(sum(each.n for each in facts.asked), 'question')} in "
            f"{counted(int(facts.meta['n_realizations']), 'realization')}; replies constrained: "
            f"{in_words(design['constrain'])}. What the server sets beyond that is not known.",
            RUN,
        ),
        Item("B.4", "Fine-tuning or customization", "Not known to the run: for the author to state.", AUTHOR),
        Item(
            "B.5",
            "Whether state was kept between interactions",
            "None: each request held its own prompt alone."
            + (
                " The reason was asked for in a second request that repeats the question and the reply."
                if design["rationale"] == "afterwards"
                else ""
            ),
            RUN,
        ),
    )


def _guide_rest(part: CascadePart | RatioPart) -> tuple[Item, ...]:
    facts = part.facts
    engine = facts.meta["settings"].get("engine", {})
    return (
        Item(
            "C.1",
            "Exact prompts",
            "All templates, and one prompt of each kind as sent, stand in this report; every prompt stands "
            "in the event log.",
            RUN,
        ),
        Item(
            "C.2",
            "System-wide instructions",
            "The template system.txt in this report. Instructions that a provider adds are not known.",
            RUN,
        ),
        Item(
            "D.1",
            "Personal or sensitive data",
            f"News items: {_source_words(facts)}. Whether they hold personal data, and how that was "
            "handled, is for the author to state.",
            PART,
        ),
        VALIDATION,
        Item(
            "E.2",
            "Filtering, reformatting and other processing of outputs",
            "Each reply was read as yes or no with a reason; an unusable one was asked for again, up to "
            f"{engine.get('max_asks', 'an unknown number of')} times, and then counted as missing. Nothing "
            "else was left out or changed.",
            RUN,
        ),
        code_item(facts),
        FUNDING,
    )


def code_item(facts: LogFacts) -> Item:
    """Fill F.1: what is needed to repeat the calls."""
    return Item(
        "F.1",
        "Code, notebooks or scripts of the calls",
        f"agentnet {facts.meta['versions'].get('agentnet', '')}; the experiment file, settings and seed "
        "stand in this report and in the event log. Publishing them is left to the author.",
        PART,
    )


def _guide_optional(part: CascadePart | RatioPart) -> tuple[Item, ...]:
    facts = part.facts
    dates = sorted(each.facts["date"] for each in facts.news if "date" in each.facts)
    spread = f"The news items are dated {dates[0]} to {dates[-1]}. " if dates else ""
    invented = (
        "They are invented, so that no model has read of them. " if facts.sources == ("synthetic",) else ""
    )
    return (
        *WHY,
        Item(
            "optional",
            "Comparison with other methods or models",
            "Laws are compared in this report; other models are for the author to run.",
            PART,
        ),
        Item(
            "optional",
            "Leakage of training data",
            f"{spread}{invented}What the model was trained on is for the author to state.",
            PART,
        ),
        *OF_ANY_RUN,
        resources_item(facts),
    )


def resources_item(facts: LogFacts) -> Item:
    """Fill the optional item on what the run took."""
    spent = facts.spending
    money = "unknown" if spent.dollars is None else f"{spent.dollars:.4f} US dollars"
    return Item(
        "optional",
        "Computational resources",
        f"{counted(spent.calls, 'call')}, {spent.prompt_tokens:,} prompt tokens, "
        f"{spent.completion_tokens:,} completion tokens; cost {money}; platform "
        f"{facts.meta['versions'].get('platform', 'unknown')}. What the server used is not known.",
        RUN,
    )


def _source_words(facts: LogFacts) -> str:
    return f"{len(facts.news)}, source {listed(list(facts.sources)) if facts.sources else 'unknown'}"


def odd(part: CascadePart) -> tuple[Item, ...]:
    """Fill ODD for cascades."""
    return (*_odd_overview(part), *_odd_concepts(part), *_odd_details(part))


def _odd_overview(part: CascadePart) -> tuple[Item, ...]:
    design, tables = part.design, part.played
    agents = "agents" if tables is None else f"{int(tables.n_agents[0]):,} agents"
    return (
        Item(
            "1",
            "Purpose and patterns",
            "To study how a news item spreads among language-model agents with assigned personalities. "
            "Patterns: the engaged fraction over steps, by severity of the news and by group of profiles. "
            "The study's own question is for the author to state.",
            PART,
        ),
        Item(
            "2",
            "Entities, state variables and scales",
            f"Agents ({agents} in a network) with a fixed profile of five binary traits and one state, "
            "engaged or not; links, fixed in a realization; one news item with a severity in each "
            f"realization. Time: {counted(int(design['steps']), 'step')} without a length in hours; no "
            "space beyond the network.",
            RUN,
        ),
        Item(
            "3",
            "Process overview and scheduling",
            "At each step all exposures are found from the state at its start, all questions are asked "
            "concurrently, and all agents with a yes engage together, for good. It ends after the last step "
            "or when nobody is left to ask.",
            RUN,
        ),
    )


def _odd_concepts(part: CascadePart) -> tuple[Item, ...]:
    design = part.design
    return (
        Item(
            "4.1",
            "Basic principles",
            "Contagion of the kind susceptible-infected; Big-Five personality.",
            RUN,
        ),
        Item(
            "4.2",
            "Emergence",
            "The engaged fraction over time, and differences between profiles, come from single decisions; "
            "nothing prescribes them.",
            RUN,
        ),
        Item(
            "4.3",
            "Adaptation",
            "An agent decides whether to share each time that it is asked; the language model is its rule.",
            RUN,
        ),
        Item(
            "4.4",
            "Objectives",
            "None is given to agents beyond the behaviour that their prompt describes.",
            RUN,
        ),
        Item("4.5", "Learning", "None: agents have no memory from one question to the next.", RUN),
        Item("4.6", "Prediction", "None is asked for; what a language model anticipates is not known.", RUN),
        Item(
            "4.7",
            "Sensing",
            "The news text, and that a neighbour has shared it; not which neighbour, how many have, or the "
            "step. An experiment that overrides the messages may tell more: see the prompts.",
            RUN,
        ),
        Item(
            "4.8",
            "Interaction",
            f"An engaged agent exposes its unengaged neighbours; asking rule {design['asking_rule']}.",
            RUN,
        ),
        Item(
            "4.9",
            "Stochasticity",
            "Networks, profiles, the order of those asked to start and temperatures are drawn by the run's "
            f"seed ({part.facts.meta['seed']}), keyed by what they are for; replies are drawn by the "
            "language model.",
            RUN,
        ),
        Item("4.10", "Collectives", "None; groups of profiles are found in the analysis.", RUN),
        Item(
            "4.11",
            "Observation",
            "Every question and reply is recorded; the analysis uses decisions and the engaged fraction "
            "after each step.",
            RUN,
        ),
    )


def _odd_details(part: CascadePart) -> tuple[Item, ...]:
    design, facts = part.design, part.facts
    return (
        Item(
            "5",
            "Initialization",
            f"Network {in_words(design['network'])}, profiles dealt {in_words(design['profiles'])}; agents "
            "picked at random are asked to start until one says yes, which is the only engaged one at step "
            "0.",
            RUN,
        ),
        Item(
            "6",
            "Input data",
            f"{counted(len(facts.news), 'news item')}, listed in this report with source and licence. "
            f"{' '.join(citations(facts)[1:])} Nothing else drives the model from outside.",
            RUN,
        ),
        Item(
            "7",
            "Submodels",
            "The language model with the prompts of this report; the reading of replies; the asking rule. "
            "The fitted laws are part of the analysis.",
            RUN,
        ),
    )
