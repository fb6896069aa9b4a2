"""Measures every figure of `docs/performance.md` and of the README again; whoever ends it can go on with it.

Benchmarks take turns, so that what else the machine does meets all of them; each call is a process that ends
with its figures (see `figures.py`). After each call they are written down: whoever ends this, or reaches
`--minutes`, calls it again and it goes on. What was measured on another commit or machine is measured anew.
What needs something that is not here is named, and left out.

    python benchmarks/all.py [--minutes 19] [--quick] [--mesa PYTHON] [--silisocs PYTHON]
        [--python CLIENT=PYTHON] [NAME ...]
    python benchmarks/all.py --write         # the tables between the pages' marks, from the results

A page marks a table's place by ``<!-- bench: NAME -->`` and ``<!-- /bench -->``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from figures import read

HERE: Final = Path(__file__).parent
PAGES: Final = (HERE.parent / "docs" / "performance.md", HERE.parent / "README.md")
MARKED: Final = re.compile(r"(<!-- bench: ([\w -]+) -->\n).*?(<!-- /bench -->)", re.DOTALL)
LIBRARIES: Final = (
    *("numpy", "networkx", "igraph", "EoN", "scipy", "scikit-learn", "statsmodels", "aiohttp", "uvloop"),
    *("httpx", "openai", "litellm"),
)
TURNS: Final = 5

Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Bench:
    """One benchmark.

    Attributes:
        command: File and options.
        quick: The same in the smallest size, to try it out.
        calls: How often it is called: as many as turns, or once if it takes turns itself.
        needs: Modules without which it measures nothing.
    """

    command: tuple[str, ...]
    quick: tuple[str, ...]
    calls: int = TURNS
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        bench: The benchmark whose figures it shows.
        head: Its columns.
        rows: First cell -> the figures of the others; in a text with braces, those figures are filled in.
    """

    bench: str
    head: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]


CALM: Final = ("--clients", "floor,tuned,usual,layer,layer-uv,usual-tls,layer-tls", "--in-flight", "256")
OTHERS: Final = (
    "--clients",
    "layer,openai-aiohttp,openai,httpx,litellm,inspect",
    "--in-flight",
    "64",
    "--latency-ms",
    "0",
)
BENCHES: Final[Mapping[str, Bench]] = {
    "start": Bench(("start.py", "--turns", f"{TURNS}"), ("start.py", "--turns", "1"), calls=1),
    "engine": Bench(("engine.py", "--repeats", "1"), ("engine.py", "--repeats", "1", "--agents", "128")),
    "worlds": Bench(("worlds.py", "--repeats", "1"), ("worlds.py", "--repeats", "1")),
    "ahead": Bench(
        ("ahead.py", "--agents", "3000", "--median", "0.03"),
        ("ahead.py", "--agents", "200", "--median", "0.01"),
    ),
    "network": Bench(("network.py",), ("network.py", "--quick"), calls=1, needs=("igraph",)),
    "analysis": Bench(
        ("analysis.py", "--repeats", f"{TURNS}"), ("analysis.py", "--repeats", "1", "--quick"),
        calls=1, needs=("EoN",),
    ),
    "perspectives": Bench(("perspectives.py", "--quick"), ("perspectives.py", "--quick")),
    "clients": Bench(
        ("clients.py", *CALM, "--rounds", f"{TURNS}"), ("clients.py", "--quick", *CALM), calls=1
    ),
    "other clients": Bench(
        ("clients.py", *OTHERS, "--rounds", f"{TURNS}"), ("clients.py", "--quick", *OTHERS), calls=1
    ),
    "sampler modes": Bench(("sampler_modes.py",), ("sampler_modes.py", "--agents", "1000")),
    "local": Bench(
        ("local.py", "--turns", f"{TURNS}"), ("local.py", "--turns", "1", "--profiles", "2", "--items", "1"),
        calls=1, needs=("gguf", "llguidance", "tokenizers"),
    ),
    "finetune": Bench(("finetune.py",), ("finetune.py",), needs=("torch", "transformers", "peft")),
}  # fmt: skip

TABLES: Final[Mapping[str, Table]] = {
    "start": Table(
        "start",
        ("command", "CPU seconds"),
        {
            "`agentnet --help`": ("agentnet --help: CPU s",),
            "`agentnet ls` of three runs": ("agentnet ls, three runs: CPU s",),
            "`agentnet report` of `make run`'s two runs": ("agentnet report, two runs: CPU s",),
            "Python that does nothing": ("python -c pass: CPU s",),
        },
    ),
    "engine": Table(
        "engine",
        ("agents", "CPU of agentnet / bare loop", "the same, the bare loop's networks given for free"),
        {
            f"{n}{note}": (f"{n} agents: ratio", f"{n} agents: ratio, networks given")
            for n, note in (("128", " (50 realizations)"), ("1,000", ""), ("100,000", ""))
        },
    ),
    "worlds": Table(
        "worlds",
        (
            "",
            "agentnet / bare loop",
            "SiliSocS / agentnet",
            "mesa-llm / agentnet, its display off",
            "its display on",
        ),
        {
            what: (
                f"{design}: agentnet / bare loop",
                f"{design}: SiliSocS / agentnet",
                f"{design}: mesa-llm, display off / agentnet",
                f"{design}: mesa-llm, as by default / agentnet",
            )
            for design, what in (("told", "told cascade"), ("free", "free world"))
        },
    ),
    "ahead": Table(
        "ahead",
        ("playing ahead over step by step", ""),
        {"decisions a second": ("rate",), "CPU a decision": ("cpu",)},
    ),
    "network": Table(
        "network",
        ("agents", "networkx", "igraph `K_Regular`"),
        {
            n: (f"{n} agents: networkx / agentnet", f"{n} agents: igraph K_Regular / agentnet")
            for n in ("128", "1,000", "100,000", "1,000,000")
        },
    ),
    "analysis": Table(
        "analysis",
        ("", "agentnet, ms", "others over agentnet"),
        {
            "inferred cascade, 128 agents, its network included": (
                "cascade, 128 agents, with its network: agentnet ms",
                "{cascade, 128 agents, with its network: EoN + networkx / agentnet} (EoN with networkx)",
            ),
            "the same beside EoN with its networks given": (
                "cascade, 128 agents, with its network: agentnet ms",
                "{cascade, 128 agents, with its network: EoN, networks given / agentnet} (EoN)",
            ),
            "inferred cascade, 20,000 agents, network included": (
                "cascade, 20,000 agents: agentnet ms",
                "{cascade, 20,000 agents: EoN, network given / agentnet} (EoN with its network given)",
            ),
            "inferred cascade, 1,000,000 agents": (
                "cascade, 10^6 agents, with its network: agentnet ms",
                "(of that the network {of that the network: agentnet ms})",
            ),
            "the same on a network that is given, its reading included": (
                "cascade, 10^6 agents, network given, its reading included: agentnet ms",
                "(one of five {cascade, 10^6 agents, network given, one of five in a call: agentnet ms})",
            ),
            "main-effects logistic law, 100,000 decisions": (
                "main effects, 100,000 rows: agentnet ms",
                "{main effects, 100,000 rows: scikit-learn, no penalty / agentnet} (scikit-learn)",
            ),
            "the same beside statsmodels": (
                "main effects, 100,000 rows: agentnet ms",
                "{main effects, 100,000 rows: statsmodels GLM / agentnet} (statsmodels)",
            ),
            "the same, 10,000,000 decisions": ("main effects, 10^7 rows: agentnet ms", ""),
            "two-rate law, a fit, beside SciPy's from one start": (
                "two-rate fit from a grid of starts: agentnet ms",
                "two-rate fit from a grid of starts: least_squares + solve_ivp, one start / agentnet",
            ),
            "the same with 200 bootstraps": ("two-rate fit with 200 bootstraps: agentnet ms", ""),
        },
    ),
    "perspectives": Table(
        "perspectives",
        ("a tenth of the questions, or of the models", "CPU seconds", "peak memory, MiB"),
        {
            name: (f"{size}, {name}: CPU s", f"{size}, {name}: peak MiB")
            for size, name in (
                ("study 1", "agentnet, all of study 1"),
                ("study 1", "agentnet, coordinates"),
                ("study 1", "scikit-learn ClassicalMDS"),
                ("study 1", "scipy pdist + eigh"),
                ("100,000 rows", "agentnet scale_rows"),
                ("100,000 rows", "scikit-learn IncrementalPCA"),
            )
        },
    ),
    "clients": Table(
        "clients",
        ("client CPU per call of the whole layer, over that of", "no latency", "200 ms"),
        {
            "bare aiohttp, tuned": tuple(f"{ms} ms, 256 in flight: layer / tuned" for ms in (0, 200)),
            "the same, the layer on uvloop, too": tuple(
                f"{ms} ms, 256 in flight: layer-uv / tuned" for ms in (0, 200)
            ),
            "bare aiohttp as usually written": tuple(
                f"{ms} ms, 256 in flight: layer / usual" for ms in (0, 200)
            ),
            "the same, the layer on uvloop (an extra), aiohttp on asyncio": tuple(
                f"{ms} ms, 256 in flight: layer-uv / usual" for ms in (0, 200)
            ),
            "aiohttp as usually written and the layer, both by TLS": tuple(
                f"{ms} ms, 256 in flight: layer-tls / usual-tls" for ms in (0, 200)
            ),
            "share of the ideal throughput, the layer's": (
                "",
                "200 ms, 256 in flight: layer, share of the ideal throughput",
            ),
            "share of the ideal throughput, tuned aiohttp's": (
                "",
                "200 ms, 256 in flight: tuned, share of the ideal throughput",
            ),
            "share of the ideal throughput, of a client that reads nothing": (
                "",
                "200 ms, 256 in flight: floor, share of the ideal throughput",
            ),
        },
    ),
    "other clients": Table(
        "other clients",
        ("client CPU per call of the whole layer, over that of", "no latency, 64 in flight"),
        {
            name: (f"0 ms, 64 in flight: layer / {client}",)
            for name, client in (
                ("openai SDK with aiohttp", "openai-aiohttp"),
                ("openai SDK", "openai"),
                ("httpx", "httpx"),
                ("litellm", "litellm"),
                ("inspect_ai", "inspect"),
            )
        },
    ),
    "sampler modes": Table(
        "sampler modes",
        ("sampler modes", ""),
        {
            "prompt tokens, `call` / `choices`": ("prompt tokens, call / choices",),
            "1,000,000 agents by `logprobs`: requests": ("1,000,000 agents, logprobs: requests",),
            "CPU a decision, us": ("1,000,000 agents, logprobs: cpu_us_per_decision",),
            "peak memory, GiB": ("1,000,000 agents, logprobs: peak_gib",),
        },
    ),
    "local": Table(
        "local", ("backend `local` by probabilities", ""), {"CPU over its runtime's own": ("ratio",)}
    ),
}


def missing(bench: Bench) -> list[str]:
    """List the modules that a benchmark lacks here."""
    return [module for module in bench.needs if importlib.util.find_spec(module) is None]


def here() -> dict[str, Any]:
    """Tell what the figures hang on: the machine, the commit, the versions."""
    git = ("git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude", "*")
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "no commit"
    found = {name: _version(name) for name in LIBRARIES}
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "commit": commit,
        "python": platform.python_version(),
        "versions": {name: version for name, version in found.items() if version},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.*)$", facts.read_text(), re.MULTILINE) if facts.exists() else None
    return named[1] if named else platform.processor() or platform.machine()


def call(bench: Bench, *, quick: bool, limit_s: float, more: Sequence[str]) -> dict[str, list[float]]:
    """Call a benchmark once.

    Raises:
        RuntimeError: It failed, or took too long.
    """
    file, *options = bench.quick if quick else bench.command
    command = [sys.executable, str(HERE / file), *options, *more, "--json"]
    # One thread, as the figures are CPU seconds; and Python keeps what it compiles, as it does for users.
    environ = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "",
    }
    # In a session of its own, so that who took too long ends with all that it started.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environ, start_new_session=True
    ) as child:
        try:
            printed, _ = child.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{file} took more than {limit_s:.0f} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        raise RuntimeError(f"{file} ended with {child.returncode}, see above")
    try:
        return read(printed)
    except ValueError as error:
        raise RuntimeError(f"{file}: {error}") from error


def wanted(names: Sequence[str], results: Results, *, quick: bool) -> Iterator[str]:
    """Name the benchmarks that are still to be called, turn by turn."""
    for turn in range(TURNS):
        for name in names:
            calls = 1 if quick else BENCHES[name].calls
            if turn < calls and results.get(name, {}).get("calls", 0) <= turn:
                yield name


def measure(names: Sequence[str], given: argparse.Namespace) -> list[str]:
    """Call what is to be called as long as there is time; tell what failed, or was left over."""
    results, now, ends = (
        load(given.results),
        here() | {"quick": given.quick},
        time.monotonic() + 60 * given.minutes,
    )
    for name in names:
        if any(results.get(name, now).get(key) != now[key] for key in now):
            print(f"{name} was measured elsewhere or on another commit: measured anew", file=sys.stderr)
            del results[name]
    faults: list[str] = []
    lacking = {name: lacks for name in names if (lacks := missing(BENCHES[name]))}
    faults += [f"NOT MEASURED: {name} needs {', '.join(lacks)}" for name, lacks in lacking.items()]
    able = [name for name in names if name not in lacking]
    for name in list(wanted(able, results, quick=given.quick)):
        if time.monotonic() > ends:
            faults.append("NOT ALL MEASURED in time: call this again, and it goes on")
            break
        try:
            add(
                results,
                name,
                call(BENCHES[name], quick=given.quick, limit_s=given.limit_s, more=peers(name, given)),
                now,
            )
        except RuntimeError as error:
            faults.append(f"NOT MEASURED: {error}")
        given.results.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    return list(dict.fromkeys(faults))


def peers(name: str, given: argparse.Namespace) -> list[str]:
    """Give the options that name interpreters of peers with an environment of their own."""
    options = {
        "worlds": (("--peer", given.mesa), ("--silisocs", given.silisocs)),
        "other clients": tuple(("--python", client) for client in given.python),
    }.get(name, ())
    return [word for option, python in options if python for word in (option, python)]


def add(results: Results, name: str, figures: Mapping[str, list[float]], now: Mapping[str, Any]) -> None:
    """Add what a call measured to what earlier ones did."""
    of = results.setdefault(name, {**now, "calls": 0, "load": [], "figures": {}})
    of["calls"] += 1
    of["date"] = time.strftime("%Y-%m-%d")
    of["load"].append(round(os.getloadavg()[0], 2))
    for figure, values in figures.items():
        of["figures"].setdefault(figure, []).extend(values)
    print(f"{name}: call {of['calls']}", file=sys.stderr)


def load(path: Path) -> Results:
    """Read the results; none are there at first."""
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def spelled(values: Sequence[float]) -> str:
    """Spell a median, and between what the turns were."""
    low, middle, high = (f"{each:.3g}" for each in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def cell(text: str, figures: Mapping[str, list[float]]) -> str:
    """Fill a cell of a table in: a figure by its name, or a text with names of figures in braces."""
    if "{" in text:
        return re.sub(r"\{([^}]*)\}", lambda found: cell(found[1], figures), text)
    return spelled(figures[text]) if text in figures else "not measured" if text else ""


def table(name: str, results: Results) -> str:
    """Write a table, and below it where, when and on what it was measured."""
    shown = TABLES[name]
    of = results[shown.bench]
    lines = [shown.head, ("---",) * len(shown.head)]
    lines += [(label, *(cell(text, of["figures"]) for text in row)) for label, row in shown.rows.items()]
    n_turns = min(map(len, of["figures"].values()))
    versions = ", ".join(f"{library} {version}" for library, version in of["versions"].items())
    return (
        "\n".join(f"| {' | '.join(line)} |" for line in lines)
        + f"\n\nMedians of {n_turns} turns or more (least to most); {of['date']}, {of['machine']}, load "
        f"{min(of['load'])} to {max(of['load'])}, commit {of['commit']}, Python {of['python']}, {versions}.\n"
    )


def write(results: Results, pages: Sequence[Path] = PAGES) -> None:
    """Write the tables of the results between the marks of the pages; a table without results stays."""
    for page in pages:
        text = page.read_text("utf-8")

        def anew(found: re.Match[str]) -> str:
            if found[2] not in TABLES:
                raise SystemExit(f"there is no table {found[2]!r}; the tables are {', '.join(TABLES)}")
            if TABLES[found[2]].bench not in results:
                print(f"NOT WRITTEN: {found[2]} was not measured", file=sys.stderr)
                return found[0]
            return found[1] + table(found[2], results) + found[3]

        page.write_text(MARKED.sub(anew, text), "utf-8")


def main() -> None:
    """Measure what is to be measured, and say loudly what was not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)}; all unless named")
    parser.add_argument("--minutes", type=float, default=19.0, help="begin no call later than this")
    parser.add_argument("--limit-s", type=float, default=300.0, help="a call that takes longer is ended")
    parser.add_argument("--quick", action="store_true", help="one turn of the smallest size: does it work?")
    parser.add_argument("--mesa", help="a Python that has mesa-llm")
    parser.add_argument("--silisocs", help="a Python that has SiliSocS")
    parser.add_argument(
        "--python", action="append", default=[], metavar="CLIENT=PYTHON", help="as clients.py"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    parser.add_argument("--write", action="store_true", help="write the pages' tables, and measure nothing")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in BENCHES]:
        parser.error(f"there is no benchmark {unknown[0]!r}; the benchmarks are {', '.join(BENCHES)}")
    if given.write:
        write(load(given.results))
        return
    faults = measure(given.names or list(BENCHES), given)
    absent = {"mesa-llm (--mesa PYTHON)": given.mesa, "SiliSocS (--silisocs PYTHON)": given.silisocs}
    faults += [f"NOT MEASURED beside worlds: {peer}" for peer, python in absent.items() if not python]
    print("\n".join(faults), file=sys.stderr)
    # What needs rare things is no fault of who measures.
    if any(not fault.startswith("NOT MEASURED beside") and " needs " not in fault for fault in faults):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
