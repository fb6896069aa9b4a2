"""A conversation as a model's own tokens, and where in them a part may be cut that others share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple, NoReturn

from agentnet.backend import Messages
from agentnet.errors import BackendUnusable, ConfigurationError, RequestRejected
from agentnet_backends.local_files import Chat

_TODAY = "26 Jul 2024"
"""What templates that ask for the date are told: by a clock, a resumed run would ask something else."""


class TokenPrompt(NamedTuple):
    """A conversation in tokens.

    Attributes:
        tokens: All of it, up to where the model is to speak.
        cuts: Where its messages end, in tokens: rising, each within `tokens`. They depend on it alone.
    """

    tokens: tuple[int, ...]
    cuts: tuple[int, ...]


class Speaker:
    """Puts conversations as a model's chat template does.

    Args:
        chat: The template, and what it names.
        tokenizer: Of the library ``tokenizers``.
        name: The model's, for messages.

    Raises:
        ConfigurationError: There is no template, or it is broken.
    """

    def __init__(self, chat: Chat, tokenizer: Any, name: str) -> None:  # noqa: ANN401 - of an extra
        from jinja2 import TemplateError

        self._tokenizer = tokenizer
        self._name = name
        self._marks = chat.marks
        added = tokenizer.get_added_tokens_decoder().values()
        self._control = tuple(token.content for token in added if token.special)
        if not chat.template:
            raise ConfigurationError(
                f"{name} has no chat template: it is a raw model, which would go on with a question instead "
                "of answering it; choose one that is tuned to instructions"
            )
        try:
            self._template = _environment().from_string(chat.template)
        except TemplateError as error:
            raise ConfigurationError(f"the chat template of {name} is broken: {error}") from error

    def prompt(self, messages: Messages) -> TokenPrompt:
        """Put a conversation.

        Raises:
            RequestRejected: A message holds one of the model's own marks, which would be obeyed.
            BackendUnusable: The template does not take such conversations.
        """
        for role, content in messages:
            if held := [mark for mark in self._control if mark in content]:
                raise RequestRejected(
                    f"a message of the {role} holds {held[0]!r}, which {self._name} would take for a mark of "
                    "its own; take it out of the text",
                    kind="control_token",
                )
        whole = self.tokens(self._put(messages, speaks=True))
        cuts = [self._shared(messages[:n], whole) for n in range(1, len(messages))]
        return TokenPrompt(whole, tuple(sorted({cut for cut in cuts if 0 < cut < len(whole)})))

    def tokens(self, text: str) -> tuple[int, ...]:
        """Split a text into the model's tokens."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, tokens: Sequence[int]) -> str:
        """Join tokens into a text, less marks."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _shared(self, messages: Messages, whole: Sequence[int]) -> int:
        """Count the tokens that a conversation begins with if it begins with `messages`."""
        try:
            part = self.tokens(self._put(messages, speaks=False))
        except BackendUnusable:
            return 0  # templates may refuse a conversation that ends so
        return len([*takewhile(lambda pair: pair[0] == pair[1], zip(part, whole, strict=False))])

    def _put(self, messages: Messages, *, speaks: bool) -> str:
        turns = [{"role": role, "content": content} for role, content in messages]
        try:
            return str(self._template.render(messages=turns, add_generation_prompt=speaks, **self._marks))
        # A template is somebody's program: what it raises is not only jinja2's.
        except Exception as error:
            raise BackendUnusable(
                f"the chat template of {self._name} does not take the conversation: {error}; choose "
                "another model",
                kind="chat_template",
            ) from error


def _environment() -> Any:  # noqa: ANN401 - jinja2 is imported where it is used
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    made.globals.update(raise_exception=_raise, strftime_now=lambda _: _TODAY)
    made.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    return made


def _raise(words: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(words)
