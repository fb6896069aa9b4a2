"""From (profile, news item) to messages: the templates, their checks and their hash.

A template is text with the placeholders of `string.Template` (``$news`` or ``${news}``, ``$$`` for a dollar):
braces, which news and JSON examples are full of, mean nothing in it. Values are inserted once and never
expanded again, so a news text with ``$traits`` in it stays what it is.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple

from agentnet.errors import DesignError, InputError, near_miss
from agentnet.profiles import Profile, TraitWording
from agentnet.prompts.reply import well_formed
from agentnet.vocabulary import AFTERWARDS, EXPOSURE, INLINE, RATIO, SEED, TRAITS, WITHOUT, Rationale

if TYPE_CHECKING:
    from agentnet.news import NewsItem

Messages = tuple[tuple[str, str], ...]
"""A conversation: (role, content) pairs, as in `agentnet.backend`."""


def conversation(given: object) -> Messages:
    """Take (role, content) pairs, however they are held; ``()`` of anything else, such as dicts."""
    try:
        messages: tuple[Any, ...] = tuple(given)  # type: ignore[arg-type] # seen here
    except TypeError:
        return ()
    are_pairs = all(
        isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        for pair in messages
    )
    return tuple((role, content) for role, content in messages) if are_pairs else ()


UNKNOWN = "unknown"
"""What stands for the date or the place of a news item that has none."""

_SCHEMA = {
    "type": "object",
    "properties": {"share": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["share", "reason"],
    "additionalProperties": False,
}
_WORDING = "traits.toml"


class _Fields(NamedTuple):
    """The placeholders of a template."""

    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()


_QUESTION = _Fields(frozenset({"news", "answer"}), frozenset({"date", "place"}))
_TEMPLATES = {
    "system.txt": _Fields(frozenset({"traits"})),
    "seed.txt": _QUESTION,
    "content.txt": _QUESTION,
    "reason.txt": _Fields(),
    "answer_inline.txt": _Fields(),
    "answer_plain.txt": _Fields(),
}
FILES = (*_TEMPLATES, _WORDING)
"""The files of a prompt set."""

_QUESTION_OF = {SEED: "seed.txt", EXPOSURE: "content.txt", RATIO: "content.txt"}
_ANSWER_OF = {INLINE: "answer_inline.txt", AFTERWARDS: "answer_plain.txt", WITHOUT: "answer_plain.txt"}


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Checked templates and wording. Made by `load` or `from_texts`.

    Attributes:
        contents: (file name, text) of every file, in the order of `FILES`.
        wording: The trait sentences of ``traits.toml``.
    """

    contents: tuple[tuple[str, str], ...]
    wording: TraitWording

    @classmethod
    def load(cls, folder: Path | None = None) -> PromptSet:
        r"""Read the package's files, each replaced by the file of the same name in `folder` if there is one.

        Texts are UTF-8, with or without a byte order mark. Line ends become ``\n`` and those at a text's end
        are dropped, so that a file means and hashes the same on every system. Files whose names begin with a
        dot are not looked at.

        Args:
            folder: The user's folder; any of `FILES`, at least one.

        Raises:
            InputError: The folder is missing, or holds none of `FILES` or anything else; or a file is empty,
                no UTF-8, lacks a placeholder or has an unknown one: names file and row.
        """
        own = {} if folder is None else _own_files(folder)
        package = files("agentnet.prompts") / "templates"
        texts = {
            name: _decoded(own[name] if name in own else (package / name).read_bytes(), name, folder)
            for name in FILES
        }
        return cls._checked(texts, folder)

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> PromptSet:
        """Make the prompt set whose `texts` a run recorded.

        Raises:
            InputError: A file is missing, unknown, or not as `load` wants it.
        """
        for name in texts:
            _check_name(name, None)
        missing = [name for name in FILES if name not in texts]
        if missing:
            raise InputError(f"the prompt set lacks {', '.join(missing)}")
        return cls._checked({name: texts[name] for name in FILES}, None)

    @classmethod
    def _checked(cls, texts: Mapping[str, str], folder: Path | None) -> PromptSet:
        for name, fields in _TEMPLATES.items():
            _check_placeholders(texts[name], fields, _where(name, folder))
        return cls(tuple(texts.items()), _read_wording(texts[_WORDING], _where(_WORDING, folder)))

    @property
    def texts(self) -> dict[str, str]:
        """The text of every file by its name: what a run records."""
        return dict(self.contents)

    @property
    def hash(self) -> str:
        """SHA-256, as hex, of the names and texts (sorted pairs as JSON)."""
        return _sha256(sorted(self.contents))

    def messages(
        self,
        kind: str,
        profile: Profile | str,
        item: NewsItem,
        *,
        rationale: Rationale,
        answer: str | None = None,
    ) -> Messages:
        """Ask an agent of `profile` about `item`.

        Args:
            kind: ``seed`` asks an initial agent; ``exposure`` an exposed one; ``ratio``, of the
                response-ratio experiment, asks as an exposure does.
            profile: The agent's profile, or the text that says who it is.
            item: The news item.
            rationale: When the reason is asked for.
            answer: How to answer; None: as the template for `rationale` says.

        Returns:
            A system message with the traits and a user message with the news and the question.

        Raises:
            DesignError: `kind` or `rationale` is unknown.
        """
        texts = self.texts
        template = texts[_known(rationale, _ANSWER_OF, "rationale")]
        answer = Template(template).substitute() if answer is None else answer
        question = Template(texts[_known(kind, _QUESTION_OF, "kind of prompt")]).substitute(
            news=item.text,
            date=item.date.isoformat() if item.date else UNKNOWN,
            place=item.place or UNKNOWN,
            answer=answer,
        )
        return (("system", self.system_message(profile)), ("user", question))

    def system_message(self, profile: Profile | str) -> str:
        """Tell an agent of `profile` who it is: the system message of all that it is asked."""
        if isinstance(profile, str):
            return profile
        traits = "\n".join(f"- {sentence}" for sentence in self.wording.sentences(profile))
        return Template(self.texts["system.txt"]).substitute(traits=traits)

    def reason_messages(self, messages: Messages, reply_text: str) -> Messages:
        """Go on from `messages` and the agent's own reply to the question for its reason.

        Unpaired surrogates in the reply are dropped, since no request could carry them.
        """
        question = Template(self.texts["reason.txt"]).substitute()
        return (*messages, ("assistant", well_formed(reply_text)), ("user", question))


def prompt_hash(messages: Messages) -> str:
    """Return the SHA-256, as hex, of the conversation (as JSON, ASCII only)."""
    return _sha256(messages)


def answer_schema(rationale: Rationale) -> str | None:
    """Return the JSON schema of the answer as JSON text; None where the answer is a plain yes or no.

    ``share`` comes first: the decision is not shaped by a rationale before it and survives a truncated reply.

    Raises:
        DesignError: `rationale` is unknown.
    """
    return json.dumps(_SCHEMA) if _known(rationale, _ANSWER_OF, "rationale") == "answer_inline.txt" else None


def answer_choices() -> tuple[str, str]:
    """Return the only texts that a plain answer may be, yes first."""
    return ("yes", "no")


def _known(word: str, table: Mapping[str, str], what: str) -> str:
    if word not in table:
        raise DesignError(f"there is no {what} {word!r}{near_miss(word, table)}")
    return table[word]


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


def _own_files(folder: Path) -> dict[str, bytes]:
    """Read the user's files."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        for path in paths:
            _check_name(path.name, folder)
        found = {path.name: path.read_bytes() for path in paths}
    except OSError as error:
        raise InputError(f"the prompt templates cannot be read: {error}", path=folder) from error
    if not found:
        raise InputError(f"holds no prompt template; it may hold any of {', '.join(FILES)}", path=folder)
    return found


def _check_name(name: str, folder: Path | None) -> None:
    if name not in FILES:
        raise InputError(f"is no prompt template{near_miss(name, FILES)}", path=_where(name, folder))


def _where(name: str, folder: Path | None) -> Path:
    return Path(name) if folder is None else folder / name


def _decoded(data: bytes, name: str, folder: Path | None) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"is not UTF-8 (byte {error.start}); save it as UTF-8", path=_where(name, folder), row=row
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def _check_placeholders(text: str, fields: _Fields, path: Path) -> None:
    if not text.strip():
        raise InputError("is empty; write the prompt or remove the file", path=path)
    known = fields.required | fields.optional
    used = set()
    for match in Template.pattern.finditer(text):
        row = text.count("\n", 0, match.start()) + 1
        name = match["named"] or match["braced"]
        if match["invalid"] is not None:
            raise InputError("has a lone '$'; write '$$' for a dollar sign", path=path, row=row)
        if name is not None and name not in known:
            way_out = near_miss(name, known) if known else "; this file takes none"
            raise InputError(
                f"has the unknown placeholder ${name}{way_out} (write '$$' for a dollar sign)",
                path=path,
                row=row,
            )
        used.add(name)
    missing = sorted(fields.required - used)
    if missing:
        raise InputError(f"lacks the placeholder ${', $'.join(missing)}", path=path)


def _read_wording(text: str, path: Path) -> TraitWording:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not TOML: {error}", path=path) from error
    for trait in table:
        if trait not in TRAITS:
            raise InputError(f"there is no trait {trait!r}{near_miss(trait, TRAITS)}", path=path, field=trait)
    pairs = [_low_and_high(table.get(trait), trait, path) for trait in TRAITS]
    return TraitWording(low=tuple(low for low, _ in pairs), high=tuple(high for _, high in pairs))


def _low_and_high(levels: object, trait: str, path: Path) -> tuple[str, str]:
    if not isinstance(levels, dict):
        raise InputError("needs a table with `low` and `high`", path=path, field=trait)
    for level in levels:
        if level not in {"low", "high"}:
            raise InputError(
                f"there is no level {level!r}{near_miss(level, ('low', 'high'))}",
                path=path,
                field=f"{trait}.{level}",
            )
    return _sentence(levels, "low", trait, path), _sentence(levels, "high", trait, path)


def _sentence(levels: Mapping[str, object], level: str, trait: str, path: Path) -> str:
    text = levels.get(level)
    if not isinstance(text, str) or not text.strip():
        raise InputError("must be text that describes the behaviour", path=path, field=f"{trait}.{level}")
    return text.strip()
