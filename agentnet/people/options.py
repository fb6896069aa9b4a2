"""What can be said of a voice of people: how many, how long, in what words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agentnet.errors import ConfigurationError, near_miss
from agentnet.events.schema import OF_PEOPLE

MODEL_NAME: Final = OF_PEOPLE
"""What the log has as the model's name of who answers: every reply of a person's is told by it."""

COMPLETED, SCREENED_OUT, TIMED_OUT = CODES = ("completed", "screened_out", "timed_out")
"""How people may end who are told a code for it: to the end, not let in, or in vain in the lobby."""

_NAMED_BY_THE_PANEL: Final = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")


class Comprehension(BaseModel):
    """A question that shows whether somebody has understood what the study is.

    Attributes:
        ask: The question.
        choices: What may be answered.
        right: Which of them is right.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    ask: str
    choices: list[str] = Field(min_length=2)
    right: str

    @model_validator(mode="after")
    def _is_answerable(self) -> Self:
        if self.right not in self.choices:
            raise ValueError(f"right is {self.right!r}, which is none of its choices")
        return self


class HumanOptions(BaseModel):
    """The options of backend ``human``: the table of a voice, or of ``[backend]``.

    Attributes:
        people: How many have to be in the lobby before the run begins.
        least: With how many it begins if no more come within `lobby_s`; by default with no fewer.
        links: How many links are made to be handed out; by default as many as `people`.
        lobby_s: How long anybody waits in the lobby at most, in seconds.
        deadline_s: How long there is for an answer, in seconds.
        idle_after: Deadlines missed in a row after which the run goes on without a person.
        stays_s: How long pages are still there after the run has ended, for those who are to see their code.
        consent: What people agree to before anything else; empty: they are not asked.
        comprehension: Questions that all have to be answered right.
        tries: How often they may be tried.
        codes: How somebody ended -> the code that they are told; see `CODES`.
        return_to: Address of the link at the end, with ``{code}`` in it.
        panel: What of the address that somebody comes by is noted, as a hash.
        language: Language of the pages.
        words: Texts of the pages that are otherwise, by their names in the file of the language.
        role: Whether people are told who they are, as agents are by the system message.
        instruction: What the last paragraph of a prompt begins with where it tells models the form of an
            answer; people see controls instead.
        host: Where the pages are served.
        port: The port; 0: any that is free, and the same when the run is resumed.
        address: Where people reach it, if something stands before it: ``https://study.example.org``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    people: int = Field(1, ge=1)
    least: int | None = Field(None, ge=1)
    links: int | None = Field(None, ge=0)
    lobby_s: float = Field(600.0, gt=0)
    deadline_s: float = Field(120.0, gt=0)
    idle_after: int = Field(2, ge=1)
    stays_s: float = Field(60.0, ge=0)
    consent: str = ""
    comprehension: tuple[Comprehension, ...] = ()
    tries: int = Field(2, ge=1)
    codes: Mapping[str, str] = Field(default_factory=dict)
    return_to: str = Field("", pattern=r"^(https://.*)?$")
    panel: tuple[str, ...] = _NAMED_BY_THE_PANEL
    language: str = "en"
    words: Mapping[str, str] = Field(default_factory=dict)
    role: bool = False
    instruction: str = "Answer with "
    host: str = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535)
    address: str = Field("", pattern=r"^(https?://[^/?#]+)?$")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for kind in self.codes:
            if kind not in CODES:
                raise ValueError(f"codes: nobody ends {kind!r}{near_miss(kind, CODES)}")
        if self.least is not None and self.least > self.people:
            raise ValueError(f"least is {self.least}, more than people, {self.people}")
        return self

    @classmethod
    def read(cls, options: Mapping[str, object]) -> Self:
        """Read the options of a voice.

        Raises:
            ConfigurationError: One is unknown or impossible; names it as ``backend.KEY``.
        """
        known = cls.model_fields
        for name in options:
            if name not in known:
                raise ConfigurationError(
                    f"backend.{name} is unknown to the backend 'human'{near_miss(name, known)}"
                )
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, ('backend', *e['loc'])))}: {e['msg']}" for e in error.errors())
            raise ConfigurationError("; ".join(faults)) from None
