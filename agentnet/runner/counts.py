"""What a whole run takes, from a few of its realizations that were played on the mock."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from agentnet.events import Run
from agentnet.families import Planned
from agentnet.families.contract import Takes
from agentnet.runner.prepare import Prepared
from agentnet.sampler.expected import EXPECTED, Load
from agentnet.vocabulary import OF_A_RULE, REASON

_DRAWS = """
SELECT COALESCE(a.voice, ''), e.kind, e.realization, e.prompt, p.hash, e.temperature, COUNT(*)
FROM events e LEFT JOIN agents a USING (realization, agent) LEFT JOIN replies r USING (reply)
LEFT JOIN prompts p ON p.prompt = e.prompt
WHERE COALESCE(r.model, '') NOT LIKE ? GROUP BY 1, 2, 3, 4, 6
"""


class Used(NamedTuple):
    """What the requests of one voice for one kind of question took.

    Attributes:
        requests: Their number.
        samples: Texts that came.
        prompt_tokens: Tokens in.
        completion_tokens: Tokens out.
    """

    requests: int = 0
    samples: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def expected_takes(
    prepared: Prepared,
    trial: Run,
    played: Sequence[Planned],
    times: float,
    used: Mapping[tuple[str, str], Used],
    listing: Collection[str],
) -> dict[str, Takes]:
    """Expect what each voice takes in the whole run, in the sampler mode in force.

    Questions are shared by the repeats of one condition and news item; where one request tells the odds at
    every temperature, by all conditions that have the same prompts.

    Args:
        prepared: The run.
        trial: Some of its realizations, played.
        played: Which.
        times: How many times more draws each of the run's has.
        used: (voice, kind) -> what the trial's requests took.
        listing: Voices of which one request tells the odds at every temperature.
    """
    sampler, numbers = prepared.settings.sampler, {planned.realization: planned for planned in played}
    takes: dict[str, Takes] = defaultdict(Takes)
    drawn: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
    for voice, kind, *row in trial.rows(_DRAWS, (f"{OF_A_RULE}%",))[1]:
        drawn[voice, kind].append(tuple(row))
    for (voice, kind), rows in drawn.items():
        is_of_all = sampler.mode == "logprobs" and voice in listing
        group = _same_news if is_of_all and _are_alike(prepared) else _same_condition
        questions: dict[object, Counter[object]] = defaultdict(Counter)
        for realization, prompt, hash_, temperature, n in rows:
            questions[group(numbers[realization])][hash_ if is_of_all else (prompt, temperature)] += n
        times_met = Counter(n for each in questions.values() for n in each.values())
        draws, distinct = sum(n * met for met, n in times_met.items()), times_met.total()
        seen = (draws, distinct, times_met[1], times_met[2], len(questions))
        repeats = Counter(Counter(map(group, prepared.plan)).values())
        mode = EXPECTED["call" if kind == REASON else sampler.mode]
        sends = [
            (n, mode(Load(*seen, of_each, draws / len(played) * times, sampler.n_at_most)))
            for of_each, n in repeats.items()
        ]
        requests = math.fsum(n * each.requests for n, each in sends)
        samples = math.fsum(n * each.samples for n, each in sends)
        each = used.get((voice, kind), Used())
        takes[voice] = takes[voice].plus(
            requests,
            requests * each.prompt_tokens / max(each.requests, 1),
            samples * each.completion_tokens / max(each.samples, 1),
        )
    return dict(sorted(takes.items()))


def _are_alike(prepared: Prepared) -> bool:
    """Say whether all conditions are known to ask by the same prompts."""
    first, *others = (list(prepared.stage.asks(number)) for number in range(len(prepared.experiments)))
    return bool(first) and all(each == first for each in others)


def _same_news(planned: Planned) -> int:
    return planned.news


def _same_condition(planned: Planned) -> tuple[int, int]:
    return planned.condition, planned.news
