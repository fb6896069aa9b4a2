"""The laws that the mock answers by, and its options.

The paper is Tian et al. (2026), "Learning dynamics from online-offline systems of LLM agents".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import ErrorDetails

from agentnet.errors import BackendUnusable, near_miss
from agentnet.vocabulary import PROFILES, TRAITS

Law = Literal["main_effects", "two_groups", "table", "constant"]

_LAW_OF_OPTION: Mapping[str, Law] = {
    "coefficients": "main_effects",
    "rates": "two_groups",
    "group_1": "two_groups",
    "table": "table",
    "probability": "constant",
}

_CONTEXT = "context."

# 0.7 + 0.2 + 0.1 need not be 1 exactly.
_ROUNDING = 1e-9


def _five_bits(profile: str) -> str:
    if profile not in PROFILES:
        raise ValueError(
            f"{profile!r} is no profile: five bits such as '01101', 0 low and 1 high, in the order openness, "
            "conscientiousness, extraversion, agreeableness, neuroticism"
        )
    return profile


def _for_both_severities(value: object) -> object:
    return (value, value) if isinstance(value, int | float) else value


Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Profile = Annotated[str, AfterValidator(_five_bits)]
ProbabilityPair = Annotated[tuple[Probability, Probability], BeforeValidator(_for_both_severities)]


class Coefficients(BaseModel):
    """Weights of the main-effects law, on the logit scale.

    The defaults are the paper's Table 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    intercept: float = -3.072
    openness: float = 7.625
    conscientiousness: float = -0.188
    extraversion: float = 2.497
    agreeableness: float = 1.626
    neuroticism: float = -0.970
    severity: float = -1.224

    def logit(self, profile: str, severity: int) -> float:
        """Add up the weights of a profile's high traits, of the severity and the intercept."""
        high = [getattr(self, trait) for trait, bit in zip(TRAITS, profile, strict=True) if bit == "1"]
        return math.fsum([self.intercept, *high, self.severity * severity])


class MockOptions(BaseModel):
    """The mock's options: the ``[backend]`` table of the configuration, less its ``name``.

    Attributes:
        law: How the probability of a yes comes about.
        coefficients: Law ``main_effects``: sigma(intercept + sum of the high traits + severity); what is not
            given keeps its value of Table 1.
        rates: Law ``two_groups``: the probability in group 1 and in group 2; the defaults are the paper's.
        group_1: Law ``two_groups``: the profiles of group 1; all others are group 2. The paper does not list
            its groups; the default, the eight profiles low in both openness and extraversion, is our choice.
        table: Law ``table``: for each of the 32 profiles its probability, or ``[peaceful, severe]``.
        probability: Law ``constant``: the one probability, for requests without a profile too.
        default_probability: The other laws: for requests without a profile.
        slopes: By how much a number of the exposure's context moves the logit of a yes, by its name: with
            ``{"n_shared": 0.8}`` each neighbour who shared multiplies the odds by exp(0.8). A prompt without
            any context is answered by the law alone; a decision with a context, whose shares `choices`
            fixes, is refused.
        choices: Probabilities of answers that are no yes or no, by their texts; those that it does not name
            share the rest of their question equally.
        latency_s: Mean time that a reply takes, in seconds; 0 answers without giving up control.
        latency_spread: Standard deviation of the logarithm of that time (log-normal); 0 makes it constant.
        invalid_rate: Probability that a sample rambles instead of deciding, whatever was asked of its form.
        refusal_rate: Probability that a sample is a refusal (finish ``refusal``).
        rejected_rate: Probability that a sample makes its whole request fail for good (`RequestRejected`).
        transient_rate: Probability that a sample makes one try of its request fail (`TransientError`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    law: Law = "main_effects"
    coefficients: Coefficients = Coefficients()
    rates: tuple[Probability, Probability] = (0.0533, 0.8154)
    group_1: frozenset[Profile] = frozenset(bits for bits in PROFILES if bits[0] == bits[2] == "0")
    table: dict[Profile, ProbabilityPair] = {}
    probability: Probability | None = None
    default_probability: Probability = 0.5
    slopes: dict[str, float] = {}
    choices: dict[str, Probability] = {}
    latency_s: Annotated[float, Field(ge=0.0)] = 0.0
    latency_spread: Annotated[float, Field(ge=0.0, le=5.0)] = 0.0
    invalid_rate: Probability = 0.0
    refusal_rate: Probability = 0.0
    rejected_rate: Probability = 0.0
    transient_rate: Probability = 0.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for option in sorted(self.model_fields_set & _LAW_OF_OPTION.keys()):
            if _LAW_OF_OPTION[option] != self.law:
                raise ValueError(
                    f"backend.{option} is for law {_LAW_OF_OPTION[option]!r}, but backend.law is "
                    f"{self.law!r}; change the law or drop the option"
                )
        if self.law == "constant" and self.probability is None:
            raise ValueError("backend.probability is missing: law 'constant' needs it")
        if self.latency_spread > 0.0 and self.latency_s == 0.0:
            raise ValueError(
                "backend.latency_spread says nothing where backend.latency_s is 0; state that too"
            )
        if self.law == "constant" and "default_probability" in self.model_fields_set:
            raise ValueError("backend.default_probability says nothing under law 'constant'; drop the option")
        missing = [bits for bits in PROFILES if bits not in self.table] if self.law == "table" else []
        if missing:
            raise ValueError(
                f"backend.table lacks {len(missing)} of the 32 profiles ({', '.join(missing[:3])}"
                f"{', ...' if len(missing) > 3 else ''}); give each a probability"
            )
        if self.invalid_rate + self.refusal_rate + self.rejected_rate > 1.0 + _ROUNDING:
            raise ValueError(
                "backend.invalid_rate, backend.refusal_rate and backend.rejected_rate add up to "
                "more than 1; a sample has one fate"
            )
        return self


def probability(options: MockOptions, profile: str | None, severity: int) -> float:
    """Give the probability of a yes under the law of `options`.

    Args:
        options: The law and its parameters.
        profile: Five bits, or None for a request without profile.
        severity: 0 peaceful, 1 severe.

    Returns:
        A probability, in [0, 1].
    """
    if options.law == "constant":
        assert options.probability is not None
        return options.probability
    if profile is None:
        return options.default_probability
    match options.law:
        case "main_effects":
            return _sigma(options.coefficients.logit(profile, severity))
        case "two_groups":
            return options.rates[0 if profile in options.group_1 else 1]
        case "table":
            return options.table[profile][severity]


def shift(slopes: Mapping[str, float], facts: Mapping[str, object]) -> float | None:
    """Add up by how much the context among a request's facts moves the logit of a yes.

    Args:
        slopes: By name, as `MockOptions.slopes` has them.
        facts: A request's metadata, where the context's names begin with ``context.``.

    Returns:
        None if there is no slope or no context.

    Raises:
        BackendUnusable: There is a context, but without one of the names, or with no number under it.
    """
    known = [fact.removeprefix(_CONTEXT) for fact in facts if fact.startswith(_CONTEXT)]
    if not slopes or not known:
        return None
    moved = []
    for name, slope in slopes.items():
        value = facts.get(_CONTEXT + name)
        if not isinstance(value, int | float) or not math.isfinite(value):
            said = (
                f"is {value!r}, no number"
                if name in known
                else f"stands in no context{near_miss(name, known)}"
            )
            raise BackendUnusable(f"backend.slopes.{name}: {name} {said}", kind="unknown_context")
        moved.append(slope * value)
    return math.fsum(moved)


def shifted(p: float, by: float | None) -> float:
    """Move a probability by `by` on the logit scale; what is certain stays so."""
    if not by or p in {0.0, 1.0}:
        return p
    return _sigma(math.log(p / (1.0 - p)) + by)


def _sigma(x: float) -> float:
    # Two branches, because exp overflows above 709.
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0.0 else math.exp(x) / (1.0 + math.exp(x))


def explain(error: ErrorDetails) -> str:
    """Say in our words what pydantic found: where, what, and the way out."""
    path = [str(part) for part in error["loc"] if part != "[key]"]
    where = ".".join(["backend", *path])
    match error["type"]:
        case "extra_forbidden":
            known = Coefficients.model_fields if path[0] == "coefficients" else MockOptions.model_fields
            return f"{where} is no option of the mock{near_miss(path[-1], known)}"
        case "literal_error":
            return f"{where} = {error['input']!r} is unknown{near_miss(str(error['input']), get_args(Law))}"
        case "value_error":
            said = str(error["ctx"]["error"])
            return f"{where}: {said}" if path else said
        case "missing":
            return f"{where} is missing"
        case _:
            return f"{where} = {error['input']!r}: {error['msg']}"
