"""The engine of one realization of interacting models (Helm et al. 2024, sections 2 and 4).

At each step every model with candidates picks one of them, asks it some questions and is updated by the
answers. A step has two phases: all answers come from the states at its start, then all models are updated. So
neither order nor concurrency can matter. At step 0, and after each step, every model answers the evaluation
set.

Draws are keyed by what is repeated, not by the realization: the arms of a comparison share chance for as long
as they share their history.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.events import Said
from agentnet.interviews.asking import ModelSampler, all_of, judge_answer
from agentnet.interviews.checkpoints import Checkpoints
from agentnet.interviews.contract import BANK, Models, Pair
from agentnet.interviews.perspective import Places
from agentnet.interviews.questions import Question
from agentnet.interviews.topology import Candidates, Distances, Topology, candidates_at
from agentnet.journal import Asking, Journal, Temperature, draw_parameters
from agentnet.sampler import Question as Prompted
from agentnet.streams import Streams

Numbers = tuple[int, ...]
"""Numbers of questions."""


@dataclass(frozen=True, slots=True)
class InterviewRules:
    """How a system is played.

    Attributes:
        classes: Class of each model.
        taught: For each model the questions that it is taught at the start, with the bank's answers.
        evaluation: The evaluation set.
        bank: What questions of interviews are drawn from.
        n_questions: Questions of an interview, at most as many as the bank has; none twice.
        steps: Steps after the start, >= 0.
        topology: Who may interview whom.
        temperature: What sampling temperatures are drawn from.
        reuse: Whether an interview takes the answers that the model gave to the same questions in the last
            evaluation; only for greedy answers, which would be the same.
        max_tokens: Bound on the tokens of an answer.
        repeat: Number of the repetition: realizations of equal number share chance.
    """

    classes: tuple[str, ...]
    taught: tuple[Numbers, ...]
    evaluation: Numbers
    bank: Numbers
    n_questions: int
    steps: int
    topology: Topology
    temperature: Temperature
    reuse: bool = True
    max_tokens: int = 64
    repeat: int = 0


class Interviews:
    """One realization: its steps.

    Args:
        rules: How it is played.
        questions: All questions of the run, by number.
        models: The models' states.
        sampler: Gets their answers; the journal's.
        places: Embeds answers where a topology wants distances.
        checkpoints: The states on disk.
        streams: The run's random streams.
        journal: Asks and records.
    """

    def __init__(
        self,
        rules: InterviewRules,
        questions: Sequence[Question],
        models: Models,
        sampler: ModelSampler,
        places: Places,
        checkpoints: Checkpoints,
        streams: Streams,
        journal: Journal,
    ) -> None:
        self.classes = rules.classes
        self._rules = rules
        self._questions = questions
        self._models = models
        self._sampler = sampler
        self._places = places
        self._checkpoints = checkpoints
        self._streams = streams
        self._journal = journal
        self._n_models = len(rules.classes)
        self._answers: list[list[str | None]] = []
        self._asked: list[int] = []
        self._made: dict[str, dict[tuple[int, int], Prompted]] = {"evaluation": {}, "interview": {}}

    async def play(self) -> tuple[str, int]:
        """Play it to its end.

        Returns:
            The status ``finished`` and the last step played.

        Raises:
            DesignError: The topology names a model that does not exist.
            BackendUnusable: No model can answer.
        """
        self._journal.tally.n_models += self._n_models
        done = self._sampler.restored = await self._checkpoints.restore(self._models)
        if done < 0:
            await self._teach()
        await self._evaluate(0)
        for step in range(1, self._rules.steps + 1):
            candidates = await candidates_at(self._rules.topology, step, self)
            pairs = await self._interview(step, candidates)
            if step > done:
                await self._update(step, pairs)
            await self._evaluate(step)
            self._journal.tally.n_steps += 1
        self._say_who_is_alone()
        await self._checkpoints.drop()
        return "finished", self._rules.steps

    async def distances(self) -> Distances:
        """Compute squared distances between the models' present perspectives; see `State`."""
        return await self._places.distances(self._answers)

    async def _teach(self) -> None:
        """Teach every model its own questions."""
        taught = [
            [Pair(self._questions[n], self._questions[n].answer, 0, BANK) for n in numbers]
            for numbers in self._rules.taught
        ]
        await self._update(0, taught)

    async def _evaluate(self, step: int) -> None:
        """Ask every model the evaluation set."""
        evaluation = self._rules.evaluation
        n_each = len(evaluation)
        agents = np.repeat(np.arange(self._n_models), n_each)
        repeats = np.tile(np.array(evaluation, dtype=np.int64), self._n_models)
        sources = np.full(len(agents), -1)
        said = await self._hear("evaluation", step, agents, sources, repeats)
        by_model = [said[i : i + n_each] for i in range(0, len(said), n_each)]
        self._answers = [[each.text for each in of_model] for of_model in by_model]
        if self._rules.reuse:
            keys = zip(agents.tolist(), repeats.tolist(), strict=True)
            self._sampler.remembered = dict(zip(keys, said, strict=True))

    async def _interview(self, step: int, candidates: Candidates) -> list[list[Pair]]:
        """Let every model with candidates interview one of them; return what each heard."""
        partners = [self._partner(step, model, among) for model, among in enumerate(candidates)]
        self._record_partners(step, partners, candidates)
        askers = [model for model, partner in enumerate(partners) if partner is not None]
        chosen = [self._choose_questions(step, model) for model in askers]
        n_each = self._rules.n_questions
        sources = np.repeat(np.array(askers, dtype=np.int64), n_each)
        agents = np.array([partners[model] for model in sources.tolist()], dtype=np.int64)
        repeats = np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)
        said = await self._hear("interview", step, agents, sources, repeats)
        pairs: list[list[Pair]] = [[] for _ in range(self._n_models)]
        for source, agent, number, each in zip(
            sources.tolist(), agents.tolist(), repeats.tolist(), said, strict=True
        ):
            if each.text is not None:
                pairs[source].append(Pair(self._questions[number], each.text, step, agent))
        return pairs

    def _partner(self, step: int, model: int, among: Sequence[int]) -> int | None:
        if not among:
            return None
        return among[self._streams.integer("partner", self._rules.repeat, step, model) % len(among)]

    def _choose_questions(self, step: int, model: int) -> NDArray[np.int64]:
        """Draw the questions of an interview without replacement, in the order in which they are asked."""
        bank = np.array(self._rules.bank, dtype=np.int64)
        words = self._streams.words_at("questions", self._rules.repeat, step, model, at=np.arange(len(bank)))
        return bank[np.argsort(words, kind="stable")[: self._rules.n_questions]]

    def _record_partners(self, step: int, partners: list[int | None], candidates: Candidates) -> None:
        number = self._journal.realization
        self._journal.log.add(
            "interviews",
            [
                (number, step, model, partner, len(candidates[model]))
                for model, partner in enumerate(partners)
            ],
        )
        self._asked += [partner for partner in partners if partner is not None]

    async def _hear(
        self,
        kind: str,
        step: int,
        agents: NDArray[np.int64],
        sources: NDArray[np.int64],
        repeats: NDArray[np.int64],
    ) -> list[Said]:
        """Get the answers to questions number `repeats`, in this order."""
        # A draw's place in the step's stream: by model and question, whatever else is asked.
        place = (sources + 1) * self._n_models + agents
        draw = draw_parameters(
            self._streams,
            (kind, self._rules.repeat, step),
            place * len(self._questions) + repeats,
            self._rules.temperature,
        )
        prompted = self._prompted(kind, agents.tolist(), repeats.tolist())
        asking = Asking(kind, step, agents.tolist(), sources.tolist(), repeats.tolist(), prompted, *draw)
        return await self._journal.hear(asking, judge_answer)

    def _prompted(self, kind: str, agents: list[int], repeats: list[int]) -> list[Prompted]:
        made = self._made[kind]
        for key in zip(agents, repeats, strict=True):
            if key not in made:
                model, number = key
                facts: dict[str, str | int] = {
                    "kind": kind,
                    "model": model,
                    "class": self.classes[model],
                    "question": self._questions[number].id,
                }
                made[key] = Prompted(-1, (), facts, max_tokens=self._rules.max_tokens)
        return [made[key] for key in zip(agents, repeats, strict=True)]

    async def _update(self, step: int, pairs: Sequence[Sequence[Pair]]) -> None:
        """Update every model that heard something, then save the states if it is time."""
        heard = [model for model, of_model in enumerate(pairs) if of_model]
        measures = await all_of([self._update_one(step, model, pairs[model]) for model in heard])
        by_model = dict(zip(heard, measures, strict=True))
        number = self._journal.realization
        self._journal.log.add(
            "updates",
            [
                (number, step, model, len(pairs[model]), json.dumps(by_model.get(model, {})))
                for model in range(self._n_models)
            ],
        )
        if self._checkpoints.is_due(step):
            # First the log: a resumed run does not play these updates again.
            await self._journal.log.flush()
            await self._checkpoints.save(self._models, step)

    async def _update_one(self, step: int, model: int, pairs: Sequence[Pair]) -> dict[str, float | int]:
        seed = self._streams.integer("update", self._rules.repeat, step, model)
        return dict(await self._models.update(model, step, pairs, seed))

    def _say_who_is_alone(self) -> None:
        """Note the models that nobody interviewed: allowed, but perhaps not meant (unless nobody was to)."""
        if not self._rules.steps:
            return
        asked = set(self._asked)
        alone = [model for model in range(self._n_models) if model not in asked]
        if alone:
            self._journal.log.add_incident(
                "alone", realization=self._journal.realization, never_interviewed=alone
            )
