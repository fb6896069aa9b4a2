"""Which tokens may come next: any, or those by which a text can still satisfy a JSON schema."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import RequestRejected

Mask = NDArray[np.bool_]

_FORM = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As Python's json writes it: a small model that may put any blanks puts little else."""


class Free:
    """Anything may be said."""

    def allowed(self) -> Mask | None:
        """Say of each token whether it may come next; None: all may."""
        return None

    def forced(self) -> list[int]:
        """List the tokens that must come next, as far as there is no choice."""
        return []

    def take(self, tokens: list[int]) -> bool:  # noqa: ARG002 - of all rules
        """Go on by tokens; says whether nothing can follow them, which only the model's own end says here."""
        return False


class _Held:
    def __init__(self, matcher: Any, n_vocabulary: int) -> None:  # noqa: ANN401 - of an extra
        self._matcher = matcher
        self._n = n_vocabulary
        self._check()

    def allowed(self) -> Mask:
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        return np.unpackbits(bits, bitorder="little")[: self._n].astype(bool)

    def forced(self) -> list[int]:
        return list(self._matcher.compute_ff_tokens())

    def take(self, tokens: list[int]) -> bool:
        self._matcher.consume_tokens(tokens)
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise RequestRejected(
                f"no reply can be held to the schema: {self._matcher.get_error()}", kind="schema"
            )


Rule = Free | _Held
"""What may be said next, as a text goes on."""


class Schemas:
    """Makes rules of JSON schemas for a tokenizer.

    Args:
        tokenizer: Of the library ``tokenizers``.
        n_vocabulary: How many logits there are.
        ends: Tokens that end a turn.
    """

    def __init__(self, tokenizer: Any, n_vocabulary: int, ends: frozenset[int]) -> None:  # noqa: ANN401 - of an extra
        from llguidance import LLTokenizer

        self._tokenizer = LLTokenizer(tokenizer.to_str(), n_vocab=n_vocabulary, eos_token=sorted(ends))
        self._n = n_vocabulary

    def rule(self, schema: str) -> Rule:
        """Make the rule of a schema.

        Raises:
            RequestRejected: It cannot be held to.
        """
        from llguidance import LLMatcher

        grammar = LLMatcher.grammar_from_json_schema(schema, defaults=_FORM)
        return _Held(LLMatcher(self._tokenizer, grammar, log_level=0), self._n)
