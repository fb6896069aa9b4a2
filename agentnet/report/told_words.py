"""What may be said of how cascades went, by knobs and overridden hooks: nothing that they make false."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentnet.events.conditions import in_words
from agentnet.report.figures.words import counted, listed
from agentnet.report.log_facts import LogFacts
from agentnet.report.told import Told, personas_words
from agentnet.report.words import declared_answers, question_words

if TYPE_CHECKING:
    from agentnet.report.cascades import CascadePart

_PAPERS = {
    "initial_agents": 1,
    "answer": "bool",
    "decides": None,
    "passes_on": "",
    "interventions": [],
    "recovery_rate": 0.0,
    "susceptible_again": False,
    "personas": None,
}
"""Knobs that older logs lack, as the paper's cascade has them."""


@dataclass(frozen=True, slots=True)
class CourseInWords:
    """How the cascades of a condition went.

    Attributes:
        facts: The run.
        condition: Number of the condition.
        told: What agents were told; None where it was no more than a news item.
    """

    facts: LogFacts
    condition: int
    told: Told | None

    @classmethod
    def of(cls, part: CascadePart) -> CourseInWords:
        """Take it from a part of a report."""
        return cls(part.facts, part.condition, part.told)

    def knob(self, name: str) -> Any:  # noqa: ANN401 - a knob's
        """Look a knob up."""
        return self.facts.design(self.condition).get(name, _PAPERS.get(name))

    def own(self, *hooks: str) -> list[str]:
        """List those of some hooks that the experiment overrides."""
        return [hook for hook in hooks if hook in (self.facts.overridden or ())]

    @property
    def asks_to_start(self) -> bool:
        """Whether agents are asked to start."""
        return isinstance(self.knob("initial_agents"), int)

    @property
    def has_personas(self) -> bool:
        """Whether agents are told by texts of their own who they are."""
        return self.knob("personas") is not None or bool(self.own("assign_personas"))

    @property
    def tells_more(self) -> list[str]:
        """What may put more into prompts than profile and news item: hooks, and knobs."""
        knobs = [knob for knob in ("passes_on", "interventions") if self.knob(knob)]
        hooks = self.own("context", "remark", "react", *(("messages",) if self.told is not None else ()))
        return [*hooks, *knobs]

    @property
    def is_changed(self) -> list[str]:
        """What may change networks, and who is heard, from outside."""
        return [*self.own("network_at"), *(["interventions"] if self.knob("interventions") else [])]

    @property
    def is_for_good(self) -> bool:
        """Whether one yes engages an agent for good, as in the paper."""
        return not (self.own("react") or declared_answers(self.facts, self.condition) or self.stops)

    @property
    def stops(self) -> str:
        """Say how engaged agents stop; empty where they never do."""
        rate, again = self.knob("recovery_rate"), self.knob("susceptible_again")
        if not rate:
            return ""
        then = "could engage again" if again else "was not heard from then on"
        return f"at each later step an engaged agent stopped with probability {rate:g} and {then}"

    def start(self, at_most: str) -> str:
        """Say how agents came to be engaged at step 0.

        Args:
            at_most: What bounds how many are asked, behind a blank; empty if nothing does.
        """
        initial = self.knob("initial_agents")
        if not self.asks_to_start:
            return (
                f"agents were engaged at the start without being asked (initial agents {in_words(initial)})"
            )
        willing = "one was willing" if initial == 1 else f"{initial} were willing"
        end = at_most or ("" if initial == 1 else " or all had been asked")
        return f"agents picked at random were asked to start until {willing}{end}"

    def started(self, at_most: str) -> str:
        """Say the same of a model, not of a run."""
        if self.knob("initial_agents") != 1:
            return f"{self.start(at_most)}; nobody else is engaged at step 0"
        asked = f"agents picked at random are asked to start until one says yes{at_most}"
        return f"{asked}, which is the only engaged one at step 0"

    def engaged(self) -> str:
        """Say what an answer did to the agent, and for how long, behind the asking rule."""
        if self.is_for_good:
            return " and engaged for good at its first yes"
        if self.own("react"):
            how = "what an answer did was for the experiment's own react to say"
        elif declared_answers(self.facts, self.condition):
            how = f"an agent engaged where its answer decided so (decides {in_words(self.knob('decides'))})"
        else:
            how = "an agent engaged at its first yes"
        return f"; {how}; {self.stops}" if self.stops else f"; {how}"

    def question(self, usual: str, of_form: str, otherwise: str) -> str:
        """Say what was asked; see `question_words`.

        Args:
            usual: What agentnet's templates ask of yes and no.
            of_form: What to say of a declared answer; ``{}`` stands for its form.
            otherwise: What to say where the experiment asks in its own words.
        """
        declared = declared_answers(self.facts, self.condition)
        usual = of_form.format(listed(declared)) if declared else usual
        return question_words(self.facts, self.condition, usual, otherwise)

    def sentences(self) -> Iterator[str]:
        """Say what agents were told and what happened to them, beyond the news item."""
        told = self.told
        if told is not None and told.context:
            yield f"Prompts used these facts of an exposure: {listed(told.context, most=16)}"
        if self.knob("passes_on"):
            field = self.knob("passes_on")
            yield f"Who engaged passed its own text on (passes_on {field}), and those who hear it read that"
        if told is not None and told.n_messages:
            yield f"Agents wrote {counted(told.n_messages, 'message')}"
        if self.knob("interventions"):
            yield f"From outside, {in_words(self.knob('interventions'))}"
        for each in told.changes if told is not None else ():
            times, where = counted(each.n, "time"), counted(each.n_realizations, "realization")
            when = f"at step {each.first}" + (f" to {each.last}" if each.last > each.first else "")
            yield f"{each.what} was recorded {times} in {where}, {when}"
        if told is not None:
            yield personas_words(told)

    def fields(self) -> dict[str, str]:
        """Spell it for the answers in ``cascades.toml``."""
        more, changed = listed(self.tells_more or [""]), listed(self.is_changed or [""])
        again = self.knob("susceptible_again")
        has_stops = bool(self.stops or self.own("react"))
        told = any(item.severity is not None for item in self.facts.news)
        return {
            "personalities": "personas of their own" if self.has_personas else "assigned personalities",
            "by_severity": ", by severity of the news" if told else "",
            "with_severity": " with a severity" if told else "",
            "by_group": "" if self.has_personas else " and by group of profiles",
            "who": "a persona" if self.has_personas else "a fixed profile of five binary traits",
            "state": "engaged or not" + (", or stopped" if has_stops and not again else ""),
            "links": f"links, which {changed} may change" if changed else "links, fixed in a realization",
            "engage": "all agents with a yes engage together, for good"
            if self.is_for_good
            else f"all answers take effect together{self.engaged()}",
            "contagion": self._contagion(again),
            "personality": "personas that are texts" if self.has_personas else "Big-Five personality",
            "differ": "agents" if self.has_personas else "profiles",
            "rules": self.facts.unless(
                "rule",
                "the language model is its rule",
                "the language model is its rule, or for some agents the experiment's own {}",
            ),
            "memory": (
                f"What {more} of the experiment put into prompts, which may hold what an agent was told or "
                "said before; requests have no memory"
                if more
                else "None: agents have no memory from one question to the next"
            ),
            "groups": "None" if self.has_personas else "None; groups of profiles are found in the analysis",
            "driven": f"From outside, {changed} of the experiment drive the model" if changed else _NOTHING,
        }

    def _contagion(self, again: bool) -> str:
        if self.own("react"):
            return "Contagion, as the experiment's own react has it"
        kind = "infected" if not self.stops else "infected-susceptible" if again else "infected-removed"
        return f"Contagion of the kind susceptible-{kind}"


_NOTHING = "Nothing else drives the model from outside"
