"""The family of news cascades: what a run of them is made of, and how one is set up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.asking_rules import NEVER, AskingRule, Moment, find_rule
from agentnet.config import Settings
from agentnet.errors import DesignError
from agentnet.events import Run
from agentnet.events.rewind import Cut
from agentnet.events.schema import CONDITION_OF
from agentnet.experiment import Experiment, ask, require
from agentnet.families.agents import scene_rows
from agentnet.families.cascade.experiment import CascadeExperiment
from agentnet.families.cascade.told import told_scene
from agentnet.families.contract import CHANCE, Probe, Scene, Sitting, Stage
from agentnet.families.news import NewsFamily, NewsSetting, NewsStage, cut_name
from agentnet.families.people import ask_profiles
from agentnet.families.ratios import Ratios
from agentnet.network import Network, NetworkFacts, facts_of
from agentnet.network.simple import counted
from agentnet.streams import Streams
from agentnet.vocabulary import AFTERWARDS, EXPOSURE, PROFILES, SEED
from agentnet.worlds import Chance, Temperature
from agentnet.worlds.ahead import CascadeAhead
from agentnet.worlds.cascade import Cascade, CascadeRules, starters

if TYPE_CHECKING:
    from agentnet.analysis.comparison import OneMeasure
    from agentnet.analysis.grouping import GroupsLike
    from agentnet.analysis.profile_runs import Sharing
    from agentnet.report.part import Part, Reading

_MOST_NETWORKS = 5
_BEGAN = f"""
SELECT c.condition, COUNT(*) FROM agents JOIN realizations r USING (realization)
JOIN ({CONDITION_OF}) c USING (realization)
WHERE r.status = 'finished' AND engaged_step = 0 GROUP BY realization
"""  # noqa: S608 - our own
_AGENTS_PROBED = 20_000
_SEED_PROBED = 1
_ENGAGED_PROBED = 3
"""One of so many agents has shared in the step that a rule is asked about."""


@dataclass(frozen=True)
class CascadeStage(NewsStage):
    """A run of cascades.

    Attributes:
        networks: What a network of each condition is; none on resuming.
        rules: The asking rule of each condition.
    """

    networks: tuple[NetworkFacts, ...] = ()
    rules: tuple[AskingRule, ...] = ()

    def __post_init__(self) -> None:
        if not self.rules:
            # Found once: another experiment's file may define a rule of the same name meanwhile.
            object.__setattr__(self, "rules", tuple(map(find_rule, self.experiments)))

    @property
    def is_told(self) -> bool:
        """Whether agents of a condition are told more than a news item."""
        return any(each.is_told for each in self.experiments)

    def meta(self) -> dict[str, Any]:
        """Spell the asking rule of each condition, with its sentence, beside what all runs on news keep."""
        rules = [{"name": rule.name, "says": rule.sentence} for rule in self.rules]
        return {**super().meta(), "asking_rules": rules}

    def asks_own(self) -> bool:
        """Say whether an agent has no voice of its own: where there are voices, all are dealt one."""
        return not all(experiment.voices for experiment in self.experiments)

    def design(self, condition: int) -> dict[str, object]:
        """Give the design as it is in force: a network that is read decides its size."""
        experiment = self.experiments[condition]
        design: dict[str, object] = experiment.design()
        if self.networks:
            facts = self.networks[condition]
            design["n_agents"] = facts.n_agents
            if not experiment.takes_degree:
                least, _, most = facts.degree
                design["degree"] = least if least == most else f"{least} to {most}"
        return design

    def readings(self) -> list[str]:
        """Say what networks and news there are."""
        return [*_network_lines(self.networks), *super().readings()]

    def facts(self) -> dict[str, object]:
        """Spell the same."""
        networks = [facts.as_dict() for facts in self.networks]
        return {**({"networks": networks} if networks else {}), **super().facts()}

    def scene(self, setting: NewsSetting, sitting: Sitting) -> Scene:
        """Make network and profiles, and look whether a resumed realization has the same."""
        planned, experiment, streams = setting.planned, setting.experiment, sitting.streams
        network = ask(experiment, "make_network", streams.integer("network", planned.chance))
        if experiment.is_told:
            return told_scene(setting, sitting, network, self.rules[planned.condition])
        profiles = ask_profiles(experiment, network, streams.integer("profiles", planned.chance))
        bits = [PROFILES[profile] for profile in profiles.tolist()]
        rows = scene_rows(sitting, planned, network, bits)
        rule = self.rules[planned.condition]
        rules = CascadeRules(
            experiment.steps,
            rule,
            experiment.max_seed_attempts or network.n_agents,
            experiment.rationale == AFTERWARDS,
            experiment.initial_agents,
        )
        kind = CascadeAhead if sitting.settings.engine.run_ahead and rule.is_local else Cascade
        world = kind(network, profiles, rules, setting.voice, setting.chance, planned.realization)
        return Scene(world.play(), sitting.sampler(planned), network.digest, rows)

    def sample(self, n_at_most: int) -> tuple[Sequence[Experiment], float]:
        """Shrink large generated networks."""
        small = [_is_generated(e) and e.n_agents > n_at_most for e in self.experiments]
        times = [e.n_agents / n_at_most if is_large else 1.0 for e, is_large in self._with(small)]
        shrunk = [
            e.under({**e.overrides, "n_agents": n_at_most}) if is_large else e
            for e, is_large in self._with(small)
        ]
        return shrunk, sum(times) / len(times)

    def can_guess(self) -> bool:
        """Say whether all networks are generated, so that small ones can be."""
        return all(map(_is_generated, self.experiments))

    def counts_before(self, run: Run) -> dict[str, int]:
        """Count the agents of finished realizations."""
        query = (
            "SELECT COUNT(*), COUNT(engaged_step) FROM agents JOIN realizations USING (realization) "
            "WHERE status <> 'running'"
        )
        n_agents, n_engaged = run.rows(query)[1][0]
        return {"agents": n_agents, "engaged": n_engaged}

    def _with(self, flags: Sequence[bool]) -> Iterator[tuple[Any, bool]]:
        return zip(self.experiments, flags, strict=True)


class Cascades(NewsFamily):
    """The family of news cascades."""

    name = "cascade"
    what = "cascades"
    experiment = CascadeExperiment
    kinds = (SEED, EXPOSURE)
    shows = "see how they spread"
    read_as = frozenset({"cascades", "decisions"})
    stage_class = CascadeStage

    def check(self, experiments: Sequence[Experiment], settings: Settings) -> None:
        """Refuse probabilities of more than yes or no, and running ahead of what decides."""
        super().check(experiments, settings)
        if settings.engine.run_ahead:
            _check_local(experiments, settings.sampler.mode)
        if settings.sampler.mode == "logprobs" and any(
            getattr(e, "answers_more", False) for e in experiments
        ):
            raise DesignError(
                "sampler mode 'logprobs' draws yes and no from probabilities, and the experiment declares "
                "another answer: choose sampler.mode call or choices"
            )

    def parts(self, reading: Reading) -> Iterable[Part]:
        """Say what the cascades of each condition show, with the response ratios that go with them."""
        from agentnet.report.cascades import cascade_parts

        return cascade_parts(reading, self.name, Ratios.name)

    def measures(self, runs: Sequence[Run]) -> Sequence[str]:  # noqa: ARG002
        """List those of curves, and the parameters of the one-rate law."""
        from agentnet.analysis.comparison import MEASURES, OF_ONE_RATE

        return (*MEASURES, *OF_ONE_RATE)

    def measured(self, runs: Sequence[Run], measure: str, groups: GroupsLike | None) -> OneMeasure:
        """Take it from the curve of each realization, or fit a law of curves."""
        from agentnet.analysis.comparison import measured_cascades

        return measured_cascades(runs, measure, groups)

    def sharing(self, run: Run, condition: int | None) -> Sharing:
        """Count the exposures of a condition."""
        from agentnet.analysis.profile_runs import exposures_shared

        return exposures_shared(run, condition)

    def taken_back(self, run: Run, number: int, missing: Collection[tuple[int, str, int]]) -> Cut:
        """Take back whoever was asked to start after one whose answer is missing, too."""
        cut = super().taken_back(run, number, missing)
        starting = {agent for step, kind, agent in missing if kind == SEED and step == cut.step}
        return replace(cut, later_agents=_asked_after(run, number, starting)) if starting else cut

    def stage(
        self,
        experiments: Sequence[Experiment],
        settings: Settings,
        environ: Mapping[str, str],
        recorded: Run | None = None,
    ) -> NewsStage:
        """Choose news and templates, and make one network of each condition, to see that it can be made."""
        made = super().stage(experiments, settings, environ, recorded)
        assert isinstance(made, CascadeStage)
        if recorded is not None:
            return made
        streams = Streams(settings.seed)
        return replace(made, networks=tuple(_try_network(e, streams) for e in made.experiments))

    def progress(self, counts: Mapping[str, int]) -> Sequence[tuple[int, str]]:
        """Say how many agents are engaged, of those whose cascades have begun."""
        n_agents, n_engaged = counts.get("agents", 0), counts.get("engaged", 0)
        return [(2, f"engaged {n_engaged:,} ({n_engaged / n_agents if n_agents else 0:.0%})")]

    def notes(self, run: Run) -> Sequence[str]:
        """Say where fewer began than were wanted, or an own `react` engages others than who answers yes."""
        return [*_few_began(run), *_otherwise_engaged(run)]

    def probes(self, stage: Stage, condition: int, own: frozenset[str]) -> Iterable[Probe]:
        """Ask for a network and its profiles, too, and whom a rule that is not ours chooses."""
        yield from super().probes(stage, condition, own)
        experiment: Any = stage.experiments[condition]
        asked = own & {"make_network", "assign_profiles"}
        if _is_generated(experiment) and _is_foreign(experiment.network_generator):
            asked |= {"network"}
        assert isinstance(stage, CascadeStage)
        rule = stage.rules[condition]
        if _is_foreign(rule.choose):
            asked |= {"asking_rule"}
        if asked:
            yield from _network_probes(experiment, rule, asked)


def _few_began(run: Run) -> Sequence[str]:
    """Count the realizations that began with fewer agents than the design wants to say yes."""
    said = [design.get("initial_agents", 1) for design in run.meta["experiment"]["design"]]
    wanted = [each if isinstance(each, int) else 1 for each in said]
    rows = run.rows(_BEGAN)[1]
    few = [n for condition, n in rows if n < wanted[condition or 0]]
    if not few:
        return ()
    note = (
        f"{len(few)} of {len(rows)} realizations began with fewer agents than initial_agents says, "
        f"{min(few)} at least: no more said yes when they were asked to start"
    )
    return [note]


def _otherwise_engaged(run: Run) -> Sequence[str]:
    if "react" not in run.meta["experiment"].get("overridden", ()):
        return ()
    answered = "SELECT COUNT(*) FROM events WHERE decision = 1 AND kind <> 'reason'"
    query = f"SELECT ({answered}), SUM(n_yes) FROM steps"  # noqa: S608 - our own
    n_answered, n_engaging = run.rows(query)[1][0]
    note = (
        f"{n_answered:,} answers say yes, and {n_engaging:,} engage, as react decides: laws of decisions "
        "fit what was answered, curves what engaged"
    )
    return [note] if n_answered != n_engaging else ()


def _try_network(experiment: Any, streams: Streams) -> NetworkFacts:  # noqa: ANN401 - of this family
    network = ask(experiment, "make_network", streams.integer("trial network"))
    initial = experiment.initial_agents
    require(
        not isinstance(initial, int) or initial <= network.n_agents,
        f"initial_agents is {initial}, and there are {network.n_agents} agents",
    )
    ask_profiles(experiment, network, streams.integer("trial profiles"))
    return facts_of(network)


def _asked_after(run: Run, number: int, missing: Collection[int]) -> list[int]:
    """List who was asked to start a cascade after the first of `missing`."""
    meta = run.meta
    news, repeat, n_agents = run.rows(
        "SELECT news, repeat, n_agents FROM realizations JOIN networks USING (network) WHERE realization = ?",
        (number,),
    )[1][0]
    key = number
    if CHANCE in meta:
        key = news * max(each["repeats"] for each in meta["experiment"]["design"]) + repeat
    order = list(starters(Chance(Streams(meta["seed"]), key, Temperature(0.0, 0.0)), n_agents, n_agents))
    query = "SELECT agent FROM events WHERE realization = ? AND kind = 'seed' AND step = 0"
    asked = {agent for (agent,) in run.rows(query, (number,))[1]}
    first = min(order.index(agent) for agent in missing)
    return [agent for agent in order[first + 1 :] if agent in asked]


def _check_local(experiments: Sequence[Experiment], mode: str) -> None:
    """Refuse to play agents ahead of each other where more than whom they hear decides what is asked."""
    why = f"sampler mode {mode!r} draws whole steps" if mode != "call" else ""
    for experiment in experiments:
        if getattr(experiment, "is_told", False):
            why = f"{type(experiment).__name__} tells its agents more than a news item, step by step"
        elif not (rule := find_rule(experiment)).is_local:
            why = f"asking rule {rule.name!r} does not say that it looks at neighbours alone (is_local)"
    require(not why, f"{why}; leave engine.run_ahead out")


def _is_generated(experiment: Any) -> bool:  # noqa: ANN401 - of this family
    return experiment.network_generator is not None


def _network_probes(experiment: Any, rule: AskingRule, own: frozenset[str]) -> Iterator[Probe]:  # noqa: ANN401
    network: Network = ask(experiment, "make_network", _SEED_PROBED)
    if network.n_agents > _AGENTS_PROBED:
        return
    about = " for one seed"
    for name in own & {"make_network", "network"}:
        yield name, about, lambda e: ask(e, "make_network", _SEED_PROBED).digest
    if "assign_profiles" in own:
        yield "assign_profiles", about, lambda e: ask_profiles(e, network, _SEED_PROBED).tolist()
    if "asking_rule" in own:
        engaged_step = np.where(np.arange(network.n_agents) % _ENGAGED_PROBED, NEVER, 0)
        moment = partial(
            Moment, network.indices, network.listener, engaged_step, edges=network.edge_attributes
        )
        yield "asking_rule", " of one step", lambda e: rule.set_by(e).asked(moment(step=1)).slots.tolist()


def _is_foreign(made: Any) -> bool:  # noqa: ANN401 - any function
    """Say whether a function is somebody else's, of whom nothing is known."""
    return not str(made.__module__).startswith("agentnet.")


def _network_lines(networks: Sequence[NetworkFacts]) -> Iterator[str]:
    different = list(dict.fromkeys(networks))
    for facts in different[:_MOST_NETWORKS]:
        yield _network_line(facts)
        for note in facts.notes:
            yield f"  {note}"
    if len(different) > _MOST_NETWORKS:
        yield f"and {len(different) - _MOST_NETWORKS} networks more"


def _network_line(facts: NetworkFacts) -> str:
    least, median, most = facts.degree
    names = ", ".join(map(cut_name, facts.first_names))
    more = ", .." if facts.n_agents > len(facts.first_names) else ""
    of = {"agent": facts.n_agents, "edge": facts.n_edges, "component": facts.n_components}
    parts = ", ".join(counted(number, noun) for noun, number in of.items())
    return (
        f"network {facts.name}: {parts}; degrees {least} to "
        f"{most}, median {median:g}; {facts.n_isolated} isolated; names: {names}{more}"
    )
