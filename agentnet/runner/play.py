"""Play all realizations of a run: side by side, resumable, stoppable."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agentnet.backend import AnswersNow, Backend
from agentnet.errors import (
    BackendError,
    BackendUnusable,
    DesignError,
    Interrupted,
    RunStopped,
    near_miss,
)
from agentnet.events import LOG_NAME, EventLog, Run, close_for_good, is_closed_for_good
from agentnet.events.checksums import keep_hash
from agentnet.events.export import write_parquet
from agentnet.events.spent import PLEDGED, UNCOUNTED, SpentSoFar, spent_so_far, tokens_by_voice
from agentnet.experiment import blamed
from agentnet.families import Planned, Scene, Sitting
from agentnet.families.contract import Scenes
from agentnet.plugins import is_own
from agentnet.runner.journal import AnswerColumns, Journal, Tally
from agentnet.runner.prepare import Prepared, plain
from agentnet.runner.streak import Streak, StreakByVoice
from agentnet.sampler import (
    CallSampler,
    ChoicesSampler,
    LogprobSampler,
    Odds,
    Pool,
    RuleSampler,
    Sampler,
    Stock,
    Thoughts,
)
from agentnet.stack import Brake, FewerSamples, Halt, LimitChange, Spent, Stack, build_stack, cache_scope
from agentnet.streams import Streams
from agentnet.voices import OWN, RULE, ByVoice, VoicesBackend, listing_voices, parts_of, voices_of

_COLLECT_EVERY = 50_000


@dataclass(frozen=True, slots=True)
class _Done:
    """What the log says of realizations begun before: networks, which are finished, hashes of prompts."""

    networks: dict[int, str | None]
    finished: frozenset[int]
    prompts: dict[int, str]


class Runner:
    """Plays one run. Make one for each sitting; it is used up by `play`.

    Args:
        prepared: The run.
        backend: Who answers, with its stack around it; closed in the end.
        say: Called with a line when people should know of something while the run is played.
    """

    def __init__(
        self, prepared: Prepared, backend: Backend, *, say: Callable[[str], None] | None = None
    ) -> None:
        self.tally = Tally()
        self._say = say or _say_nothing
        self._prepared = prepared
        self._plugin = backend
        self._settings = prepared.settings
        self._streams = Streams(prepared.settings.seed)
        self._pool = Pool(prepared.settings.engine.workers)
        self._halt = Halt()
        self._error: BaseException | None = None
        self._has_rules = prepared.stage.may_say or RULE in voices_of(prepared.experiments).values()

    async def play(self) -> None:
        """Play every realization that is not finished; then close the log and freeze it.

        Raises:
            Interrupted: `interrupt` was called; what was in flight is recorded.
            BackendUnusable: No request can succeed.
            RunStopped: A policy ended the run.
            StorageError: The log cannot be written.
        """
        log_settings = self._settings.log
        log = EventLog(
            self._prepared.folder, group_rows=log_settings.group_rows, group_s=log_settings.group_s
        )
        self._backend = self._plugin
        try:
            with _calm_collector():
                async with log:
                    stack = self._wrap(log)
                    try:
                        async with self._pool:
                            await self._play_in(log)
                    finally:
                        await self._streak.aclose()
                        log.add_incident("spent", **stack.budget.spent._asdict())
                        # What was paid for and not recorded was called, too.
                        self.tally.n_calls = stack.budget.spent.calls - self._before.use.calls
                        log.set_meta(**{PLEDGED: None})
                    await log.finish()
        finally:
            await self._backend.aclose()
            await self._prepared.stage.aclose()
        freeze(self._prepared.folder, parquet=log_settings.parquet)

    def _wrap(self, log: EventLog) -> Stack:
        """Put the stack around the plug-in; what it has to tell goes into the log."""
        settings, run = self._settings, Run(self._prepared.folder)
        # Who asks again what stayed missing goes on where the asking ended: the same asks would end alike.
        self._max_asks = settings.engine.max_asks * (1 + run.meta.get("asked_again", 0))
        with run.snapshot() as connection:
            self._before = spent_so_far(connection)
            ((self._n_uncounted,),) = connection.execute(UNCOUNTED)
            self._tokens_before = self._tokens_by_voice(connection)
            ((n_sittings,),) = connection.execute(_N_SITTINGS)
            n_sure = dict(connection.execute(_SURE).fetchall())
        if found := getattr(self._plugin, "found", {}):
            log.add_incident("found in the environment", **found)
            self._say(f"found in the environment: {', '.join(f'{name} {found[name]}' for name in found)}")
        stack = self._stack(log)
        self._guard(stack, log, n_sittings)
        self.tally.paused_until = stack.paused_until
        log.also = stack.flush if stack.caches else None
        self.tally.dollars = lambda: stack.budget.spent.dollars
        seed, sampler = settings.seed, settings.sampler
        self._stock = Stock(self._backend, run_seed=seed, n_at_most=sampler.n_at_most)
        self._odds = Odds(
            self._backend,
            least_mass=sampler.least_mass,
            n_sure=n_sure,
            listing=listing_voices(self._plugin),
        )
        return stack

    def _tokens_by_voice(self, connection: sqlite3.Connection) -> dict[str, tuple[int, int]] | None:
        """Tell which voice took what; None where that is not asked, or not all of it is recorded."""
        is_recorded = self._before.use == self._before.recorded
        return tokens_by_voice(connection) if is_recorded and len(parts_of(self._plugin)) > 1 else None

    def _stack(self, log: EventLog) -> Stack:
        settings, loop = self._settings, asyncio.get_running_loop()

        def note(message: str) -> None:
            # What is closed last may find trouble when the log is closed already.
            if log.is_open:
                log.add_incident("cache", message=message)
            else:
                self._say(message)

        def complain(message: str) -> None:
            # Called from the cache's own thread, too.
            loop.call_soon_threadsafe(note, message)

        async def pledge(most: Spent) -> None:
            log.set_meta(**{PLEDGED: most[:3]})
            await log.flush()

        def adapted(changes: tuple[str, ...]) -> None:
            log.add_incident("adapted", changes=changes)
            for change in changes:
                self._say(f"adapted to the server: {change}")

        return build_stack(
            self._plugin,
            settings.stack,
            scope=cache_scope(self._plugin, settings.backend),
            cache_folder=settings.runs / ".cache",
            in_flight=settings.engine.workers,
            spent=_spent(self._before),
            spent_tokens=self._tokens_before,
            pledge=pledge,
            tell=lambda change: log.add_incident("in flight", **_told(change)),
            complain=complain,
            halt=self._halt,
            adapted=adapted,
        )

    def _guard(self, stack: Stack, log: EventLog, sitting: int) -> None:
        """Have the run stop where no answer is usable, or no request is answered."""

        def fewer(words: str) -> None:
            log.add_incident("samples", message=words)
            self._say(words)

        after, parts = self._settings.engine.brake_after, parts_of(self._plugin)
        # Who is asked once is no server that could be put to the test.
        afters = {v: sys.maxsize for v, part in parts.items() if getattr(part.backend, "asks_once", False)}
        # What is no answer to a control must be none to those that it stands for.
        controlled = self._prepared.stage.answering(stack.backend)

        def streak(voice: str = OWN) -> Streak:
            longest = afters.get(voice, after)
            return Streak(after=longest, complete=controlled.complete, stop=self._stop, sitting=sitting)

        # The brake must not take a refused n for a dead server, nor a thought for an answer.
        has_n = self._settings.sampler.mode == "choices"

        def guarded() -> Backend:
            braked = FewerSamples(stack.backend, tell=fewer) if has_n else stack.backend
            return Thoughts(
                Brake(braked, after=after, halt=self._halt, sitting=sitting, lend=self._pool.lend)
            )

        # One each: that one server answers is no evidence that another one does.
        self._streak: Streak | StreakByVoice = streak()
        self._backend = guarded()
        if isinstance(self._plugin, VoicesBackend):
            self._backend = ByVoice({voice: guarded() for voice in stack.limits}, self._plugin.rules)
            self._streak = StreakByVoice({voice: streak(voice) for voice in stack.limits})

    def interrupt(self, reason: Interrupted | None = None) -> None:
        """Begin no further question, and wait for nothing but what is on its way to the server.

        `play` ends once that is answered and recorded.
        """
        self._stop(reason or Interrupted("interrupted; what was in flight is recorded"))

    async def _play_in(self, log: EventLog) -> None:
        done = self._look_back()
        self._note_begin(log, done)
        self._columns = AnswerColumns(log)
        stage = self._prepared.stage
        caller = CallSampler(
            stage.answering(self._backend),
            self._pool,
            run_seed=self._settings.seed,
            max_asks=self._max_asks,
            answers_now=isinstance(self._plugin, AnswersNow),
        )
        sitting = Sitting(
            folder=self._prepared.folder,
            settings=self._settings,
            streams=self._streams,
            log=log,
            pool=self._pool,
            sampler=partial(self._sampler, caller, Counter((cell[0], cell[1]) for cell in stage.cells())),
            caller=caller,
            prompts=done.prompts,
            networks=done.networks,
        )
        scenes = stage.scenes(sitting)
        rest = iter([planned for planned in self._prepared.plan if planned.realization not in done.finished])
        n_at_once = self._settings.engine.realizations_at_once
        players = [self._player(rest, scenes, sitting) for _ in range(n_at_once)]
        await asyncio.gather(*players)
        await self._streak.rest()
        if not isinstance(self._error, BackendUnusable):
            self._streak.flush()
        if self._error is not None:
            log.add_incident("stopped", reason=str(self._error))
            raise self._error
        log.add_incident("finished")

    def _note_begin(self, log: EventLog, done: _Done) -> None:
        """Note that a sitting begins, and what it counts on from."""
        kind = "resumed" if done.networks else "started"
        use, recorded = self._before.use, self._before.recorded
        counted: dict[str, object] = {}
        if kind == "resumed" or any(use):
            counted = {
                "spent": _spent(self._before)._asdict(),
                "recorded": list(recorded),
                "uncounted": self._n_uncounted,
            }
        log.add_incident(kind, journal_mode=log.journal_mode, **counted)

    def _look_back(self) -> _Done:
        """Read what earlier sittings did, and count it."""
        run = Run(self._prepared.folder)
        with run.snapshot() as connection:
            rows = connection.execute("SELECT realization, network, status FROM realizations").fetchall()
            prompts = dict(connection.execute("SELECT prompt, hash FROM prompts").fetchall())
            ((self.tally.n_decisions, self.tally.n_missing),) = connection.execute(_ANSWERED)
        finished = frozenset(number for number, _, status in rows if status != "running")
        self.tally.n_settled = self.tally.n_decisions
        self.tally.counts.update(self._prepared.stage.counts_before(run))
        self.tally.realizations = len(finished)
        return _Done({number: network for number, network, _ in rows}, finished, prompts)

    async def _player(self, rest: Iterator[Planned], scenes: Scenes, sitting: Sitting) -> None:
        """Play one realization after the other; `rest` is shared, and nothing awaits between its uses."""
        for planned in rest:
            if self._error is not None:
                return
            try:
                await self._play_one(planned, scenes, sitting)
            # The first error ends the run, after what is in flight; so does an experiment that calls `exit`.
            except BaseException as error:
                if not is_own(error):
                    raise
                self._stop(error)
                return

    def _stop(self, error: BaseException) -> None:
        if (found := blamed(error)) is not None:
            found.__cause__ = error
            error = found
        if self._error is None:
            self._error = error
        self._pool.stop(error)
        # An error that says nothing but that one request failed would be recorded as that by whoever gets it.
        is_of_one = isinstance(error, BackendError) and not isinstance(error, BackendUnusable)
        self._halt.stop(error if isinstance(error, Exception) and not is_of_one else RunStopped(str(error)))

    async def _play_one(self, planned: Planned, scenes: Scenes, sitting: Sitting) -> None:
        number, log, begun = planned.realization, sitting.log, sitting.begun(planned)
        async with scenes(planned) as scene:
            journal = Journal(
                number,
                log,
                scene.sampler,
                self.tally,
                recorded=await log.recorded(number) if begun else {},
                heard=await log.heard(number) if begun else None,
                stop_on_missing=self._settings.engine.on_missing == "stop",
                streak=self._streak,
                columns=self._columns,
            )
            if not begun:
                self._begin(planned, log, scene)
            end = await journal.play(scene.world, scene.give)
            if scene.ended is not None:
                await scene.ended()
        self.tally.n_settled += journal.n_decisions
        row = (end.status, end.initial_agent, end.last_step, time.time(), number)
        self._streak.then(partial(self._end, log, row))
        await log.flush()
        self.tally.realizations += 1

    @staticmethod
    def _end(log: EventLog, end: tuple[str, int | None, int, float, int]) -> None:
        log.add("stale_steps", [(end[4], end[2])])
        log.add("ends", [end])

    def _sampler(self, caller: CallSampler, repeats: Counter[tuple[int, int]], planned: Planned) -> Sampler:
        """Make the sampler of one realization."""
        asking = self._asking(caller, repeats, planned)
        return RuleSampler(asking) if self._has_rules else asking

    def _asking(self, caller: CallSampler, repeats: Counter[tuple[int, int]], planned: Planned) -> Sampler:
        """Make what asks in one realization; what is bought in advance is shared by all of them."""
        seed, mode = self._settings.seed, self._settings.sampler.mode
        n, repeat = repeats[planned.condition, planned.news], planned.repeat
        modes: dict[str, Callable[[], Sampler]] = {
            "call": lambda: caller,
            "choices": lambda: ChoicesSampler(
                self._stock, caller, self._pool, repeat=repeat, n_repeats=n, run_seed=seed
            ),
            "logprobs": lambda: LogprobSampler(self._odds, self._pool),
        }
        if mode not in modes:
            raise DesignError(f"there is no sampler mode {mode!r}{near_miss(mode, modes)}")
        return modes[mode]()

    def _begin(self, planned: Planned, log: EventLog, scene: Scene) -> None:
        condition = json.dumps(plain(self._prepared.experiments[planned.condition].overrides))
        item = None if planned.news < 0 else planned.news
        row = (planned.realization, condition, item, planned.repeat, scene.network, self._settings.seed)
        log.add("realizations", [(*row, "running", None, None, time.time(), None)])
        for table, rows in scene.rows.items():
            log.add(table, rows)


def _told(change: LimitChange) -> dict[str, object]:
    """Spell a change of an in-flight limit; the run's own backend needs no name."""
    return {name: value for name, value in change._asdict().items() if value != OWN}


def _say_nothing(_: str) -> None:
    """Leave a line unsaid."""


@contextmanager
def _calm_collector() -> Iterator[None]:
    """Let the garbage collector look less often: a run makes many small tuples and hardly a cycle.

    Saves 5-30% of the CPU; what stood before the run is not looked at meanwhile.
    """
    thresholds = gc.get_threshold()
    if thresholds[0] == _COLLECT_EVERY:
        # A run that is played beside this one calmed it, and will have it back.
        yield
        return
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


_SURE = """
SELECT COALESCE(a.voice, ''), COUNT(DISTINCT e.prompt)
FROM events e LEFT JOIN agents a USING (realization, agent)
WHERE e.mass IS NOT NULL AND e.missing IS NULL GROUP BY 1
"""
"""The prompts that had a probability in earlier sittings, by voice."""

_N_SITTINGS = "SELECT COUNT(*) FROM incidents WHERE kind IN ('started', 'resumed')"

_ANSWERED = """
SELECT COALESCE(SUM(n), 0), COALESCE(SUM(m), 0) FROM (
    SELECT COUNT(*) AS n, COUNT(missing) AS m FROM events JOIN realizations USING (realization)
    WHERE status <> 'running' AND kind <> 'reason'
)
"""


def spent_before(run: Run) -> Spent:
    """Sum what the sittings of a run spent so far, as its log knows.

    See `agentnet.events.spent`. Of a sitting that was killed, the recorded decisions tell, and of a bounded
    one what it had pledged; replies from the cache cost nothing.
    """
    with run.snapshot() as connection:
        return _spent(spent_so_far(connection))


def _spent(so_far: SpentSoFar) -> Spent:
    return Spent(*so_far.use, so_far.dollars, so_far.unmetered, so_far.unpriced)


def freeze(folder: Path, *, parquet: bool) -> None:
    """Turn a run that was just finished into one log file, and write its tables as Parquet beside it."""
    if close_for_good(folder / LOG_NAME):
        keep_hash(folder / LOG_NAME)
    if parquet:
        write_parquet(Run(folder), folder / "parquet")


def is_frozen(folder: Path, *, parquet: bool) -> bool:
    """Say whether `freeze` has done its work, or was cut off."""
    return is_closed_for_good(folder / LOG_NAME) and (not parquet or (folder / "parquet").is_dir())
