"""What a run's event log says beyond the tables of `agentnet.analysis`: design, costs, troubles, texts.

Counts are taken by SQLite, so that no event becomes a Python object: ten million of them take seconds.
"""

from __future__ import annotations

import ast
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.asking_rules import ASKING_RULES
from agentnet.errors import RunFolderError
from agentnet.events import Run
from agentnet.events.conditions import Condition, condition_of
from agentnet.events.digest import digest
from agentnet.events.schema import OF_PEOPLE
from agentnet.events.spending import BY_RULES, Spending, read_spending
from agentnet.guesses import Guesses, read_guesses
from agentnet.news import TABLE, told_of
from agentnet.probe.card import FILE as PROBE
from agentnet.probe.card import Card, read_card
from agentnet.report.figures.words import listed
from agentnet.report.spoken import Spoken, read_spoken
from agentnet.vocabulary import OF_A_RULE, REASON

_TROUBLE_CHARACTERS: Final = 300

_HOOKS: Final = frozenset(
    {
        *("arms", "assign_profiles", "choose_bank", "choose_evaluation", "choose_news", "choose_taught"),
        *("constraint", "judge", "load_prompts", "load_questions", "make_network", "make_topology"),
        *("messages", "system_messages"),
    }
)
"""Methods that experiments could override when logs did not record which they do."""

_KINDS = """
SELECT realization, kind, COUNT(*), COALESCE(SUM(decision = 1), 0), COALESCE(SUM(decision = 0), 0),
       COUNT(missing)
FROM events GROUP BY realization, kind ORDER BY kind
"""
_RULED = f"""
SELECT realization, COUNT(*) FROM events WHERE kind <> '{REASON}' AND reply IN ({BY_RULES}) GROUP BY 1
"""  # noqa: S608 - our own
_BEGUN = "SELECT realization, news FROM realizations"
_MISSING = """
SELECT kind, missing, COUNT(*) FROM events WHERE missing IS NOT NULL GROUP BY kind, missing
ORDER BY kind, COUNT(*) DESC, missing
"""
_MODELS = f"""
SELECT r.model, COALESCE(r.fingerprint, ''), SUM(n) FROM replies r
JOIN (SELECT reply, COUNT(*) AS n FROM events WHERE reply IS NOT NULL GROUP BY reply) USING (reply)
WHERE r.model NOT GLOB '{OF_A_RULE}*' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""  # noqa: S608 - our own
_TROUBLES = """
SELECT kind, trouble_kind, COUNT(*), MIN(trouble) FROM troubles GROUP BY kind, trouble_kind
ORDER BY COUNT(*) DESC, kind, trouble_kind
"""
_MENDED = """
SELECT t.kind, COUNT(*), COALESCE(SUM(e.missing IS NULL AND e.kind IS NOT NULL), 0)
FROM (SELECT DISTINCT realization, kind, step, agent, source, repeat FROM troubles) t
LEFT JOIN events e USING (realization, kind, step, agent, source, repeat) GROUP BY t.kind
"""
_TURNS = """
SELECT realization, step, before, after FROM (
    SELECT realization, step, AVG(n_candidates) AS after,
           LAG(AVG(n_candidates)) OVER (PARTITION BY realization ORDER BY step) AS before
    FROM interviews GROUP BY realization, step
) WHERE before <> after ORDER BY realization, step
"""
_MOST_TURNS: Final = 2

_VOICES = """
SELECT realization, COALESCE(voice, ''), COUNT(*) FROM agents GROUP BY 1, 2 ORDER BY 1, 2
"""

_EXAMPLES = """
SELECT kind, profile, p.news, messages FROM prompts p
WHERE prompt IN (SELECT MIN(prompt) FROM prompts GROUP BY kind) ORDER BY prompt
"""

_PROFILES = "SELECT COUNT(DISTINCT NULLIF(profile, '')) FROM agents"
_PROMPTS = "SELECT prompt, hash, kind, profile, news FROM prompts ORDER BY prompt"
_PROMPT = "SELECT kind, profile, news, messages FROM prompts WHERE prompt = ?"
_ASKED_IN = "SELECT prompt, MIN(realization) FROM events WHERE prompt IS NOT NULL GROUP BY prompt"


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions of one kind.

    Attributes:
        kind: ``exposure``, ``seed``, ``ratio`` or ``reason``.
        n: Questions that were to be answered.
        n_yes: Answered yes.
        n_no: Answered no.
        n_missing: Not answered.
    """

    kind: str
    n: int
    n_yes: int
    n_no: int
    n_missing: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Unusable replies and failed calls of one kind.

    Attributes:
        asked: What was asked: ``exposure``, ...
        kind: The kind of trouble.
        n: How often.
        example: What the first one was.
    """

    asked: str
    kind: str
    n: int
    example: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A step from which models had other numbers of candidates than before, as where a topology is disrupted.

    Attributes:
        step: The first step of the later numbers.
        before: Mean number of candidates of a model at the step before.
        after: The same at `step`.
    """

    step: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Incident:
    """A line of the run's own diary.

    Attributes:
        at: Seconds since 1970 (UTC).
        kind: ``started``, ``finished``, ``spent``, ...
        detail: What there is to say.
    """

    at: float
    kind: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class News:
    """A news item as the run used it.

    Attributes:
        id: Its name.
        severity: 0 peaceful, 1 severe, None unknown.
        text: What agents read; None where its source does not allow passing it on.
        facts: What else is known: date, place, labels, source, licence.
    """

    id: str
    severity: int | None
    text: str | None
    facts: Mapping[str, str]

    @property
    def source(self) -> str:
        """``synthetic``, ``acled``, ``ucdp`` or ``table``."""
        return self.facts.get("source", "")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt as it was sent.

    Attributes:
        kind: ``exposure``, ``seed`` or ``ratio``.
        profile: Five bits; "" where agents have none.
        news: Name of the news item; "" where it is about none, or may be about any.
        messages: (role, content) pairs; None where a news text in it may not be passed on.
    """

    kind: str
    profile: str
    news: str
    messages: tuple[tuple[str, str], ...] | None


@dataclass(frozen=True, slots=True)
class Begun:
    """What was played of one condition.

    Attributes:
        n_realizations: Realizations that were begun.
        n_news: News items that they are of.
        n_repeats: Realizations of each of these; None where they are not as many of each.
        asked: Their questions by kind.
        n_by_rules: Those of them that rules of the experiment answered, whom no model was asked for.
    """

    n_realizations: int
    n_news: int
    n_repeats: int | None
    asked: tuple[Asked, ...]
    n_by_rules: int = 0


@dataclass(frozen=True, slots=True)
class LogFacts:
    """A run as its event log tells it.

    Attributes:
        run: Name of the run folder.
        meta: Table ``meta``.
        digest: What tells runs of equal results.
        asked: Questions by kind.
        begun: What was played of each condition, by its number.
        missing: (kind, reason, number) of questions without an answer.
        models: (model name, fingerprint, answers), as servers returned them; rules are none.
        spending: What it took.
        first_at: When the first answer came, seconds since 1970; None without answers.
        last_at: When the last came.
        troubles: What went wrong on the way.
        mended: Kind -> (questions that something went wrong with, those that were answered in the end).
        incidents: The run's diary.
        news: The news items.
        examples: One prompt of each kind.
        prompts_apart: Condition after the first -> kind -> a prompt that differs from what the first one asks
            of the same profile about the same news, or any, where it asks none of these; None where those
            that both ask are the same.
        statuses: Realizations by status.
        mass: Least and mean probability that the server listed on the answers, over the decisions drawn from
            it; None where none was.
        spoken: What was found in prompts.
        guesses: What a model guessed its prompts to be for, where it was asked.
        n_profiles: Different profiles of agents.
        turns: By realization, steps at which its models came to have other numbers of candidates; none where
            that happens again and again.
        voices: (number of the condition, voice) -> agents that it answered for, over all realizations; empty
            where no agent has one.
        probe: The card of a probe that lies in the run; None where there is none.
    """

    run: str
    meta: Mapping[str, Any]
    digest: str
    asked: tuple[Asked, ...]
    begun: tuple[Begun, ...]
    missing: tuple[tuple[str, str, int], ...]
    models: tuple[tuple[str, str, int], ...]
    spending: Spending
    first_at: float | None
    last_at: float | None
    troubles: tuple[Trouble, ...]
    mended: Mapping[str, tuple[int, int]]
    incidents: tuple[Incident, ...]
    news: tuple[News, ...]
    examples: tuple[Prompt, ...]
    prompts_apart: Mapping[int, Mapping[str, Prompt | None]]
    statuses: Mapping[str, int]
    mass: tuple[float, float] | None = None
    turns: Mapping[int, tuple[Turn, ...]] = field(default_factory=dict)
    spoken: Spoken = field(default_factory=Spoken)
    guesses: Guesses | None = None
    n_profiles: int = 0
    voices: Mapping[tuple[int, str], int] = field(default_factory=dict)
    probe: Card | None = None

    @property
    def family(self) -> str:
        """``cascade``, ``ratio`` or ``interview``."""
        return str(self.meta["experiment"]["family"])

    @property
    def overridden(self) -> frozenset[str] | None:
        """Methods of agentnet's that the experiment has in its own way; None where that is not known."""
        experiment = self.meta["experiment"]
        recorded = experiment.get("overridden")
        # A knob that is set to a class, such as an answer's, is no method.
        knobs = experiment["design"][0]
        return _defined(experiment) if recorded is None else frozenset(recorded) - frozenset(knobs)

    def unless(self, methods: str, usual: str, otherwise: str) -> str:
        """Say what holds, which is never what a knob says where the experiment overrides what reads it.

        Args:
            methods: The methods that `usual` takes to be agentnet's, with blanks between them.
            usual: What is so if they are, or if it was not recorded whether they are.
            otherwise: What is so else; ``{}`` stands for those that are overridden.
        """
        own = [name for name in methods.split() if name in (self.overridden or ())]
        return otherwise.format(listed(own)) if own else usual

    @property
    def experiment(self) -> str:
        """Class and file of the experiment, without the folder that it lay in."""
        recorded = self.meta["experiment"]
        return f"{recorded['class_name']} ({PurePath(str(recorded['path'])).name})"

    @property
    def n_conditions(self) -> int:
        """Number of conditions."""
        return len(self.meta["experiment"]["design"])

    @property
    def has_people(self) -> bool:
        """Whether people answer for agents, for some at least."""
        voices = (self.meta.get("voices") or {}).values()
        return OF_PEOPLE in [self.meta["model_name"], *(told["model_name"] for told in voices)]

    @property
    def n_by_rules(self) -> int:
        """Number of questions that rules of the experiment answered."""
        return sum(each.n_by_rules for each in self.begun)

    @property
    def sources(self) -> tuple[str, ...]:
        """Sources of the news items, each once."""
        return tuple(sorted({each.source for each in self.news}))

    def design(self, condition: int) -> Mapping[str, Any]:
        """The design of a condition, by knob."""
        found: Mapping[str, Any] = self.meta["experiment"]["design"][condition]
        return found

    def condition_words(self, condition: int) -> str:
        """Name a condition behind the run that it is of; empty where the run has no other."""
        if self.n_conditions == 1:
            return ""
        return f", condition {condition}: {Condition.all_of(self.meta)[condition].name}"

    def source(self, name: str) -> Mapping[str, Any]:
        """What is told of a source of news: ``whence``, ``citation``, ``restricted``."""
        return told_of(name, self.meta.get("sources") or {})

    def kind(self, kind: str) -> Asked:
        """Look questions of a kind up; all zero if there are none."""
        return next((each for each in self.asked if each.kind == kind), Asked(kind, 0, 0, 0, 0))

    def knob(self, name: str, condition: int | None = None) -> list[Any]:
        """List the values that a knob has in a condition, or in all of them, each once."""
        found: list[Any] = []
        for number in range(self.n_conditions) if condition is None else [condition]:
            value = self.design(number)[name]
            found += [value] if value not in found else []
        return found

    def rule_says(self, condition: int) -> str:
        """Say what the asking rule of a condition does: as the log has it, else as agentnet knows it."""
        rule = str(self.design(condition)["asking_rule"])
        recorded = self.meta.get("asking_rules")
        if recorded is not None:
            return str(recorded[condition]["says"]).removesuffix(",")
        if known := ASKING_RULES.get(rule):
            return known.sentence.removesuffix(",")
        return "agents were asked by a rule whose sentence was not recorded"


def overriding_sentences(facts: LogFacts) -> Iterator[str]:
    """Name the methods that the experiment overrides, whose doings no knob tells."""
    if facts.overridden is None:
        yield "which methods the experiment overrides was not recorded"
    elif facts.overridden:
        yield f"the experiment has its own {listed(sorted(facts.overridden), most=12)}"


def read_facts(run: Run, *, restricted_texts: bool = False) -> LogFacts:
    """Read what a report says of a run.

    Args:
        run: The run.
        restricted_texts: Whether to read news texts whose source does not allow passing them on.

    Raises:
        RunFolderError: The log is damaged.
    """
    meta = run.meta
    with run.snapshot() as connection:
        try:
            return _read(run, meta, connection, restricted_texts=restricted_texts)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise RunFolderError(
                f"{run.path} is damaged: it is not as it was written ({type(error).__name__}: {error}); go "
                "on with a copy of the run"
            ) from error


def realizations_of(run: Run, condition: int) -> NDArray[np.int64]:
    """List the numbers of a condition's realizations, shape ``(n_realizations,)``."""
    with run.snapshot() as connection:
        of = condition_of(connection)
    return np.array(sorted(number for number, own in of.items() if own == condition), dtype=np.int64)


def _read(
    run: Run, meta: Mapping[str, Any], connection: sqlite3.Connection, *, restricted_texts: bool
) -> LogFacts:
    news = _news(connection, meta.get("sources") or {}, restricted_texts=restricted_texts)
    spending, first_at, last_at = read_spending(connection)
    return LogFacts(
        run=run.folder.resolve().name,
        meta=_checked(meta),
        # What a finished log keeps was compared with its rows before (`check_unchanged`).
        digest=meta.get("digest") or digest(connection),
        asked=_summed(Asked(*row) for _, *row in connection.execute(_KINDS)),
        begun=tuple(_begun(connection, len(meta["experiment"]["design"]))),
        missing=tuple((str(kind), str(why), n) for kind, why, n in connection.execute(_MISSING)),
        models=tuple((str(name), str(mark), n) for name, mark, n in connection.execute(_MODELS)),
        spending=spending,
        first_at=first_at,
        last_at=last_at,
        troubles=_troubles(connection),
        mended={kind: (n, n_mended) for kind, n, n_mended in connection.execute(_MENDED)},
        incidents=_incidents(connection),
        news=news,
        examples=tuple(_prompt(row, news) for row in connection.execute(_EXAMPLES)),
        prompts_apart=_prompts_apart(connection, news, len(meta["experiment"]["design"])),
        statuses=dict(
            connection.execute("SELECT status, COUNT(*) FROM realizations GROUP BY status ORDER BY status")
        ),
        mass=_mass(connection),
        turns=_turns(connection),
        spoken=read_spoken(connection, meta),
        guesses=read_guesses(run.folder),
        n_profiles=connection.execute(_PROFILES).fetchone()[0],
        voices=_voices(connection, meta),
        probe=read_card(run.folder / PROBE) if (run.folder / PROBE).is_file() else None,
    )


def _defined(experiment: Mapping[str, Any]) -> frozenset[str] | None:
    """Find the methods that an experiment overrides in its file, for logs that did not record which.

    Returns:
        None where its file, or the class in it, is not in the log.
    """
    texts = [experiment.get("text", ""), *(each["text"] for each in experiment.get("siblings", {}).values())]
    classes = {
        node.name: node
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    }
    wanted, found = [str(experiment["class_name"])], set[str]()
    if wanted[0] not in classes:
        return None
    while wanted:
        own = classes.pop(wanted.pop(), None)
        if own is not None:
            wanted += [ast.unparse(base).rpartition(".")[2] for base in own.bases]
            found |= {node.name for node in own.body if isinstance(node, ast.FunctionDef)}
    return frozenset(found & _HOOKS)


def _begun(connection: sqlite3.Connection, n_conditions: int) -> Iterator[Begun]:
    """Count what was played of each condition."""
    of = condition_of(connection)
    asked: dict[int | None, list[Asked]] = {}
    for realization, *row in connection.execute(_KINDS):
        asked.setdefault(of.get(realization), []).append(Asked(*row))
    by_rules: Counter[int | None] = Counter()
    for realization, n in connection.execute(_RULED):
        by_rules[of.get(realization)] += n
    news: dict[int | None, list[int | None]] = {}
    for realization, item in connection.execute(_BEGUN):
        news.setdefault(of.get(realization), []).append(item)
    for number in range(n_conditions):
        played = Counter(news.get(number, ()))
        repeats = set(played.values())
        n_repeats = repeats.pop() if len(repeats) == 1 else None
        yield Begun(played.total(), len(played), n_repeats, _summed(asked.get(number, ())), by_rules[number])


def _summed(every: Iterable[Asked]) -> tuple[Asked, ...]:
    """Add up what was asked of each kind."""
    found: dict[str, Asked] = {}
    for each in every:
        first = found.setdefault(each.kind, Asked(each.kind, 0, 0, 0, 0))
        numbers = (getattr(first, name) + getattr(each, name) for name in ("n", "n_yes", "n_no", "n_missing"))
        found[each.kind] = Asked(each.kind, *numbers)
    return tuple(found[kind] for kind in sorted(found))


def _turns(connection: sqlite3.Connection) -> dict[int, tuple[Turn, ...]]:
    found: dict[int, tuple[Turn, ...]] = {}
    for realization, *turn in connection.execute(_TURNS):
        found[realization] = (*found.get(realization, ()), Turn(*turn))
    # Where it changes at every other step no single one is a turn.
    return {realization: turns for realization, turns in found.items() if len(turns) <= _MOST_TURNS}


def _voices(connection: sqlite3.Connection, meta: Mapping[str, Any]) -> dict[tuple[int, str], int]:
    found: Counter[tuple[int, str]] = Counter()
    if meta.get("voices"):
        of = condition_of(connection)
        for realization, voice, n_agents in connection.execute(_VOICES):
            found[of[realization] or 0, voice] += n_agents
    return found


def _mass(connection: sqlite3.Connection) -> tuple[float, float] | None:
    query = "SELECT MIN(mass), AVG(mass) FROM events WHERE mass IS NOT NULL AND missing IS NULL"
    least, mean = connection.execute(query).fetchone()
    return None if least is None else (float(least), float(mean))


def _checked(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """See that what a report reads of table ``meta`` is there."""
    experiment = meta["experiment"]
    for key in ("family", "class_name", "path", "design", "conditions"):
        experiment[key]
    for key in (
        *("status", "seed", "backend", "model_name", "created_at", "settings", "prompts", "prompts_hash"),
        *("licences", "versions", "n_realizations"),
    ):
        meta[key]
    return meta


def _troubles(connection: sqlite3.Connection) -> tuple[Trouble, ...]:
    found = []
    for asked, kind, n, first in connection.execute(_TROUBLES).fetchall():
        detail, text = connection.execute(
            "SELECT detail, COALESCE(text, '') FROM troubles WHERE trouble = ?", (first,)
        ).fetchone()
        example = f"{detail}: {text}" if text else str(detail)
        cut = example if len(example) <= _TROUBLE_CHARACTERS else f"{example[:_TROUBLE_CHARACTERS]} [...]"
        found.append(Trouble(str(asked), str(kind), n, cut))
    return tuple(found)


def _incidents(connection: sqlite3.Connection) -> tuple[Incident, ...]:
    rows = connection.execute("SELECT at, kind, detail FROM incidents ORDER BY incident")
    return tuple(Incident(float(at), str(kind), dict(json.loads(detail))) for at, kind, detail in rows)


def _news(
    connection: sqlite3.Connection, sources: Mapping[str, Mapping[str, Any]], *, restricted_texts: bool
) -> tuple[News, ...]:
    found = []
    rows = connection.execute("SELECT id, severity, text, item FROM news ORDER BY news")
    for name, severity, text, item in rows:
        facts = {key: str(value) for key, value in json.loads(item).items() if value not in (None, "")}
        for key in ("id", "text", "severity"):
            facts.pop(key, None)
        kept = restricted_texts or not told_of(facts.get("source", TABLE), sources)["restricted"]
        found.append(News(str(name), severity, str(text) if kept else None, facts))
    return tuple(found)


def _prompt(row: Sequence[Any], news: tuple[News, ...]) -> Prompt:
    kind, profile, number, messages = row
    name, about = ("", news) if number is None else (news[number].id, (news[number],))
    pairs = tuple((str(role), str(content)) for role, content in json.loads(messages))
    hidden = any(item.text is None for item in about)
    return Prompt(str(kind), str(profile or ""), name, None if hidden else pairs)


def _prompts_apart(
    connection: sqlite3.Connection, news: tuple[News, ...], n_conditions: int
) -> dict[int, dict[str, Prompt | None]]:
    """Compare the prompts of conditions with those of the first one."""
    if n_conditions == 1:
        return {}
    of = condition_of(connection)
    asked_in = dict(connection.execute(_ASKED_IN))
    first: dict[tuple[Any, ...], set[str]] = {}
    compared: dict[tuple[int, str], dict[str, int]] = {}
    for number, hash_, kind, *about in connection.execute(_PROMPTS):
        condition = of.get(asked_in.get(number, -1))
        if condition is None:
            continue
        if condition == 0:
            first.setdefault((kind, *about), set()).add(hash_)
            continue
        known = first.get((kind, *about))
        how = "unknown" if known is None else "same" if hash_ in known else "other"
        compared.setdefault((condition, str(kind)), {}).setdefault(how, number)
    found: dict[int, dict[str, Prompt | None]] = {}
    for (condition, kind), numbers in compared.items():
        shown = numbers.get("other") or (None if "same" in numbers else numbers["unknown"])
        row = None if shown is None else connection.execute(_PROMPT, (shown,)).fetchone()
        found.setdefault(condition, {})[kind] = None if row is None else _prompt(row, news)
    return found
