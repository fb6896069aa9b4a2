"""Read runs and ask their families what they say: everything that a report then only lays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agentnet.errors import UserError
from agentnet.events import Run, check_unchanged
from agentnet.report import by_context, by_voice, credibility, exact  # noqa: F401 - their tables are listed as they are read
from agentnet.report.conditions import NAME, Conditions, compared
from agentnet.report.drawings import Drawing, rendered
from agentnet.report.log_facts import LogFacts, read_facts
from agentnet.report.options import Options, Progress
from agentnet.report.part import Part, Reading, check_placed


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything that a report says, before it is laid out.

    Attributes:
        parts: Cascades by run and condition, then response ratios, then interacting models by run.
        drawings: The figures of each part; none for one whose figures stand with another's.
        options: How it was made.
        conditions: Conditions of all runs of a family, compared; none where there is one condition in all, or
            where a part tells its contrasts itself.
    """

    parts: tuple[Part, ...]
    drawings: tuple[tuple[Drawing, ...], ...] = field(repr=False)
    options: Options
    conditions: tuple[Conditions, ...] = ()


def make_report(
    runs: Sequence[Run], options: Options | None = None, *, progress: Progress | None = None
) -> Report:
    """Read runs and compute everything that their report says.

    Args:
        runs: Runs of cascades, of response ratios, of interacting models, or several of them. Ratios go with
            the cascades of the same model.
        options: How it is made.
        progress: Called with a few words before each piece of work.

    Raises:
        RunFolderError: A log is damaged.
        UserError: It is unclear which ratios go with which cascades, a run has no response ratios yet, its
            family is unknown, or an option is impossible.
    """
    options, say = options or Options(), progress or (lambda _: None)
    options.check()
    for run in runs:
        check_unchanged(run)
    read = tuple((run, _facts(run, options, say)) for run in _each_once(runs))
    reading = Reading(read, options, say)
    parts = reading.parts()
    check_placed(parts, (NAME,))
    elsewhere = {id(other) for part in parts for other in part.includes()}
    drawings = [() if id(part) in elsewhere else _drawn(part, options, say) for part in parts]
    return Report(parts, tuple(drawings), options, tuple(compared(reading, parts)))


def _drawn(part: Part, options: Options, say: Progress) -> tuple[Drawing, ...]:
    if not options.figures:
        return ()
    say(f"drawing the figures of {part.facts.run}")
    return rendered(part.figures(options))


def _each_once(runs: Sequence[Run]) -> list[Run]:
    if not runs:
        raise UserError("a report needs at least one run")
    return list({run.folder.resolve(): run for run in runs}.values())


def _facts(run: Run, options: Options, say: Progress) -> LogFacts:
    say(f"reading {run.folder}")
    return read_facts(run, restricted_texts=options.restricted_texts)
