"""Update rule ``stand_in``: small log-linear responders in place of language models, for trials and tests.

A responder knows the commonest words of the bank's answers and the words of a question. It says each word w
with probability

    p(w | x) = softmax_w( sharpness * phi(x) . W[:, w] ),

phi(x) being one constant feature, one for the question's topic (both of weight `shared`), and the question's
words, hashed with signs to `n_features` places (Weinberger et al. 2009, ICML) and scaled to length 1. It
learns by plain stochastic gradient descent on the cross-entropy of the words of an answer (at sharpness 1),
from weights that are all zero. A greedy answer says a word floor(length * p + u) times, u in [0, 1) being
fixed for each question and word: so answers of responders that differ little differ little. Other answers
draw `length` words at random.

What follows are properties of these numbers, and of no language model: every result is labelled. But they
learn by real updates, share what they generalize, and become sharper by learning from greedy answers, so the
ways of whole systems can be studied in seconds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentnet.backend import Reply
from agentnet.errors import InputError, StorageError
from agentnet.interviews import Asked, Pair, Question, System, topics_of
from agentnet.streams import Streams
from agentnet_backends.options import MadeOfOptions, PluginOptions

Array = NDArray[np.float64]
Counts = NDArray[np.int16]

_WORD: Final = re.compile(r"[^\W\d_]{4,}")
_FILE: Final = "weights.npy"
_REMEMBERED: Final = 50_000


class StandInOptions(PluginOptions):
    """The options of update rule ``stand_in``.

    Attributes:
        n_words: Words that a responder knows.
        n_features: Places for the words of a question.
        shared: Weight of the features that all questions (of a topic) share: how far learning carries from
            one question to others.
        rate: Step length of updates.
        epochs: Passes over what was heard, in an update.
        initial_rate: Step length of the first teaching. With the default, teaching 60 pairs weighs seven
            times what an update of 10 does; in Helm et al. (2024) it is 150 times. Models that know hardly
            more than one interview teaches have no perspective that another could be drawn to.
        initial_epochs: Passes of the first teaching.
        batch: Pairs of one gradient step.
        sharpness: How much sharper answers are than what was learnt; above 1, who learns from answers gets
            more certain than who gave them.
        length: Words of an answer, about.
    """

    table: ClassVar[str] = "stand_in"
    plugin: ClassVar[str] = "the update rule 'stand_in'"

    n_words: Annotated[int, Field(ge=2, le=10_000)] = 120
    n_features: Annotated[int, Field(ge=1, le=10_000)] = 64
    shared: Annotated[float, Field(ge=0, le=10)] = 0.1
    rate: Annotated[float, Field(ge=0)] = 30.0
    epochs: Annotated[int, Field(ge=1, le=100)] = 1
    initial_rate: Annotated[float, Field(ge=0)] = 12.0
    initial_epochs: Annotated[int, Field(ge=1, le=100)] = 3
    batch: Annotated[int, Field(ge=1)] = 10
    sharpness: Annotated[float, Field(gt=0, le=100)] = 1.5
    length: Annotated[int, Field(ge=1, le=200)] = 12


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def vocabulary(questions: Sequence[Question], n_words: int) -> tuple[str, ...]:
    """Choose the words that responders know: the commonest of each topic's answers, topics in turn.

    Words that more than a fifth of a topic's answers share come last: they tell nothing apart.

    Raises:
        InputError: There are fewer than two words in all answers.
    """
    ranked = [_ranked([q.answer for q in questions if q.topic == topic]) for topic in topics_of(questions)]
    chosen: dict[str, None] = {}
    for rank in range(max(map(len, ranked))):
        chosen.update(dict.fromkeys(words[rank] for words in ranked if rank < len(words)))
        if len(chosen) >= n_words:
            break
    if len(chosen) < 2:
        raise InputError(
            "the stand-in finds fewer than two words of four letters in the bank's answers, and knows no "
            "others; take a bank of sentences, or another update rule"
        )
    return tuple(chosen)[:n_words]


def _ranked(answers: Sequence[str]) -> list[str]:
    common = Counter(word for answer in answers for word in dict.fromkeys(_words(answer)))
    ranked = sorted(common, key=lambda word: (-common[word], word))
    most = max(1, len(answers) // 5)
    return [w for w in ranked if common[w] <= most] + [w for w in ranked if common[w] > most]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What all responders of a run share.

    Attributes:
        words: The words they know.
        number: Row of each question, by its id.
        features: phi of each question, shape ``(n_questions, 1 + n_topics + n_features)``.
        thresholds: u of each question and word, shape ``(n_questions, n_words)``.
    """

    words: tuple[str, ...]
    number: Mapping[str, int]
    features: Array
    thresholds: Array

    @classmethod
    def of(cls, questions: Sequence[Question], options: StandInOptions) -> Self:
        """Read the questions of a run."""
        words = vocabulary(questions, options.n_words)
        topics = {topic: place for place, topic in enumerate(topics_of(questions))}
        features = np.zeros((len(questions), 1 + len(topics) + options.n_features))
        thresholds = np.empty((len(questions), len(words)))
        for row, question in enumerate(questions):
            features[row, [0, 1 + topics[question.topic]]] = options.shared
            features[row, 1 + len(topics) :] = _hashed(question.text, options.n_features)
            thresholds[row] = _fixed(question.id, len(words))
        return cls(words, {q.id: row for row, q in enumerate(questions)}, features, thresholds)


def _hashed(text: str, n_places: int) -> Array:
    places = np.zeros(n_places)
    for word in _words(text):
        h = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
        places[h % n_places] += 1.0 if h >> 63 else -1.0
    length = float(np.sqrt((places**2).sum()))
    return places / length if length else places


def _fixed(identifier: str, n_words: int) -> Array:
    """Make numbers of [0, 1) that depend on the question alone."""
    return Streams(0).generator("stand-in", identifier).random(n_words)


class StandInRule(MadeOfOptions[StandInOptions]):
    """Makes responders."""

    about = "small log-linear responders that learn from each other: for trials and tests, no language model"
    takes = StandInOptions
    name = "stand_in"
    label = "stand-in: the answers come from small log-linear responders, not from a language model"
    model_name = "log-linear"
    asks_backend = False
    checkpoint_every = 0
    systems_at_once = None

    def __init__(self, options: StandInOptions | None = None) -> None:
        super().__init__(options)
        self._lexicons: dict[tuple[Question, ...], Lexicon] = {}

    async def begin(self, system: System) -> StandInModels:
        """Make responders that know nothing yet.

        Raises:
            InputError: The bank's answers hold no words.
        """
        lexicon = self._lexicons.get(system.questions)
        if lexicon is None:
            lexicon = self._lexicons[system.questions] = Lexicon.of(system.questions, self.options)
        return StandInModels(self.options, lexicon, len(system.classes))


class StandInModels:
    """The responders of a run: weights of shape ``(n_models, 1 + n_topics + n_features, n_words)``."""

    def __init__(self, options: StandInOptions, lexicon: Lexicon, n_models: int) -> None:
        self._options = options
        self._lexicon = lexicon
        self.weights = np.zeros((n_models, lexicon.features.shape[1], len(lexicon.words)))
        self._place = {word: place for place, word in enumerate(lexicon.words)}
        self._texts: dict[bytes, str] = {}
        self._targets: dict[str, Array] = {}

    async def answer(
        self,
        model: int,
        step: int,  # noqa: ARG002 - the contract's
        asked: Sequence[Asked],
    ) -> list[Reply]:
        """Let a responder answer questions."""
        rows = np.array([self._lexicon.number[one.question.id] for one in asked])
        counts = self._greedy(self._probabilities(model, rows, self._options.sharpness), rows)
        return [
            Reply((self._text(count) if one.temperature == 0.0 else self._drawn(model, row, one),))
            for count, row, one in zip(counts, rows, asked, strict=True)
        ]

    async def update(self, model: int, step: int, pairs: Sequence[Pair], seed: int) -> dict[str, float | int]:
        """Teach a responder by gradient steps.

        Returns:
            ``loss``: the mean cross-entropy of the last epoch, in nats a word, each batch before its step;
            ``pairs``: how many answers had a word that the responder knows.
        """
        options = self._options
        rate, epochs = (
            (options.rate, options.epochs) if step else (options.initial_rate, options.initial_epochs)
        )
        targets = np.array([self._target(pair.answer) for pair in pairs])
        usable = np.flatnonzero(targets.any(axis=1))
        rows = np.array([self._lexicon.number[pair.question.id] for pair in pairs])[usable]
        targets, streams, loss = targets[usable], Streams(seed), 0.0
        for epoch in range(epochs if len(rows) else 0):
            order = streams.generator("epoch", epoch).permutation(len(rows))
            batches = [order[i : i + options.batch] for i in range(0, len(order), options.batch)]
            loss = sum(self._step(model, rows[b], targets[b], rate) for b in batches) / len(rows)
        return {"loss": loss, "pairs": len(rows)}

    async def save(self, folder: Path) -> None:
        """Write the weights."""
        np.save(folder / _FILE, self.weights, allow_pickle=False)

    async def restore(self, folder: Path) -> None:
        """Read the weights.

        Raises:
            StorageError: They are not there, or not those of such a system.
        """
        try:
            found = np.load(folder / _FILE, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StorageError(f"{folder} holds no weights of the stand-in ({error})") from error
        if found.shape != self.weights.shape:
            raise StorageError(
                f"{folder} holds weights of shape {found.shape}, but this system's are {self.weights.shape}"
            )
        self.weights = found

    async def aclose(self) -> None:
        """Nothing is held."""

    def _probabilities(self, model: int, rows: NDArray[np.intp], sharpness: float) -> Array:
        """Compute how likely each word is, shape ``(n_questions, n_words)``."""
        logits: Array = sharpness * (self._lexicon.features[rows] @ self.weights[model])
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits

    def _greedy(self, probabilities: Array, rows: NDArray[np.intp]) -> Counts:
        """Say how often a greedy answer says each word, same shape."""
        counts = (self._options.length * probabilities + self._lexicon.thresholds[rows]).astype(np.int16)
        silent = np.flatnonzero(~counts.any(axis=1))
        counts[silent, probabilities[silent].argmax(axis=1)] = 1
        return counts

    def _drawn(self, model: int, row: np.intp, one: Asked) -> str:
        """Draw the words of an answer at random."""
        sharpness = self._options.sharpness / one.temperature
        p = self._probabilities(model, np.array([row]), sharpness)[0]
        chosen = Streams(one.seed).generator("answer").multinomial(self._options.length, p)
        return self._text(chosen.astype(np.int16))

    def _text(self, counts: Counts) -> str:
        """Write an answer: the words, the commonest first."""
        key = counts.tobytes()
        text = self._texts.get(key)
        if text is None:
            if len(self._texts) >= _REMEMBERED:
                self._texts.clear()
            order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
            said = " ".join(word for i in order.tolist() for word in [self._lexicon.words[i]] * counts[i])
            text = self._texts[key] = f"{said}."
        return text

    def _target(self, text: str) -> Array:
        """Read the shares of the words in an answer; all zero where no word is known."""
        target = self._targets.get(text)
        if target is None:
            if len(self._targets) >= _REMEMBERED:
                self._targets.clear()
            target = np.zeros(len(self._place))
            for word in _words(text):
                if word in self._place:
                    target[self._place[word]] += 1.0
            self._targets[text] = target = target / max(target.sum(), 1.0)
        return target

    def _step(self, model: int, rows: NDArray[np.intp], targets: Array, rate: float) -> float:
        """Make one gradient step; return the summed cross-entropy before it."""
        features = self._lexicon.features[rows]
        p = self._probabilities(model, rows, 1.0)
        loss = -float((targets * np.log(np.maximum(p, 1e-300))).sum())
        self.weights[model] -= (rate / len(rows)) * (features.T @ (p - targets))
        return loss
