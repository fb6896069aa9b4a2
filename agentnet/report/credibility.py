"""A credibility card: which principles of simulated societies a design meets, by facts of its log.

The principles are those of PIMMUR (arXiv 2509.18052): profile, interaction, memory, minimal control,
unawareness, realism. What a log cannot tell stands as not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentnet.events.conditions import in_words
from agentnet.guesses import Guesses, Share
from agentnet.probe.card import FAILS
from agentnet.report.figures.words import counted, listed
from agentnet.report.log_facts import LogFacts
from agentnet.report.part import table
from agentnet.report.tables import Table, as_named
from agentnet.report.told import Told
from agentnet.report.words import sources_words

if TYPE_CHECKING:
    from agentnet.report.cascades import CascadePart
    from agentnet.report.worlds import WorldPart

_MET, _NOT_MET, _UNKNOWN = "met", "not met", "not known from the log"
_WRITE_PROMPTS: Final = frozenset({"context", "load_prompts", "messages", "play", "remark"})
_NONE: Final = "no prompt holds words of agents"

Row = tuple[str, str, str]


@table("credibility_of_cascades", of="cascades", section="design")
@table("credibility_of_worlds", of="worlds", section="design")
def credibility(part: CascadePart | WorldPart) -> Table:
    """Say which principles the design meets, and by which fact."""
    facts, told = part.facts, part.told
    return Table(
        name="credibility",
        title="Credibility card: principles of simulated societies (PIMMUR, arXiv 2509.18052)",
        columns=as_named("principle state fact"),
        rows=(
            _profile(facts, told),
            _interaction(facts),
            _memory(facts),
            _minimal_control(facts),
            _unawareness(facts),
            _realism(facts),
        ),
        notes=("Facts are of the whole run. Met is no praise, and not met no blame: a study says why.",),
    )


def _profile(facts: LogFacts, told: Told | None) -> Row:
    n, who = facts.n_profiles, "different profile"
    if told is not None and told.n_personas:
        n, who = told.n_texts, "different persona"
    fact = f"agents have {counted(n, who)} (table agents)"
    return "profile: agents differ", _MET if n > 1 else _NOT_MET, fact


def _unrecorded(facts: LogFacts, then: str) -> tuple[str, str]:
    """Say what is known where no message was written: nothing, if hooks write prompts."""
    if facts.overridden is None:
        return _UNKNOWN, "which methods write prompts was not recorded (tables messages, exposures)"
    if own := sorted(facts.overridden & _WRITE_PROMPTS):
        return (
            _UNKNOWN,
            f"no message was recorded; what the experiment's own {listed(own)} writes is not read",
        )
    return _NOT_MET, f"{_NONE}{then} (tables messages, exposures)"


def _interaction(facts: LogFacts) -> Row:
    spoken = facts.spoken
    what = "interaction: agents meet what others said"
    if spoken.n_questions == 0:
        return what, *_unrecorded(facts, ": what others decided says only who is asked")
    n = f"{spoken.n_with_others:,} of the last {counted(spoken.n_questions, 'prompt')} of a realization"
    # A hook may put words into prompts that no table records as a message.
    may = spoken.n_short or facts.overridden is None or facts.overridden & _WRITE_PROMPTS
    state = _MET if spoken.n_with_others else _UNKNOWN if may else _NOT_MET
    short = f"; {counted(spoken.n_short, 'message')} too short to be looked for" if spoken.n_short else ""
    return what, state, f"{n} hold what another agent wrote{short}"


def _memory(facts: LogFacts) -> Row:
    spoken = facts.spoken
    what = "memory: agents know what they said and heard"
    if spoken.n_questions == 0:
        return what, *_unrecorded(facts, ", and requests have no memory")
    n = f"{spoken.n_with_memory:,} of the last {counted(spoken.n_questions, 'prompt')} of a realization"
    state = _MET if spoken.n_with_memory else _UNKNOWN
    return what, state, f"{n} hold an earlier reply of the agent, or messages beside the one it is about"


def _minimal_control(facts: LogFacts) -> Row:
    own = sorted(facts.overridden or ())
    asked = f"the experiment's own {listed(own)} and " if own else ""
    constrained = listed(in_words(value) for value in _values(facts, "constrain"))
    fact = f"{asked}the prompts in this report say what is asked; replies constrained: {constrained}"
    fact += _probed(facts)
    return "minimal control: prompts do not steer", _UNKNOWN, fact


def _probed(facts: LogFacts) -> str:
    """Cite the card of a probe that lies with the run: what moves answers beside what is asked."""
    card, answered = facts.probe, facts.meta["model_name"]
    if card is None:
        return ""
    if card.model_name != answered:
        return f"; the probe that lies with the run is of another model ({card.model_name})"
    failed = [each.check for each in card.findings if each.verdict == FAILS]
    which = f" ({FAILS}: {listed(failed)})" if failed else ""
    return f"; agentnet probe of this model: {card.in_a_line()}{which}"


def _values(facts: LogFacts, knob: str) -> list[object]:
    found = [facts.design(number).get(knob, "unknown") for number in range(facts.n_conditions)]
    return list(dict.fromkeys(found))


def _unawareness(facts: LogFacts) -> Row:
    spoken, guesses = facts.spoken, facts.guesses
    held = {**(spoken.betraying or {}), **(spoken.named or {})}
    looked = f"of {counted(spoken.n_prompts, 'prompt')} looked at"
    words = [f"{word!r} in {n:,}" for word, n in held.items()]
    fact = f"{looked}: {listed(words, most=6)}" if held else f"{looked} {_SILENT}"
    if spoken.n_other_script:
        fact += f"; {counted(spoken.n_other_script, 'prompt')} of another script, whose words are not known"
    guessed = _UNASKED if guesses is None else _guessed(guesses)
    is_guessed = guesses is not None and (guesses.study.is_more or guesses.names.is_more)
    may = held or spoken.n_other_script
    state = _NOT_MET if spoken.betraying or is_guessed else _UNKNOWN if may else _MET
    return _AWARE, state, f"{fact}; {guessed}"


def _guessed(guesses: Guesses) -> str:
    """Say what a model took prompts for, beside everyday requests."""
    told = [("took for a study", guesses.study)]
    if guesses.hypothesis:
        told.append(("named the hypothesis, by its own judgement, on", guesses.names))
    missing = f"; on {guesses.n_missing:,} it did not answer" if guesses.n_missing else ""
    return f"{guesses.model} was shown some: it " + ", ".join(_shared(*each) for each in told) + missing


def _shared(what: str, share: Share) -> str:
    low, high = share.interval()
    everyday = f"of everyday requests {share.everyday_yes} of {share.everyday}"
    return f"{what} {share.n_yes:,} of {share.n:,} ({low:.0%} to {high:.0%}), {everyday}"


_SILENT: Final = "none speaks of a simulation or study in English, nor says a word of the experiment's name"
_UNASKED: Final = "whether a model guesses is not known (agentnet guess asks one)"
_AWARE: Final = "unawareness: prompts do not betray the experiment"


def _realism(facts: LogFacts) -> Row:
    network = listed(in_words(value) for value in _values(facts, "network"))
    news = f"news {sources_words(facts)}; " if facts.news else ""
    people = "nothing in the log is of people who were asked the same"
    if facts.has_people:
        people = "people answered, too"
    fact = f"{news}network {network}; {people}"
    return "realism: results agree with those of people", _UNKNOWN, fact
