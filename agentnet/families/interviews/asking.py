"""How draws become answers of models: by the models themselves, or by the backend where they say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

from agentnet.backend import Backend, Messages, Reply, Request
from agentnet.errors import BackendError, BackendUnusable, RunFolderError, ServerUnreachable
from agentnet.events import Said
from agentnet.interviews import Asked, Models, Prompt, Question
from agentnet.prompts import after_thought
from agentnet.sampler import Answer, Draws, Pool, Sampler
from agentnet.sampler import Question as Prompted
from agentnet.sampler.draws import Trouble
from agentnet.vocabulary import CONTENT_FILTER, INTERVIEW

_ENDS = {"refusal": "refused", CONTENT_FILTER: CONTENT_FILTER}


class TakesCutOff:
    """Takes an answer that reached the bound on its tokens for an answer; the event log says that it did.

    What the model thought before it is no part of it: an answer is taught, and asked about.

    Args:
        inner: The backend asked.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.name = inner.name
        self.model_name = inner.model_name

    async def complete(self, request: Request) -> Reply:
        """Answer `request`."""
        return without_cut(without_thought(await self._inner.complete(request)))

    async def aclose(self) -> None:
        """Close the backend asked."""
        await self._inner.aclose()


def without_cut(reply: Reply) -> Reply:
    """Turn the end ``length`` of a reply of one text into a trouble, ``cut_off``."""
    if reply.finish[:1] != ("length",) or not reply.texts[0].strip():
        return reply
    return reply._replace(finish=(), troubles=(*reply.troubles, "cut_off"))


def without_thought(reply: Reply) -> Reply:
    """Cut off what was thought before each answer.

    Examples:
        >>> without_thought(Reply(("<think>Two? Three.</think> Three.",))).texts
        ('Three.',)
    """
    texts = tuple(map(after_thought, reply.texts))
    return reply if texts == reply.texts else reply._replace(texts=tuple(map(str.strip, texts)))


def with_system_message(text: str, messages: Messages) -> Messages:
    """Put `text` ahead of a conversation, in one system message with its own: chat templates know but one.

    Examples:
        >>> with_system_message("You are calm.", (("system", "Be brief."), ("user", "Well?")))
        (('system', 'You are calm.\\n\\nBe brief.'), ('user', 'Well?'))
    """
    if not text:
        return messages
    if messages and messages[0][0] == "system":
        return (("system", f"{text}\n\n{messages[0][1]}"), *messages[1:])
    return (("system", text), *messages)


@dataclass(slots=True)
class ModelSampler:
    """Gets the answers of one realization's models; see `agentnet.sampler.Sampler`.

    Args:
        models: Their states.
        questions: All questions of the run, by number; a draw's repeat is the number of its question.
        caller: Asks the backend where an answer is a prompt.
        pool: Where models wait for a worker; says so if the run was stopped.
        model_name: What answers by itself is recorded under.
        system_messages: What each model is told ahead of its conversations; none at all for nothing.

    Attributes:
        remembered: (model, question) -> what the model said to it in its present state, greedily, so that it
            need not be asked again in an interview.
        restored: The step at whose end the states stood when they were restored; -1 if they were not.
    """

    models: Models
    questions: Sequence[Question]
    caller: Sampler
    pool: Pool
    model_name: str
    system_messages: Sequence[str] = ()
    remembered: Mapping[tuple[int, int], Said] = field(default_factory=dict)
    restored: int = -1

    async def draw(self, draws: Draws) -> None:
        """Answer every draw of ``draws.todo``.

        Raises:
            BackendUnusable: No model can answer.
            RunStopped: The run was stopped.
            PluginError: The update rule gave no answers.
            RunFolderError: The log lacks answers that the restored states were made of.
        """
        self._check_restored(draws)
        asked: dict[int, list[int]] = {}
        for i in draws.todo:
            if not self._recall(draws, i):
                asked.setdefault(draws.agents[i], []).append(i)
        prompts: dict[int, Prompt] = {}
        todo = list(asked.items())
        await self.pool.run(lambda k: self._ask(draws, *todo[k], prompts), len(todo))
        if prompts:
            await self.caller.draw(self._composed(draws, prompts))

    def _check_restored(self, draws: Draws) -> None:
        made_of = self.restored if draws.kind == INTERVIEW else self.restored - 1
        if draws.todo and draws.step <= made_of:
            raise RunFolderError(
                f"the models were saved at step {self.restored}, but the event log lacks answers of step "
                f"{draws.step}: remove the folder 'models' of the run folder, then resume"
            )

    def _recall(self, draws: Draws, i: int) -> bool:
        if draws.kind != INTERVIEW:
            return False
        said = self.remembered.get((draws.agents[i], draws.repeats[i]))
        if said is None:
            return False
        answer = Answer(
            None, said.missing, said.text, "", said.model, said.fingerprint, 0, 0, 0, 0, True, 0.0
        )
        draws.record(i, answer)
        return True

    async def _ask(self, draws: Draws, model: int, places: list[int], prompts: dict[int, Prompt]) -> None:
        """Ask one model; record what it says by itself, keep what the backend has to say for it."""
        asked = [
            Asked(self.questions[draws.repeats[i]], draws.kind, draws.temperatures[i], draws.seeds[i])
            for i in places
        ]
        started = perf_counter()
        try:
            given = await self.models.answer(model, draws.step, asked)
        except (BackendUnusable, ServerUnreachable):
            raise
        except BackendError as error:
            for i in places:
                draws.record(i, _lost(error, perf_counter() - started))
            return
        each_s = (perf_counter() - started) / len(asked)
        for i, said in zip(places, given, strict=True):
            if isinstance(said, Prompt):
                prompts[i] = said
            else:
                draws.record(i, _own(said, self.model_name, each_s))

    def _composed(self, draws: Draws, prompts: Mapping[int, Prompt]) -> Draws:
        """Make the draws of prompts: the conversation in the question's place, its context on the answer."""
        questions: list[Prompted] = list(draws.questions)
        for i, prompt in prompts.items():
            told = self.system_messages[draws.agents[i]] if self.system_messages else ""
            questions[i] = questions[i]._replace(messages=with_system_message(told, prompt.messages))
            draws.composed[i] = questions[i]

        def record(i: int, answer: Answer) -> None:
            missing = answer.missing
            if missing == "invalid" and answer.troubles and answer.troubles[-1][1] == "empty":
                missing = "empty"
            draws.record(i, answer._replace(missing=missing, context=prompts[i].context or None))

        return replace(draws, questions=questions, record=record, todo=list(prompts))


def _own(said: Reply, model_name: str, latency_s: float) -> Answer:
    """Make the answer of what a model said by itself."""
    missing: str | None = None
    troubles: tuple[Trouble, ...] = ()
    if said.finish or said.troubles or not said.texts[0].strip():
        said, missing, troubles = _not_quite(said)
    return Answer(
        None,
        missing,
        said.texts[0],
        "",
        said.model or model_name,
        said.fingerprint,
        said.prompt_tokens,
        said.completion_tokens,
        1,
        0,
        said.cached,
        latency_s,
        troubles,
    )


def _not_quite(said: Reply) -> tuple[Reply, str | None, tuple[Trouble, ...]]:
    """Look at a reply that did not simply stop, or is blank: what is missing, and what went wrong."""
    reply = without_cut(said)
    text, missing = reply.texts[0], _ENDS.get(reply.finish[0]) if reply.finish else None
    if missing is None and not text.strip():
        missing = "empty"
    troubles: tuple[Trouble, ...] = tuple((kind, "", None) for kind in reply.troubles)
    return reply, missing, troubles if missing is None else (*troubles, (missing, "", text))


def _lost(error: BackendError, latency_s: float) -> Answer:
    troubles = (*((kind, "", None) for kind in error.troubles), (error.kind, str(error), None))
    return Answer(None, error.kind, None, "", "", None, None, None, 1, 0, False, latency_s, troubles)
