"""Play all realizations of a run: side by side, resumable, stoppable."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np

from agentnet.asking_rules import find_rule
from agentnet.backend import Backend
from agentnet.cascade import Cascade, CascadeRules
from agentnet.errors import BackendError, BackendUnusable, Interrupted, RunFolderError, RunStopped
from agentnet.events import LOG_NAME, EventLog, Run, close_for_good, is_closed_for_good
from agentnet.events.export import write_parquet
from agentnet.events.spent import PLEDGED, SpentSoFar, spent_so_far
from agentnet.experiment import (
    CascadeExperiment,
    Experiment,
    InterviewExperiment,
    NewsExperiment,
    ask,
    ask_profiles,
    blamed,
)
from agentnet.interviews.asking import TakesCutOff
from agentnet.journal import Journal, Tally, Temperature, Voice
from agentnet.network import Network
from agentnet.profiles import all_profiles
from agentnet.ratios import Ratios
from agentnet.runner.book import QuestionBook
from agentnet.runner.interviews import Stage
from agentnet.runner.prepare import Planned, Prepared, n_repeats, plain
from agentnet.sampler import CallSampler, ChoicesSampler, LogprobSampler, Odds, Pool, Sampler, Stock, Thoughts
from agentnet.stack import Brake, FewerSamples, Halt, Spent, Stack, build_stack, cache_scope
from agentnet.streak import Streak
from agentnet.streams import Streams

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
        self._bits = [profile.bits for profile in all_profiles()]
        self._halt = Halt()
        self._error: BaseException | None = None

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
                        log.set_meta(**{PLEDGED: None})
                    await log.finish()
        finally:
            await self._backend.aclose()
            if self._prepared.company is not None:
                await self._prepared.company.aclose()
        freeze(self._prepared.folder, parquet=log_settings.parquet)

    def _wrap(self, log: EventLog) -> Stack:
        """Put the stack around the plug-in; what it has to tell goes into the log."""
        settings, loop = self._settings, asyncio.get_running_loop()
        run = Run(self._prepared.folder)
        # Who asks again what stayed missing goes on where the asking ended: the same asks would end alike.
        self._max_asks = settings.engine.max_asks * (1 + run.meta.get("asked_again", 0))

        def complain(message: str) -> None:
            # Called from the cache's own thread, too.
            loop.call_soon_threadsafe(partial(log.add_incident, "cache", message=message))

        async def pledge(most: Spent) -> None:
            log.set_meta(**{PLEDGED: most[:3]})
            await log.flush()

        with Run(self._prepared.folder).snapshot() as connection:
            self._before = spent_so_far(connection)

        def adapted(changes: tuple[str, ...]) -> None:
            log.add_incident("adapted", changes=changes)
            for change in changes:
                self._say(f"adapted to the server: {change}")

        def fewer(words: str) -> None:
            log.add_incident("samples", message=words)
            self._say(words)

        if found := getattr(self._plugin, "found", {}):
            log.add_incident("found in the environment", **found)
            self._say(f"found in the environment: {', '.join(f'{name} {found[name]}' for name in found)}")
        stack = build_stack(
            self._plugin,
            settings.stack,
            scope=cache_scope(self._plugin, settings.backend),
            cache_folder=settings.runs / ".cache",
            in_flight=settings.engine.workers,
            spent=_spent(self._before),
            pledge=pledge,
            tell=lambda change: log.add_incident("in flight", **change._asdict()),
            complain=complain,
            halt=self._halt,
            adapted=adapted,
        )
        after, sitting = settings.engine.brake_after, _n_sittings(run)
        # What is no answer to a control must be none to those that it stands for.
        controlled = stack.backend if self._prepared.company is None else TakesCutOff(stack.backend)
        self._streak = Streak(after=after, complete=controlled.complete, stop=self._stop, sitting=sitting)
        # The brake must not take a refused n for a dead server, nor a thought for an answer.
        has_n = settings.sampler.mode == "choices"
        self._backend = Thoughts(
            Brake(
                FewerSamples(stack.backend, tell=fewer) if has_n else stack.backend,
                after=after,
                halt=self._halt,
                sitting=sitting,
                lend=self._pool.lend,
            )
        )
        self.tally.paused_until = stack.pause.ends_at
        log.also = None if stack.cache is None else stack.cache.flush
        self.tally.dollars = lambda: stack.budget.spent.dollars
        seed, n_at_most = settings.seed, settings.sampler.n_at_most
        self._stock = Stock(self._backend, run_seed=seed, n_at_most=n_at_most)
        self._odds = Odds(
            self._backend,
            run_seed=seed,
            least_mass=settings.sampler.least_mass,
            n_sure=_n_sure(run),
        )
        return stack

    def interrupt(self, reason: Interrupted | None = None) -> None:
        """Begin no further question, and wait for nothing but what is on its way to the server.

        `play` ends once that is answered and recorded.
        """
        self._stop(reason or Interrupted("interrupted; what was in flight is recorded"))

    async def _play_in(self, log: EventLog) -> None:
        done = self._look_back()
        self._note_begin(log, done)
        self._stage = self._make_stage()
        self._books = [
            QuestionBook(number, experiment, prompts, self._prepared.items, log, done.prompts)
            for number, (experiment, prompts) in enumerate(
                zip(self._prepared.experiments, self._prepared.prompts, strict=self._stage is None)
            )
            if isinstance(experiment, NewsExperiment)
        ]
        rest = iter([planned for planned in self._prepared.plan if planned.realization not in done.finished])
        players = [self._player(rest, log, done) for _ in range(self._settings.engine.realizations_at_once)]
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
            counted = {"spent": _spent(self._before)._asdict(), "recorded": list(recorded)}
        log.add_incident(kind, journal_mode=log.journal_mode, **counted)

    def _look_back(self) -> _Done:
        """Read what earlier sittings did, and count it."""
        run = Run(self._prepared.folder)
        rows = run.rows("SELECT realization, network, status FROM realizations")[1]
        finished = frozenset(number for number, _, status in rows if status != "running")
        counts = run.rows(
            "SELECT COALESCE(SUM(n), 0), COALESCE(SUM(m), 0) FROM (SELECT COUNT(*) AS n, "
            "COUNT(missing) AS m FROM events JOIN realizations USING (realization) "
            "WHERE status <> 'running' AND kind <> 'reason')"
        )[1][0]
        engaged = run.rows(
            "SELECT COUNT(*), COUNT(engaged_step) FROM agents JOIN realizations USING (realization) "
            "WHERE status <> 'running'"
        )[1][0]
        self.tally.n_decisions, self.tally.n_missing = counts
        self.tally.n_settled = self.tally.n_decisions
        self.tally.n_agents, self.tally.n_engaged = engaged
        self.tally.n_steps = run.rows(
            "SELECT COALESCE(SUM(last_step), 0) FROM realizations WHERE status <> 'running' AND news IS NULL"
        )[1][0][0]
        self.tally.realizations = len(finished)
        prompts = dict(run.rows("SELECT prompt, hash FROM prompts")[1])
        return _Done({number: network for number, network, _ in rows}, finished, prompts)

    async def _player(self, rest: Iterator[Planned], log: EventLog, done: _Done) -> None:
        """Play one realization after the other; `rest` is shared, and nothing awaits between its uses."""
        for planned in rest:
            if self._error is not None:
                return
            try:
                await self._play_one(planned, log, done)
            # The first error ends the run, after what is in flight; so does an experiment that calls `exit`.
            except (Exception, SystemExit) as error:  # noqa: BLE001
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

    async def _play_one(self, planned: Planned, log: EventLog, done: _Done) -> None:
        number, begun = planned.realization, planned.realization in done.networks
        if self._stage is None:
            status, initial, last_step = await self._play_cascade(planned, log, done)
        else:
            if not begun:
                self._begin(planned, log, None)
            initial = None
            status, last_step = await self._stage.play(
                number, planned.condition, planned.repeat, log, begun=begun
            )
        end = (status, initial, last_step, time.time(), number)
        self._streak.then(partial(self._end, log, end))
        await log.flush()
        self.tally.realizations += 1

    @staticmethod
    def _end(log: EventLog, end: tuple[str, int | None, int, float, int]) -> None:
        log.add("stale_steps", [(end[4], end[2])])
        log.add("ends", [end])

    async def _play_cascade(
        self, planned: Planned, log: EventLog, done: _Done
    ) -> tuple[str, int | None, int]:
        """Play a cascade or the ratios of one news item; return status, initial agent and last step."""
        recorded = await log.recorded(planned.realization) if planned.realization in done.networks else {}
        sampler = self._sampler(planned)
        journal = Journal(
            planned.realization,
            log,
            sampler,
            self.tally,
            recorded=recorded,
            stop_on_missing=self._settings.engine.on_missing == "stop",
            streak=self._streak,
        )
        engine = self._engine(planned, journal, done)
        status, last_step = await engine.play()
        self.tally.n_settled += journal.n_decisions
        return status, engine.initial_agent if isinstance(engine, Cascade) else None, last_step

    def _make_stage(self) -> Stage | None:
        """Make what plays interacting models, if the run is theirs."""
        company = self._prepared.company
        if company is None:
            return None
        return Stage(
            self._prepared.folder,
            [e for e in self._prepared.experiments if isinstance(e, InterviewExperiment)],
            company,
            self._settings,
            self._streams,
            self._pool,
            self._caller(TakesCutOff(self._backend)),
            self.tally,
            self._streak,
        )

    def _caller(self, backend: Backend) -> CallSampler:
        return CallSampler(backend, self._pool, run_seed=self._settings.seed, max_asks=self._max_asks)

    def _sampler(self, planned: Planned) -> Sampler:
        """Make the sampler of one realization; what is bought in advance is shared by all of them."""
        seed, mode = self._settings.seed, self._settings.sampler.mode
        caller = self._caller(self._backend)
        if mode == "choices":
            n = n_repeats(self._prepared.experiments[planned.condition])
            return ChoicesSampler(
                self._stock, caller, self._pool, repeat=planned.repeat, n_repeats=n, run_seed=seed
            )
        return LogprobSampler(self._odds, self._pool) if mode == "logprobs" else caller

    def _temperature(self, experiment: Experiment) -> Temperature:
        return Temperature(*experiment.temperature_range, self._settings.sampler.levels)

    def _engine(self, planned: Planned, journal: Journal, done: _Done) -> Cascade | Ratios:
        book = self._books[planned.condition]
        experiment, voice = book.experiment, book.voice(planned.news)
        if isinstance(experiment, CascadeExperiment):
            return self._cascade(experiment, planned, voice, journal, done)
        self._begin(planned, journal.log, None)
        return Ratios(experiment.repeats, self._temperature(experiment), voice, self._streams, journal)

    def _cascade(
        self, experiment: CascadeExperiment, planned: Planned, voice: Voice, journal: Journal, done: _Done
    ) -> Cascade:
        number, log = planned.realization, journal.log
        network = ask(experiment, "make_network", self._streams.integer("network", number))
        profiles = ask_profiles(experiment, network, self._streams.integer("profiles", number))
        before = done.networks.get(number)
        if before not in (None, network.digest):
            raise RunFolderError(
                f"{self._prepared.folder}: realization {number} was begun on another network than the "
                "experiment makes now; its network file or a library changed: go on with what it began with"
            )
        bits = [self._bits[profile] for profile in profiles.tolist()]
        if before is None:
            log.add("networks", [_network_row(network)])
            self._begin(planned, log, network.digest)
            rows = zip(bits, _attribute_rows(network), strict=True)
            log.add("agents", [(number, agent, text, None, said) for agent, (text, said) in enumerate(rows)])
        else:
            self._check_profiles(number, bits)
        rules = CascadeRules(
            experiment.steps,
            find_rule(experiment),
            experiment.max_seed_attempts or network.n_agents,
            self._temperature(experiment),
            experiment.rationale == "afterwards",
        )
        return Cascade(network, profiles, rules, voice, self._streams, journal)

    def _check_profiles(self, number: int, bits: list[str]) -> None:
        query = "SELECT profile FROM agents WHERE realization = ? ORDER BY agent"
        if [text for (text,) in Run(self._prepared.folder).rows(query, (number,))[1]] != bits:
            raise RunFolderError(
                f"{self._prepared.folder}: realization {number} was begun with other profiles than the "
                "experiment deals now; its node table or a library changed: go on with what it began with"
            )

    def _begin(self, planned: Planned, log: EventLog, network: str | None) -> None:
        condition = json.dumps(plain(self._prepared.experiments[planned.condition].overrides))
        number, _, news, repeat = planned
        seed, now = self._settings.seed, time.time()
        item = None if news < 0 else news
        row = (number, condition, item, repeat, network, seed, "running", None, None, now, None)
        log.add("realizations", [row])


def _say_nothing(_: str) -> None:
    """Leave a line unsaid."""


@contextmanager
def _calm_collector() -> Iterator[None]:
    """Let the garbage collector look less often: a run makes many small tuples and hardly a cycle.

    Saves 5-30% of the CPU; what stood before the run is not looked at meanwhile.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _n_sure(run: Run) -> int:
    """Count the prompts that had a probability in earlier sittings."""
    query = "SELECT COUNT(DISTINCT prompt) FROM events WHERE mass IS NOT NULL AND missing IS NULL"
    return int(run.rows(query)[1][0][0])


def _n_sittings(run: Run) -> int:
    """Count the sittings so far."""
    query = "SELECT COUNT(*) FROM incidents WHERE kind IN ('started', 'resumed')"
    return int(run.rows(query)[1][0][0])


def spent_before(run: Run) -> Spent:
    """Sum what the sittings of a run spent so far, as its log knows.

    See `agentnet.events.spent`. Of a sitting that was killed, the recorded decisions tell, and of a bounded
    one what it had pledged; replies from the cache cost nothing.
    """
    with run.snapshot() as connection:
        return _spent(spent_so_far(connection))


def _spent(so_far: SpentSoFar) -> Spent:
    return Spent(*so_far.use, so_far.dollars, so_far.unmetered)


def _network_row(network: Network) -> tuple[object, ...]:
    labels = None if network.labels is None else json.dumps(network.labels, ensure_ascii=False)
    return (network.digest, network.name, network.n_agents, network.n_edges, network.to_bytes(), labels)


def _attribute_rows(network: Network) -> Iterator[str | None]:
    """Spell what is known of each agent as JSON: a row of the node table, attributes of a graph's node."""
    if not network.node_attributes:
        yield from repeat(None, network.n_agents)
    names = list(network.node_attributes)
    for values in zip(*network.node_attributes.values(), strict=True):
        known = dict(zip(names, map(_attribute, values), strict=True))
        yield json.dumps(known, ensure_ascii=False, allow_nan=False)


def _attribute(value: object) -> str | int | float | None:
    """Spell a value as JSON can: a number that is none is missing, an object is its text."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float) and not math.isinf(value):
        return None if math.isnan(value) else value
    return str(value)


def freeze(folder: Path, *, parquet: bool) -> None:
    """Turn a finished run into one log file, and write its tables as Parquet beside it."""
    close_for_good(folder / LOG_NAME)
    if parquet:
        write_parquet(Run(folder), folder / "parquet")


def is_frozen(folder: Path, *, parquet: bool) -> bool:
    """Say whether `freeze` has done its work, or was cut off."""
    return is_closed_for_good(folder / LOG_NAME) and (not parquet or (folder / "parquet").is_dir())
