"""The fits of a run as tables of plain HTML, for notebooks: nothing that is loaded, nothing that is run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agentnet.analysis.exact import Exact
    from agentnet.analysis.fits import Fits
    from agentnet.analysis.laws import Parameter

PARAMETER_COLUMNS = (
    *("parameter", "estimate", "interval", "interval by news item"),
    *("error", "error by realization", "error by news item", "p", "Firth", "if missing yes", "if missing no"),
)
EXACT_COLUMNS = ("law", "parameter", "fitted to draws", "by the probabilities", "interval over news items")
SCORE_COLUMNS = ("law", "parameters", "RMSE", "NRMSE", "floor (95%)", "held out", "forecast")


_DUST: Final = 1e-15


def settled(value: float) -> float:
    """Take as 0, where people read it, what rounding leaves of nothing.

    Args:
        value: Of the size of one, as what is told of runs is; no chance of a test, which may be as small.

    Examples:
        >>> settled(0.1 + 0.2 - 0.3), settled(1e-9)
        (0.0, 1e-09)
    """
    return 0.0 if abs(value) < _DUST else value


def number(value: float | None) -> str:
    """Spell a number for people, in four digits; an empty text for none.

    Examples:
        >>> number(0.012345), number(-math.inf), number(None), number(math.nan)
        ('0.01235', '-∞', '', 'unknown')
    """
    if value is None:
        return ""
    if math.isnan(value):
        return "unknown"
    return f"{settled(value):.4g}" if math.isfinite(value) else ("∞" if value > 0 else "-∞")


def span(interval: tuple[float, float] | None) -> str:
    """Spell an interval for people.

    Examples:
        >>> span((0.25, 1.0))
        '0.25 to 1'
    """
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def parameter_row(each: Parameter) -> list[str]:
    """Spell a parameter, by `PARAMETER_COLUMNS`."""
    bounds = each.bounds
    return [
        each.name,
        number(each.estimate),
        span(each.interval),
        span(each.interval_by_news),
        number(each.standard_error),
        number(each.error_by_realization),
        number(each.error_by_news),
        "" if each.p_value is None else f"{each.p_value:.4g}",
        number(each.firth),
        number(None if bounds is None else bounds.if_yes),
        number(None if bounds is None else bounds.if_no),
    ]


def exact_rows(exact: Exact) -> Iterator[list[str]]:
    """Spell what the probabilities say, by `EXACT_COLUMNS`."""
    for law in exact.laws:
        for each in law.parameters:
            yield [law.title, each.name, number(each.drawn), number(each.value), span(each.over_news)]


def score_rows(fits: Fits) -> Iterator[list[str]]:
    """Spell the ranking, by `SCORE_COLUMNS`; the mark to beat stands last."""
    for each in fits.scores:
        floor = None if each.floor is None else each.floor.quantile_95
        values = (each.rmse, each.nrmse, floor, each.held_out_rmse, each.forecast_rmse)
        yield [each.title, str(each.n_parameters), *map(number, values)]
    if fits.trials.baseline_rmse is not None:
        mark = number(fits.trials.baseline_rmse)
        yield ["(mean curve of the others)", "", "", "", "", mark, ""]


def html_fits(fits: Fits) -> str:
    """Lay the ranking, the parameters, and all notes and warnings out as HTML."""
    parts = [f"<h3>Laws of {escape(fits.tables.run)}</h3>", _table(SCORE_COLUMNS, score_rows(fits))]
    parts += [f"<p>{escape(note)}</p>" for note in fits.notes]
    for law in fits.laws:
        rows = [*law.parameters, *([law.growth_rate] if law.growth_rate else [])]
        parts.append(f"<h4>{escape(law.title)}</h4>")
        parts.append(_table(PARAMETER_COLUMNS, map(parameter_row, rows)))
        parts += [f"<p>{escape(warning)}</p>" for warning in law.warnings]
    parts += [f"<p>{escape(each.title)}: {escape(each.reason)}</p>" for each in fits.refused]
    if fits.exact is not None:
        parts += ["<h4>By the probabilities</h4>", _table(EXACT_COLUMNS, exact_rows(fits.exact))]
        parts += [f"<p>{escape(note)}</p>" for note in (fits.exact.in_words, *fits.exact.notes)]
    return "\n".join(parts)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
