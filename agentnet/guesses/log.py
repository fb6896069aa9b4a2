"""Prompts to be asked about, from the log of a run, and counts of guesses, from that of the guesses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentnet.errors import UserError
from agentnet.events import LOG_NAME, Run, check_unchanged

FOLDER: Final = "guess"
"""Where in a run's folder the log of the guesses lies."""

_SURE: Final = 0.05

_PROMPT = "SELECT messages FROM prompts WHERE prompt = ?"
_ANSWERS = """
SELECT h.agent, e.kind, json_extract(h.context, '$.everyday'), e.value
FROM exposures h JOIN events e USING (realization, kind, step, agent, source, repeat) ORDER BY h.agent, e.kind
"""


def some_prompts(folder: str | Path, n: int) -> list[str]:
    """Read up to `n` distinct prompts of a run as texts, evenly among all.

    Raises:
        RunFolderError: The log cannot be read.
        UserError: It holds no prompt.
    """
    check_unchanged(run := Run(folder))
    with run.connection() as connection:
        every = connection.execute("SELECT prompt FROM prompts ORDER BY prompt").fetchall()
        if not every:
            raise UserError(
                f"{folder} records no prompt: nobody was asked yet, or its family keeps none; there is "
                "nothing to guess from"
            )
        chosen = [every[i * len(every) // min(n, len(every))] for i in range(min(n, len(every)))]
        found = [connection.execute(_PROMPT, number).fetchone()[0] for number in chosen]
    return ["\n\n".join(str(content) for _, content in json.loads(messages)) for messages in found]


@dataclass(frozen=True, slots=True)
class TextGuess:
    """What was guessed of one text.

    Attributes:
        everyday: Whether it is an everyday request, not a prompt of the run.
        study: Whether it was taken for a study; None if there is no answer.
        purpose: What it was taken to be for, in the model's words.
        names: Whether that was judged to be the hypothesis; None if there is no answer or no hypothesis.
    """

    everyday: bool
    study: bool | None
    purpose: str
    names: bool | None


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the answers are a yes, of prompts of the run and of everyday requests.

    Attributes:
        n_yes: Of the run's prompts.
        n: Answers on the run's prompts; what is missing is not among them.
        everyday_yes: Of everyday requests.
        everyday: Answers on everyday requests.
    """

    n_yes: int
    n: int
    everyday_yes: int
    everyday: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Compute Wilson's (1927) interval of the share of yes of the run's prompts; (0, 1) without any."""
        from scipy.stats import binomtest

        if self.n == 0:
            return 0.0, 1.0
        low, high = binomtest(self.n_yes, self.n).proportion_ci(level, method="wilson")
        return float(low), float(high)

    def p_more(self) -> float:
        """Compute Fisher's exact P of as many yes or more, were prompts as everyday requests are."""
        from scipy.stats import hypergeom

        n_all, n_yes = self.n + self.everyday, self.n_yes + self.everyday_yes
        if n_all == 0:
            return 1.0
        return float(hypergeom.sf(self.n_yes - 1, n_all, n_yes, self.n))

    @property
    def is_more(self) -> bool:
        """Whether prompts have more yes than everyday requests, at 5%."""
        return self.p_more() < _SURE


@dataclass(frozen=True, slots=True)
class Guesses:
    """All guesses of a run's prompts.

    Attributes:
        backend: Who was asked.
        model: Its model.
        hypothesis: What the study asks, as whoever asked had it; ``""`` if nobody said.
        guesses: One for each text.
    """

    backend: str
    model: str
    hypothesis: str
    guesses: tuple[TextGuess, ...]

    @property
    def study(self) -> Share:
        """How many texts were taken for a study."""
        return _share((each.everyday, each.study) for each in self.guesses)

    @property
    def names(self) -> Share:
        """How many guesses were judged to be the hypothesis."""
        return _share((each.everyday, each.names) for each in self.guesses)

    @property
    def n_missing(self) -> int:
        """Texts on which there is no answer."""
        return sum(each.study is None for each in self.guesses)


def read_guesses(folder: str | Path) -> Guesses | None:
    """Read what was guessed of a run's prompts; None if nobody was asked.

    Args:
        folder: The run's folder.

    Raises:
        RunFolderError: The log of the guesses cannot be read.
        UserError: It is of another run.
    """
    own = Path(folder) / FOLDER
    hypothesis = read_hypothesis(own)
    if hypothesis is None:
        return None
    run = Run(own)
    with run.connection() as connection:
        rows = connection.execute(_ANSWERS).fetchall()
    by_agent: dict[int, dict[str, Any]] = {}
    for agent, kind, everyday, value in rows:
        answers = by_agent.setdefault(agent, {"everyday": bool(everyday)})
        answers[kind] = None if value is None else json.loads(value)
    guesses = tuple(map(_guess, by_agent.values()))
    return Guesses(run.meta["backend"], run.meta["model_name"], hypothesis, guesses)


def read_hypothesis(own: Path) -> str | None:
    """Read with which hypothesis guesses are compared; ``""`` for none, None if nobody was asked.

    Args:
        own: The folder of the guesses.

    Raises:
        RunFolderError: The log of the guesses cannot be read.
        UserError: It is of another run.
    """
    if not (own / LOG_NAME).is_file():
        return None
    design = Run(own).meta["experiment"]["design"][0]
    if not {"prompts", "everyday", "hypothesis"} <= design.keys():
        raise UserError(f"{own} holds another run than one of agentnet guess; move that folder away")
    return str(design["hypothesis"])


def _guess(answers: Mapping[str, Any]) -> TextGuess:
    guess = answers.get("guess") or {}
    return TextGuess(answers["everyday"], guess.get("study"), guess.get("purpose", ""), answers.get("named"))


def _share(found: Iterable[tuple[bool, bool | None]]) -> Share:
    known = [(everyday, answer) for everyday, answer in found if answer is not None]
    ours = [answer for everyday, answer in known if not everyday]
    theirs = [answer for everyday, answer in known if everyday]
    return Share(sum(ours), len(ours), sum(theirs), len(theirs))
