"""Draw what was measured. Colours by Okabe & Ito, told apart also by line and marker."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench.figures import Figures
from agentnet.bench.sweep import knee
from agentnet.errors import StorageError, UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".svg", ".png")

_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
_LATENCIES = (("p50", _BLUE, "-", "o"), ("p95", _ORANGE, "--", "s"), ("p99", _GREEN, ":", "^"))
_SIZE_INCHES = {False: (6.4, 4.2), True: (12.0, 4.2)}
_DOTS_PER_INCH = 150
_SHARES = {"busy": "calls", "ramp": "ramp", "waits": "step ends", "tail": "tail"}


def check_plot_file(path: Path) -> None:
    """Make sure, before anything is measured, that `path` can be a plot.

    Raises:
        UserError: Its ending is none of `ENDINGS`, or its folder does not exist.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"{path}: a plot is an .svg or a .png file; name it so")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; make it first")


def draw_levels(levels: Sequence[Figures], path: Path, *, title: str) -> None:
    """Draw one level's latencies, or those and how throughput and latency change over several levels.

    Args:
        levels: What was measured, at least one.
        path: File to write; its ending says how.
        title: What stands above it.

    Raises:
        StorageError: The file cannot be written.
    """
    is_sweep = len(levels) > 1
    with _panels(path, title, 3 if is_sweep else 1) as panels:
        if is_sweep:
            _draw_throughput(panels[0], levels)
            _draw_latency(panels[1], levels)
        _draw_distribution(panels[-1], _most_telling(levels))


@contextmanager
def _panels(path: Path, title: str, n_panels: int) -> Iterator[list[Axes]]:
    """Give the panels of a figure to draw in, and write it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Texts stay texts, and equal measurements give equal files.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "agentnet", "font.size": 9.0}):
        figure = Figure(figsize=_SIZE_INCHES[n_panels > 1], layout="constrained")
        figure.suptitle(title)
        yield list(figure.subplots(1, n_panels, squeeze=False)[0])
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        try:
            figure.savefig(path, dpi=_DOTS_PER_INCH, metadata=metadata)
        except OSError as error:
            raise StorageError(f"{path}: the plot cannot be written ({error.strerror})") from error


def draw_design(levels: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Draw a design's decisions a second by workers, and where the time of all places went.

    Args:
        levels: What was measured of each: workers, realizations_at_once, decisions_per_s and the shares.
        path: The file.
        title: What is said above.

    Raises:
        StorageError: The file cannot be written.
    """
    with _panels(path, title, 2) as (rates, shares):
        for at_once in dict.fromkeys(level["realizations_at_once"] for level in levels):
            some = [level for level in levels if level["realizations_at_once"] == at_once]
            x, y = [level["workers"] for level in some], [level["decisions_per_s"] for level in some]
            rates.plot(x, y, marker="o", label=f"{at_once} realizations at once")
        rates.set(xscale="log", yscale="log", xlabel="workers", ylabel="decisions/s", title="throughput")
        rates.legend()
        rows = [f"{level['workers']} / {level['realizations_at_once']}" for level in levels]
        left = [0.0] * len(levels)
        for (name, label), color in zip(_SHARES.items(), (_BLUE, _ORANGE, _GREEN, _GREY), strict=True):
            widths = [level[name] for level in levels]
            shares.barh(rows, widths, left=left, label=label, color=color)
            left = [one + other for one, other in zip(left, widths, strict=True)]
        shares.set(xlabel="share of all places' time", title="workers / realizations at once")
        shares.legend()


def _most_telling(levels: Sequence[Figures]) -> Figures:
    best = knee(levels)
    return next((level for level in levels if level.load.in_flight == best), levels[-1])


def _draw_throughput(axes: Axes, levels: Sequence[Figures]) -> None:
    in_flight = _in_flight(levels)
    reached = [level.requests_per_s for level in levels]
    unhindered = [reached[0] / in_flight[0] * n for n in in_flight]
    axes.plot(in_flight, reached, color=_BLUE, marker="o", label="measured")
    axes.plot(in_flight, unhindered, color=_GREY, linestyle=":", label="in proportion to the first")
    axes.set_title("throughput")
    axes.set_ylabel("requests/s")
    _finish(axes, levels)


def _draw_latency(axes: Axes, levels: Sequence[Figures]) -> None:
    for name, color, line, marker in _LATENCIES:
        values = [getattr(level.latency, name) for level in levels]
        axes.plot(_in_flight(levels), values, color=color, linestyle=line, marker=marker, label=name)
    axes.set_title("latency")
    axes.set_ylabel("seconds")
    _finish(axes, levels)


def _finish(axes: Axes, levels: Sequence[Figures]) -> None:
    """Scale the axes of a panel against requests in flight, and mark the knee."""
    in_flight = _in_flight(levels)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(in_flight, [str(n) for n in in_flight])
    axes.set_xlabel("requests in flight")
    best = knee(levels)
    if best is not None:
        axes.axvline(best, color=_GREY, linewidth=0.8, label="knee")
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_distribution(axes: Axes, figures: Figures) -> None:
    """Draw the share of replies that took no longer than a time, and its quantiles."""
    took = sorted(call.latency_s for call in figures.replies)
    n_calls = len(took) + figures.n_unanswered
    axes.step(took, [(i + 1) / n_calls for i in range(len(took))], where="post", color=_BLUE)
    for name, color, line, _ in _LATENCIES[1:]:
        value = getattr(figures.latency, name)
        if math.isfinite(value):
            axes.axvline(value, color=color, linestyle=line, label=f"{name}: {value:.3g} s")
    rate, in_flight = figures.load.rate, figures.load.in_flight
    axes.set_title(f"replies at {rate:g} requests/s" if rate else f"replies with {in_flight} in flight")
    axes.set_xlabel("latency in seconds")
    axes.set_ylabel("share that took no longer")
    axes.set_ylim(0.0, 1.02)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _in_flight(levels: Sequence[Figures]) -> list[int]:
    return [level.load.in_flight or 0 for level in levels]
