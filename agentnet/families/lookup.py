"""Which family an experiment or a run is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentnet.errors import DesignError, UserError
from agentnet.experiment import Experiment, Source
from agentnet.experiment.body import check_bodies
from agentnet.families.contract import FAMILIES, Family


def family_of_experiment(experiment: type[Experiment]) -> Family:
    """Find the family that plays `experiment`, and make sure that its bodies can be played.

    Raises:
        DesignError: There is none, it plays other classes, or a body holds what nothing reads.
    """
    who = experiment.__name__
    if not experiment.family:
        bases = ", ".join(sorted(each.load().experiment.__name__ for each in FAMILIES.installed().values()))
        raise DesignError(
            f"{who} subclasses {experiment.__mro__[1].__name__} itself, which does not say how it is played; "
            f"subclass one of {bases}, or define a family of its own (agentnet.families.Family)"
        )
    try:
        family = FAMILIES.load(experiment.family, asker=experiment.__module__)()
    except DesignError as error:
        raise DesignError(
            f"{who} is of family {experiment.family!r}, which nobody plays: {error}. Define it in the same "
            f"file (a subclass of agentnet.families.Family with name = {experiment.family!r}), or install "
            "the package that brings it"
        ) from error
    if not issubclass(experiment, family.experiment):
        raise DesignError(
            f"{who} is of family {family.name!r}, which plays subclasses of {family.experiment.__name__} "
            f"alone; subclass it, or give {who} a family of its own"
        )
    check_bodies(experiment)
    return family


def family_of(meta: Mapping[str, Any]) -> Family:
    """Find the family of a run by what its log says, to read it.

    A family that stands in the experiment's own file is loaded from where that file stands, if it is
    unchanged: of what came with somebody's log, nothing else is executed.

    Args:
        meta: Table ``meta`` of the log.

    Raises:
        DesignError: Nobody knows the family any more; says the way out.
    """
    name = meta["experiment"]["family"]
    recorded = Source.recorded(meta)
    try:
        return FAMILIES.load(name, asker=recorded.module)()
    except DesignError as error:
        if _stands_unchanged(recorded):
            recorded.load()
            return FAMILIES.load(name, asker=recorded.module)()
        raise DesignError(
            f"{error}. If {recorded.path} defined it, put that file back as it was when the run began, and "
            "call from the same folder: it is executed only where it stands unchanged"
        ) from error


def _stands_unchanged(recorded: Source) -> bool:
    if not recorded.path.is_file():
        return False
    try:
        return Source.read(f"{recorded.path}:{recorded.class_name}").hash == recorded.hash
    except UserError:
        return False
