"""Plays a world: asks what is not recorded yet, records what is answered, sends it in, counts it.

A world says which draws a step needs. On a resumed run it is sent the recorded answers, and only the rest is
asked for, so that a broken run and an unbroken one are played by the same code.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from typing import Any, Final

import numpy as np

from agentnet.errors import PluginError, RunFolderError, RunStopped
from agentnet.events import TABLES, Columns, EventLog, Heard, Recorded, Said
from agentnet.events.schema import columns
from agentnet.plugins import is_of
from agentnet.runner.ahead import Ahead, Tell
from agentnet.runner.streak import Asked, Streak, StreakByVoice
from agentnet.sampler import Answer, Draws, Question, Sampler, chosen
from agentnet.vocabulary import FAILED, REASON
from agentnet.worlds import Arrived, Ask, Begin, End, Note, Recall, World, Write

_NOTHING: Final = Said(None, FAILED, "", None)

_MANY: Final = 1000
"""Draws of a step that the log had better hold: to read fewer back takes no longer."""

_WHY_ANOTHER: Final = (
    "something that it reads changed, or its methods use a clock, chance or counts of their own: go on with "
    "what it began with"
)


@dataclass(slots=True)
class Tally:
    """Counts of a run while it is played, for its progress line. One per run.

    Attributes:
        n_decisions: Decisions answered or missing, recorded earlier ones included; reasons are none, answers
            to the questions of a bank are.
        n_missing: Missing ones among them.
        n_calls: Calls made by this process, retries included.
        prompt_tokens: Tokens in, as far as known.
        completion_tokens: Tokens out, as far as known.
        realizations: Finished realizations.
        dollars: Tells what all sittings of the run cost, in US dollars; None where prices are unknown.
        n_settled: Decisions of the finished realizations among `n_decisions`.
        paused_until: Tells until when no question is put, in UNIX seconds; None while questions are put.
        counts: What the worlds count beside that, by their families' own names.
    """

    n_decisions: int = 0
    n_missing: int = 0
    n_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    realizations: int = 0
    dollars: Callable[[], float | None] = lambda: 0.0
    n_settled: int = 0
    paused_until: Callable[[], float | None] = lambda: None
    counts: Counter[str] = field(default_factory=Counter)


class AnswerColumns:
    """What is written of answers that many draws share, looked up once as long as the same ones come.

    Args:
        log: The event log, which numbers replies.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._answers: Sequence[Answer] = ()
        self._columns: list[Sequence[Any]] = []

    def of(self, answers: Sequence[Answer]) -> list[Sequence[Any]]:
        """Give the columns from ``reply`` to ``latency_s``, and ``mass``; one value where all agree."""
        if answers is not self._answers:
            facts = [
                (
                    self._log.reply_number(str(each.text), each.rationale, each.model, each.fingerprint),
                    each.prompt_tokens,
                    each.completion_tokens,
                    each.asks,
                    each.attempts,
                    int(each.cached),
                    each.latency_s,
                    each.mass,
                )
                for each in answers
            ]
            columns = zip(*facts, strict=True)
            self._answers = answers
            self._columns = [values[:1] if len(set(values)) == 1 else values for values in columns]
        return self._columns


class Journal:
    """Asks and records for one realization.

    Args:
        realization: Its number.
        log: The event log.
        sampler: Who asks.
        tally: The run's counts.
        recorded: The decisions that stand in the log of this realization.
        heard: The answers whose texts count that stand there.
        stop_on_missing: Whether a missing answer stops the run, unrecorded, so that resuming asks it again.
        streak: The run's missing answers in a row, which wait there to be recorded; None records them at
            once.
        columns: What the run's journals share of what they write.

    Attributes:
        n_decisions: Decisions asked for so far, recorded ones included; reasons are none.
    """

    def __init__(
        self,
        realization: int,
        log: EventLog,
        sampler: Sampler,
        tally: Tally,
        *,
        recorded: Recorded,
        heard: Heard | None = None,
        stop_on_missing: bool = False,
        streak: Streak | StreakByVoice | None = None,
        columns: AnswerColumns | None = None,
    ) -> None:
        self.realization = realization
        self.log = log
        self.tally = tally
        self._sampler = sampler
        self._recorded = recorded
        self._heard = heard or {}
        self._stop_on_missing = stop_on_missing
        self._streak = None if stop_on_missing else streak
        self._columns = columns or AnswerColumns(log)
        self.n_decisions = 0
        self._ahead = Ahead(self._put, self._flush)
        self._unasked = Counter(
            kind
            for (kind, _), of_step in self._heard.items()
            for said in of_step.values()
            if said.prompt is not None and kind != REASON
        )

    async def play(self, world: World, give: Callable[[Any], Awaitable[Any]] | None = None) -> End:
        """Play `world` to its end.

        Args:
            world: The realization.
            give: Gives what it wants beside what every world may want.

        Raises:
            RunStopped: An answer is missing and that stops the run, or the run was stopped.
            BackendUnusable: No request can succeed.
            StorageError: The log cannot be written.
            PluginError: It is no generator, wants what nobody gives, or ends without an `End`.
        """
        came: Any = None
        if not isinstance(world, Generator):
            raise PluginError(f"a world is a generator that yields what it wants, and not {world!r:.80}")
        try:
            while True:
                try:
                    want = world.send(came)
                except asyncio.CancelledError as error:
                    raise PluginError(
                        "a world broke off by asyncio.CancelledError; it awaits nothing"
                    ) from error
                came = await self._given(want, give)
        except StopIteration as end:
            if not (isinstance(end.value, End) and _is_end(end.value)):
                what = f"a world ends with {end.value!r:.80}"
                raise PluginError(f"{what}; it returns an End, such as End('finished', step)") from None
            self._check_all_asked()
            return end.value
        finally:
            world.close()
            await self._ahead.aclose()

    async def _given(self, want: Any, give: Callable[[Any], Awaitable[Any]] | None) -> Any:  # noqa: ANN401
        match want:
            case Ask():
                return await self.ask(want)
            case Arrived():
                return await self._ahead.arrived()
            case Begin() | Write() | Note():
                self._do(want)
                return None
            case Recall():
                return await self.log.answered(self.realization)
            case _ if give is not None:
                return await give(want)
            case _:
                raise PluginError(
                    f"a world wants {want!r:.80}, and its family gives it nothing of the kind; "
                    "known: Arrived, Ask, Begin, Note, Recall, Write"
                )

    def _do(self, want: Begin | Write | Note) -> None:
        """Do what nothing is sent back for."""
        match want:
            case Begin():
                self._ahead.begin(want.ask)
            case Note():
                self.log.add_incident(want.kind, **want.facts)
            case Write():
                for table, rows in want.rows.items():
                    _check_rows(table, rows)
                    self.log.add(table, rows)
                for name, n in want.counts.items():
                    self.tally.counts[name] += n

    async def ask(self, asking: Ask) -> Any:  # noqa: ANN401 - decisions, or what was said
        """Get every answer of `asking`; all are on the disk when this returns.

        Returns:
            Decisions, shape ``(len(asking.agents),)``; or, where texts count, what was said to each draw, or
            why nothing was.

        Raises:
            RunStopped: An answer is missing and that stops the run, or the run was stopped.
            BackendUnusable: No request can succeed.
            StorageError: The log cannot be written.
        """
        key = (asking.kind, asking.step)
        if not asking.texts:
            # Decisions are held to nothing but who decides.
            del self._unasked[asking.kind]
            decisions = [-1] * len(asking.agents)
            await self._fill(asking, self._recorded.get(key, {}), decisions)
            return np.array(decisions, dtype=np.int8)
        said = [_NOTHING] * len(asking.agents)
        await self._fill(asking, self._heard.get(key, {}), said)
        # Models are updated by what was said, and their states are saved: nothing may be pending then.
        await self.settle()
        return said

    async def settle(self) -> None:
        """Return once everything asked so far is recorded.

        Raises:
            BackendUnusable: Answers are missing, and it turned out that none is usable.
        """
        if self._streak is not None:
            await self._streak.settle()
            await self.log.flush()

    async def _flush(self) -> None:
        await self.log.flush()

    async def _put(self, asking: Ask, tell: Tell) -> None:
        """Ask for decisions, and tell of each as it comes."""
        del self._unasked[asking.kind]
        known = self._recorded.get((asking.kind, asking.step), {})
        await self._fill(asking, known, [-1] * len(asking.agents), tell)

    async def _fill(
        self,
        asking: Ask,
        known: Mapping[tuple[int, int, int], Any],
        outcomes: list[Any],
        tell: Tell | None = None,
    ) -> None:
        """Fill in an outcome for every draw: the recorded ones, then what is asked for."""
        todo: Sequence[int] = range(len(asking.agents))
        if known:
            todo = self._take_recorded(asking, known, outcomes)
        self.n_decisions += len(asking.agents) if asking.kind != REASON else 0
        draws = self._draws(asking, outcomes, todo)
        if tell is not None:
            draws = _telling(draws, outcomes, tell)
        try:
            await self._sampler.draw(draws)
        finally:
            # What was answered and paid is kept, also when another draw of the step ended the run.
            await self.log.flush()

    def _take_recorded(
        self, asking: Ask, known: Mapping[tuple[int, int, int], Any], outcomes: list[Any]
    ) -> list[int]:
        """Fill in the recorded outcomes; return the positions of the others."""
        rest = []
        counts = asking.kind != REASON
        for i, key in enumerate(zip(asking.agents, asking.sources, asking.repeats, strict=True)):
            outcome = known.get(key)
            if outcome is None:
                rest.append(i)
            else:
                outcomes[i] = outcome
                if asking.texts and outcome.prompt is not None:
                    self._check_asked(asking, i, outcome.prompt)
                self.tally.n_decisions += counts
                self.tally.n_missing += counts and _is_missing(outcome)
        return rest

    def _check_asked(self, asking: Ask, i: int, prompt: int) -> None:
        """Refuse to go on where what was answered is not what the experiment asks now."""
        self._unasked[asking.kind] -= 1
        if asking.questions[i].number != prompt:
            raise RunFolderError(
                f"{self.log.path.parent}: at step {asking.step} of realization {self.realization} agent "
                f"{asking.agents[i]} was asked another {asking.kind} prompt than the experiment composes "
                f"now; {_WHY_ANOTHER}"
            )

    def _check_all_asked(self) -> None:
        if left := +self._unasked:
            raise RunFolderError(
                f"{self.log.path.parent}: realization {self.realization} has {left.total()} answers to "
                f"questions that the experiment does not ask now ({', '.join(left)}); {_WHY_ANOTHER}"
            )

    def _draws(self, asking: Ask, outcomes: list[Any], todo: Sequence[int]) -> Draws:
        composed: dict[int, Question] = {}
        write, streak = self._writer(asking, outcomes), self._streak
        has_prompts = bool(asking.questions) and asking.questions[0].number >= 0

        def record(i: int, answer: Answer) -> None:
            """Write down one answer, or have it wait until a missing one is sure to be the draw's own."""
            if streak is not None:
                if answer.missing is not None:
                    streak.missing(_asked(asking, composed, i), answer, partial(write, i))
                    return
                if streak.is_watching:
                    streak.answered(_asked(asking, composed, i))
            write(i, answer)

        def record_drawn(
            positions: Sequence[int],
            answers: Sequence[Answer],
            which: Sequence[int],
            decisions: Sequence[int],
        ) -> None:
            """Write down many answers at once, but for the first of a sitting, which may be of interest."""
            n_alone = 0
            while streak is not None and streak.is_watching and n_alone < len(positions):
                record(positions[n_alone], answers[which[n_alone]]._replace(decision=decisions[n_alone]))
                n_alone += 1
            if n_alone < len(positions):
                # Where some were recorded before, or by themselves, the others are no range.
                are_all = n_alone == 0 and isinstance(positions, range) and len(asking.agents) >= _MANY
                self._write_drawn(
                    asking,
                    outcomes,
                    positions[n_alone:],
                    answers,
                    which[n_alone:],
                    decisions[n_alone:],
                    are_all=are_all,
                )

        return Draws(
            asking.kind,
            self.realization,
            asking.step,
            asking.agents,
            asking.sources,
            asking.repeats,
            asking.questions,
            asking.temperatures,
            asking.seeds,
            asking.judge,
            record,
            todo,
            composed,
            None if asking.texts or not has_prompts else record_drawn,
        )

    def _writer(self, asking: Ask, outcomes: list[Any]) -> Callable[[int, Answer], None]:
        """Make what writes down an answer: called for every draw of a run, so it looks nothing up twice."""
        realization, kind, step = self.realization, asking.kind, asking.step
        agents, sources, repeats = asking.agents, asking.sources, asking.repeats
        questions, temperatures = asking.questions, asking.temperatures
        log, add_event, reply_number = self.log, self.log.add_event, self.log.reply_number
        tally, now, counts, hears = self.tally, time.time, kind != REASON, asking.texts
        has_prompts = bool(questions) and questions[0].number >= 0

        def write(i: int, answer: Answer) -> None:
            """Write down one answer."""
            (decision, missing, text, rationale, model, fingerprint, prompt_tokens, completion_tokens) = (
                answer[:8]
            )
            asks, attempts, cached, latency_s, troubles, context, mass, value = answer[8:]
            if missing is not None or troubles:
                self._add_troubles(asking, i, answer)
            if hears:
                said = None if missing else text
                outcomes[i] = Said(said, missing, model, fingerprint, decision, value)
            elif decision is not None:
                outcomes[i] = decision
            row = (
                realization,
                kind,
                step,
                agents[i],
                sources[i],
                repeats[i],
                questions[i].number if has_prompts else None,
                temperatures[i],
                decision,
                None if text is None else reply_number(text, rationale, model, fingerprint),
                prompt_tokens,
                completion_tokens,
                asks,
                attempts,
                1 if cached else 0,
                latency_s,
                now(),
            )
            if missing is None and context is None and mass is None and value is None:
                add_event(row, "usual events")
            else:
                add_event((*row[:9], missing, *row[9:], context, mass, value))
            tally.n_decisions += counts
            tally.n_calls += attempts
            tally.prompt_tokens += prompt_tokens or 0
            tally.completion_tokens += completion_tokens or 0
            # A step may be long: what cannot be recorded any more is not paid for to its end.
            if log.error is not None:
                raise log.error

        return write

    def _write_drawn(
        self,
        asking: Ask,
        outcomes: list[Any],
        positions: Sequence[int],
        answers: Sequence[Answer],
        which: Sequence[int],
        decisions: Sequence[int],
        *,
        are_all: bool,
    ) -> None:
        """Write down draws as columns; see `agentnet.sampler.RecordDrawn`."""
        asked = partial(chosen, positions=positions)

        def answered(values: Sequence[Any]) -> Sequence[Any] | repeat[Any]:
            return repeat(values[0]) if len(values) == 1 else list(map(values.__getitem__, which))

        *of_answers, masses = map(answered, self._columns.of(answers))
        repeats = asked(asking.repeats)
        columns = (
            *map(repeat, (self.realization, asking.kind, asking.step)),
            *map(asked, (asking.agents, asking.sources)),
            repeat(repeats[0]) if len(set(repeats)) == 1 else repeats,
            [question.number for question in asked(asking.questions)],
            asked(asking.temperatures),
            decisions,
            *of_answers,
            repeat(time.time()),
        )
        if answers[0].mass is None:
            self.log.add("usual events", Columns(len(positions), columns, are_all))
        else:
            self.log.add("drawn events", Columns(len(positions), (*columns, masses), are_all))
        if isinstance(positions, range):
            outcomes[positions.start : positions.stop] = decisions
        else:
            for i, decision in zip(positions, decisions, strict=True):
                outcomes[i] = decision
        self._count(asking, answers, which)
        if self.log.error is not None:
            raise self.log.error

    def _count(self, asking: Ask, answers: Sequence[Answer], which: Sequence[int]) -> None:
        tally = self.tally
        tally.n_decisions += len(which) if asking.kind != REASON else 0
        for place, n in Counter(which).items():
            tally.n_calls += n * answers[place].attempts
            tally.prompt_tokens += n * (answers[place].prompt_tokens or 0)
            tally.completion_tokens += n * (answers[place].completion_tokens or 0)

    def _add_troubles(self, asking: Ask, i: int, answer: Answer) -> None:
        """Write down what went wrong with a draw, and stop the run if that is the policy."""
        key = (
            self.realization,
            asking.kind,
            asking.step,
            asking.agents[i],
            asking.sources[i],
            asking.repeats[i],
        )
        now = time.time()
        self.log.add("troubles", [(None, *key, *trouble, now) for trouble in answer.troubles])
        if answer.missing is None:
            return
        if self._stop_on_missing:
            raise RunStopped(
                f"realization {self.realization}, step {asking.step}, agent {asking.agents[i]}: no usable "
                f"answer ({answer.missing}); `engine.on_missing` is 'stop'. Resuming asks it again (replies "
                "that are in the cache stay there: -S stack.cache=false passes it by)"
            )
        self.tally.n_missing += asking.kind != REASON


def _telling(draws: Draws, outcomes: Sequence[int], tell: Tell) -> Draws:
    """Have the draws tell of each decision; of those that are recorded at once."""
    record = draws.record

    def told(i: int, answer: Answer) -> None:
        record(i, answer)
        tell(i, -1 if answer.decision is None else answer.decision)

    for i in set(range(len(outcomes))).difference(draws.todo):
        tell(i, outcomes[i])
    return replace(draws, record=told, record_drawn=None)


def _asked(asking: Ask, composed: Mapping[int, Question], i: int) -> Asked:
    return Asked(composed.get(i, asking.questions[i]), asking.temperatures[i], asking.judge)


def _is_missing(outcome: int | Said) -> bool:
    return outcome.missing is not None if isinstance(outcome, Said) else outcome < 0


def _is_end(end: End) -> bool:
    return is_of(str, end.status) and isinstance(end.last_step, int | np.integer) and end.last_step >= 0


def _check_rows(table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Refuse rows that cannot be a table's own, by the first; what tables there are, the log knows."""
    if table not in TABLES or not isinstance(rows, Sequence) or not rows:
        return
    names = columns(table)
    if not isinstance(rows[0], Sequence) or len(rows[0]) != len(names):
        raise PluginError(
            f"a world writes {rows[0]!r:.80} into table {table!r}, whose columns are {', '.join(names)}"
        )
