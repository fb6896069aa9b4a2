"""The commands that look: `ls`, `show`, `verify`, `query`, `export`, `backends`, `config`."""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click

from agentnet.cli.common import (
    Chosen,
    leaving_out,
    print_found,
    print_json,
    print_table,
    run_folders,
    setting_options,
    without_people_option,
)
from agentnet.cli.completion import complete_runs
from agentnet.cli.terminal import echo
from agentnet.config import Shard
from agentnet.errors import AgentnetError, DesignError, RunFolderError, UserError
from agentnet.events import DECISION_KINDS, Run
from agentnet.events import verify as verify_log
from agentnet.events.cells import blaming_cells, check_cells
from agentnet.events.conditions import Condition
from agentnet.events.read import EmptyLog, is_unmerged, shards_in
from agentnet.events.schema import CONDITION_OF
from agentnet.events.spent import UNCOUNTED, SpentSoFar, spent_so_far, tokens_by_voice
from agentnet.vocabulary import OF_A_RULE, REASON

_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.command()
@_JSON
@setting_options
def ls(as_json: bool, chosen: Chosen) -> None:
    """List the runs."""
    runs = chosen.runs
    rows = [_line(folder) for folder in run_folders(runs)]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows[0], [list(row.values()) for row in rows])
    else:
        echo(f"no runs in {runs} yet; start one with: agentnet run FILE", err=True)


def _line(folder: Path) -> dict[str, object]:
    try:
        facts = _of_shards(folder) if is_unmerged(folder) else _of_run(Run(folder))
    except EmptyLog:
        facts = {"run": folder.name, "status": "unstarted: nothing was recorded"}
    except RunFolderError as error:
        facts = {"run": folder.name, "status": f"unreadable: {error}"}
    return {name: facts.get(name, "") for name in _NAMES}


def _of_run(run: Run) -> dict[str, Any]:
    with blaming_cells(lambda: [run]):
        return _brief(run)


_NAMES = (
    "run",
    "status",
    "experiment",
    "model",
    "realizations",
    "decisions",
    "answers",
    "missing",
    "created",
)
_SUMMED = ("decisions", "answers", "missing")


def _of_shards(folder: Path) -> dict[str, Any]:
    """Say how far a run is that is played in shards, and add up what is counted."""
    from agentnet.runner.shards import begun, left_of

    lines, metas = [_line(shard) for shard in shards_in(folder)], begun(folder)
    if not metas:
        raise EmptyLog(f"{folder}: nothing was recorded of its shards yet")
    whole = next(iter(metas.values()))
    n_of, n_begun = whole["shard"][1], len(lines)
    ended = n_of - left_of(folder)
    states = Counter(str(line["status"]).partition(":")[0] for line in lines)
    told = ", ".join(f"{n} {state}" for state, n in {**states, "not begun": n_of - n_begun}.items() if n)
    sums = {name: sum(int(f"{line[name]}" or 0) for line in lines) for name in _SUMMED}
    played = sum(int(str(line["realizations"]).partition("/")[0] or 0) for line in lines)
    status = f"{n_of} shards, all finished: merge them" if ended == n_of else f"{n_of} shards: {told}"
    return {
        **{name: lines[0][name] for name in ("experiment", "model", "created")},
        "run": folder.name,
        "status": status,
        "realizations": f"{played}/{whole['n_realizations']}",
        **sums,
    }


def _brief(run: Run) -> dict[str, Any]:
    """Say what `ls` shows of a run, by the one scan of its events that this takes."""
    meta = run.meta
    kinds = run.rows("SELECT kind, COUNT(*), COUNT(missing) FROM events GROUP BY kind")[1]
    statuses = dict(run.rows("SELECT status, COUNT(*) FROM realizations GROUP BY status")[1])
    n_missing = sum(n for _, _, n in kinds)
    return {
        "run": run.folder.name,
        "status": state(run, n_missing=n_missing),
        "experiment": meta["experiment"]["class_name"],
        "model": meta["model_name"],
        "realizations": f"{sum(n for s, n in statuses.items() if s != 'running')}/{_n_realizations(meta)}",
        "decisions": sum(n for kind, n, _ in kinds if kind in DECISION_KINDS),
        "answers": sum(n for kind, n, _ in kinds if kind not in {*DECISION_KINDS, REASON}),
        "missing": n_missing,
        "created": time.strftime("%Y-%m-%d %H:%M", time.localtime(meta["created_at"])),
        "unstarted": statuses.get("unstarted", 0),
        "events_by_kind": {kind: n for kind, n, _ in kinds},
    }


def _counted(run: Run) -> dict[str, Any]:
    meta, brief = run.meta, _brief(run)
    ((n_events, n_cached),) = run.rows("SELECT COUNT(*), SUM(cached) FROM events")[1]
    return {
        "run": brief["run"],
        "status": brief["status"],
        "label": meta.get("label", ""),
        "experiment": brief["experiment"],
        "backend": meta["backend"],
        "model": brief["model"],
        "voices": {
            voice: f"{each['model_name']} through {each['backend']}"
            for voice, each in meta.get("voices", {}).items()
        },
        "seed": meta["seed"],
        "created": brief["created"],
        "realizations": brief["realizations"],
        "shard": str(Shard(*meta["shard"])) if "shard" in meta else "",
        "unstarted": brief["unstarted"],
        "decisions": brief["decisions"],
        "answers": brief["answers"],
        "events_by_kind": brief["events_by_kind"],
        "answered_by_rules": run.rows(_BY_RULES)[1][0][0],
        "missing": brief["missing"],
        "missing_share": brief["missing"] / n_events if n_events else 0.0,
        "missing_by_reason": dict(
            run.rows("SELECT missing, COUNT(*) FROM events WHERE missing IS NOT NULL GROUP BY missing")[1]
        ),
        "uncounted_answers": run.rows(UNCOUNTED)[1][0][0],
        "cached": n_cached or 0,
        **_took(run),
        "sittings": len(run.rows("SELECT 1 FROM incidents WHERE kind IN ('started', 'resumed')")[1]),
        "adapted": _adapted(run),
        "versions": meta["versions"],
        "prompts_hash": meta["prompts_hash"],
        "licences": meta["licences"],
    }


def _took(run: Run) -> dict[str, Any]:
    from agentnet.events import is_played
    from agentnet.events.spending import cost_words, took_of, use_words

    with run.snapshot() as connection:
        is_on = is_played(run.folder)
        ((n_uncounted,),) = connection.execute(UNCOUNTED)
        spent = spent_so_far(connection, is_played=is_on)
        took = took_of(spent, n_uncounted)
        used = tokens_by_voice(connection) if spent.use == spent.recorded else {}
    dollars = cost(run, spent, n_uncounted, used)
    known = None if isinstance(dollars, str) else dollars
    return {
        **spent.use._asdict(),
        "estimated_calls": took.unmetered,
        "dollars": dollars,
        "took": cost_words(replace(took, dollars=known)),
        "took_by_recorded_answers": use_words(*took.recorded) if took.has_bounds and took.recorded else "",
    }


def cost(
    run: Run,
    spent: SpentSoFar,
    n_uncounted: int,
    tokens: Mapping[str, tuple[int, int]] = MappingProxyType({}),
) -> float | str:
    """Say what a run has cost so far in US dollars, or why nobody knows yet.

    Args:
        run: The run.
        spent: What it has spent.
        n_uncounted: Answers of it whose tokens no server counted.
        tokens: Which voice took how many tokens in and out of it, where that is known.
    """
    from agentnet.stack import Price, Prices
    from agentnet.voices import OWN, RULE

    if spent.dollars is not None:
        return spent.dollars
    if n_uncounted:
        return f"unknown: no server counted the tokens of {n_uncounted:,} answers"
    meta = run.meta
    voices = {voice: each for voice, each in meta.get("voices", {}).items() if each["backend"] != RULE}
    stated = meta.get("settings", {}).get("stack", {}).get("prices", {})
    listed = Prices.load({model: Price(**price) for model, price in stated.items()})
    models = {voice: each["model_name"] for voice, each in voices.items()} or {OWN: meta["model_name"]}
    prices = {voice: price for voice, model in models.items() if (price := listed.of(model)) is not None}
    if unknown := [model for voice, model in models.items() if voice not in prices]:
        return f"unknown: state the price of {unknown[0]} under stack.prices"
    if tokens.keys() <= prices.keys() and tokens:
        return sum(prices[voice].cost(*used) for voice, used in tokens.items())
    if len({*prices.values()}) > 1:
        return "unknown until the run stops: its voices differ in price"
    return next(iter(prices.values())).cost(spent.use.prompt_tokens, spent.use.completion_tokens)


def _n_realizations(meta: Mapping[str, Any]) -> int:
    """Count the realizations of a run, or of the shard that it is."""
    n: int = meta["n_realizations"]
    if "shard" not in meta:
        return n
    from agentnet.config import Settings

    pools = Settings.from_json(json.dumps(meta["settings"])).sampler.pools
    return len(range(n)[Shard(*meta["shard"]).of_realizations(n, pools=pools)])


_BY_RULES = f"""
SELECT COUNT(*) FROM events WHERE reply IN (SELECT reply FROM replies WHERE model GLOB '{OF_A_RULE}*')
"""  # noqa: S608 - our own


def _adapted(run: Run) -> list[str]:
    """List what requests were changed in because of what the server refused."""
    details = run.rows("SELECT detail FROM incidents WHERE kind = 'adapted' ORDER BY incident")[1]
    return list(dict.fromkeys(change for (detail,) in details for change in json.loads(detail)["changes"]))


# What befell a run as a whole; the others are said of what goes on within a sitting.
_SITTINGS = (
    "SELECT kind, detail FROM incidents "
    "WHERE kind IN ('started', 'resumed', 'stopped', 'finished', 'spent') ORDER BY incident"
)


def state(run: Run, *, n_missing: int) -> str:
    """Say in words where a run stands: what its log says, and whether a process holds it at this moment.

    Returns:
        ``finished``, ``finished with ... missing``, ``running``, ``unstarted``, ``stopped``,
        ``stopped: REASON``, or ``crashed``: nobody plays it, and it came to no end.
    """
    if run.meta["status"] == "finished":
        return f"finished with {n_missing} missing" if n_missing else "finished"
    from agentnet.events import is_played

    if is_played(run.folder):
        return "running"
    befell = run.rows(_SITTINGS)[1]
    last = max((i for i, (kind, _) in enumerate(befell) if kind in {"started", "resumed"}), default=None)
    if last is None:
        return "unstarted"
    ends = dict(befell[last + 1 :])
    if "stopped" in ends:
        return f"stopped: {json.loads(ends['stopped'])['reason']}"
    # Who had played everything was not stopped before the log knew it.
    return "stopped" if ends and "finished" not in ends else "crashed"


@click.command()
@click.argument("name", metavar="RUN", shell_complete=complete_runs)
@_JSON
@setting_options
def show(name: str, as_json: bool, chosen: Chosen) -> None:
    """Show a run: its state, counts, digest and mean engaged fraction by step.

    RUN is a run folder, its name, or 'last'. Works on a run that is still played. Of a run whose family
    nobody knows it shows what all runs have, and exits with code 2. Of a run whose shards are not merged yet
    it shows each shard; one alone is RUN/shards/NAME.
    """
    from agentnet.families import family_of

    folder = chosen.run(name)
    if is_unmerged(folder):
        _show_shards(folder, as_json=as_json)
        return
    run = Run(folder)
    check_cells(run)
    facts, unknown = _counted(run), None
    try:
        facts |= family_of(run.meta).shown(run)
    except DesignError as error:
        unknown = error
    _print(facts | _digests(run), _curve(run), as_json=as_json)
    if unknown is not None:
        raise unknown


def _show_shards(folder: Path, *, as_json: bool) -> None:
    rows = [{**_line(shard), "run": shard.name} for shard in shards_in(folder)]
    if as_json:
        print_json({**_of_shards(folder), "shards": rows})
        return
    print_table(("", ""), list(_of_shards(folder).items()))
    print_table(rows[0], [list(row.values()) for row in rows], title="\nshards")


def _print(facts: Mapping[str, Any], curve: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        print_json({**facts, "engaged_fraction": curve})
        return
    print_table(("", ""), [(key, value) for key, value in facts.items() if value not in ({}, [], 0, "")])
    if curve:
        print_table(
            [name.removeprefix("n_").replace("_", " ") for name in curve[0]],
            [list(row.values()) for row in curve],
            title="\nmean fraction of agents ever engaged, of finished realizations",
        )


def _digests(run: Run) -> dict[str, str]:
    now, then = run.digest(), run.meta.get("digest")
    if then in (None, now):
        return {"digest": now}
    way_out = (
        f"its digest was {then} when it was finished; see: agentnet verify {shlex.quote(str(run.folder))}"
    )
    return {"digest": now, "damaged": way_out}


def _curve(run: Run) -> list[dict[str, object]]:
    """Average the engaged fraction after each step over finished realizations, by condition and severity.

    A realization that ended early keeps its last value: nobody was left to ask.
    """
    names, rows = run.rows(f"""
        WITH RECURSIVE times(step) AS (
            SELECT 0 UNION ALL SELECT step + 1 FROM times WHERE step < (SELECT MAX(step) FROM steps)
        )
        SELECT c.condition, times.step, news.severity,
               AVG((SELECT s.n_engaged FROM steps s
                    WHERE s.realization = r.realization AND s.step <= times.step
                    ORDER BY s.step DESC LIMIT 1) * 1.0 / networks.n_agents) AS engaged_fraction,
               COUNT(*) AS n_realizations
        FROM times JOIN realizations r ON r.status = 'finished'
        JOIN ({CONDITION_OF}) c USING (realization)
        JOIN networks USING (network) JOIN news USING (news)
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    """)  # noqa: S608 - our own
    conditions = Condition.all_of(run.meta)
    several = len(conditions) > 1
    spelled = [[*([conditions[number].name] if several else []), *row] for number, *row in rows]
    return [dict(zip(names if several else names[1:], row, strict=True)) for row in spelled]


@click.command()
@click.argument("name", metavar="RUN", shell_complete=complete_runs)
@_JSON
@setting_options
def verify(name: str, as_json: bool, chosen: Chosen) -> None:
    """Look whether a run is what it was when it was finished, and whole.

    A finished run keeps in its log the digest of what was decided and a checksum of every table; both are
    computed again. SQLite looks at the file and at references between tables, cells are held to the types of
    their columns, and the Parquet files beside it are compared with it row by row. RUN is a run folder, its
    name, or 'last'. Exits with code 2 if something is damaged: report, fit and export refuse such a run.

    Who changed a log on purpose has it taken for what it is from then on by removing what it keeps:
    DELETE FROM meta WHERE key IN ('digest', 'checksums').
    """
    from agentnet.events.forget import look_at_forgotten

    run = Run(chosen.run(name))
    found = verify_log(run)
    if forgotten := look_at_forgotten(run):
        found["forgotten"] = forgotten
    told = {"run": str(run.folder), **found}
    print_found(told, ("what", "found"), list(found.items()), as_json=as_json)
    damaged = [what for what, told in found.items() if told.startswith("damaged")]
    if damaged:
        raise RunFolderError(
            f"{run.folder} is damaged ({', '.join(damaged)}); take a copy of the run, if there is one"
        )


@click.command()
@click.argument("name", metavar="RUN", shell_complete=complete_runs)
@click.argument("sql")
@_JSON
@setting_options
def query(name: str, sql: str, as_json: bool, chosen: Chosen) -> None:
    """Answer an SQL query on a run's event log; nothing can be changed by it.

    \b
      agentnet query last "SELECT profile, AVG(decision) FROM decisions GROUP BY profile"
    """
    names, rows = Run(chosen.run(name)).rows(sql)
    twice = [each for each, n in Counter(names).items() if n > 1]
    if as_json and twice:
        raise UserError(f"JSON has each name once: tell the columns called {twice[0]!r} apart by AS")
    print_found([dict(zip(names, row, strict=True)) for row in rows], names, rows, as_json=as_json)


_NETWORKS: Final = ("gexf", "graphml")
_FORMATS: Final = ("parquet", "csv", *_NETWORKS)


@click.command()
@click.argument("name", metavar="RUN", shell_complete=complete_runs)
@click.option("--format", "kind", type=click.Choice(_FORMATS), required=True, help="What to write.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write; default: RUN/FORMAT.")
@without_people_option
@setting_options
def export(
    name: str,
    kind: str,
    out: Path | None,
    without_people: bool,
    chosen: Chosen,
) -> None:
    """Write a run's tables (parquet, csv) or its networks with who engaged when (gexf, graphml).

    In CSV files a text that a spreadsheet would execute (it begins with = + - @, also behind blanks, a tab or
    a line break, and is no number) gets an apostrophe in front: "'=1+1". Parquet files and the log hold it as
    it came. What a network file or node table says of an agent is JSON in table agents, and an attribute of
    its node in gexf and graphml. In gexf agents are engaged, and edges there, from one step to another.
    """
    from agentnet.events.export import export_csv, export_graphs, export_parquet
    from agentnet.families import family_of

    run = Run(chosen.run(name))
    family = family_of(run.meta)
    if kind in _NETWORKS and family.no_network:
        raise UserError(f"{run.folder} is a run of {family.what}, {family.no_network}")
    folder = out or run.folder / kind
    graphs = (partial(export_graphs, graph_format="gexf"), partial(export_graphs, graph_format="graphml"))
    writers: tuple[Callable[[Run, Path], None], ...] = (export_parquet, export_csv, *graphs)
    with leaving_out([run.folder], people=without_people) as (read,):
        dict(zip(_FORMATS, writers, strict=True))[kind](Run(read) if without_people else run, folder)
    echo(str(folder))


@click.command()
@_JSON
def backends(as_json: bool) -> None:
    """List the installed backends, embedders and update rules: what they are, need and come from."""
    from agentnet.backend import BACKENDS
    from agentnet.embedder import EMBEDDERS
    from agentnet.interviews import UPDATES

    rows = []
    found = [
        (kind.noun, name, installed)
        for kind in (BACKENDS, EMBEDDERS, UPDATES)
        for name, installed in kind.installed().items()
    ]
    for noun, name, installed in found:
        try:
            plugin = installed.load()
            about, needs = plugin.about, plugin.needs
        except AgentnetError as error:
            about, needs = f"broken: {error}", ""
        origin = f"{installed.distribution} {installed.version}"
        facts = (noun, name, about, needs, origin, installed.target)
        rows.append(dict(zip(("kind", "name", "about", "needs", "from", "target"), facts, strict=True)))
    columns = ("kind", "name", "about", "needs", "from")
    print_found(rows, columns, [list(row.values())[:5] for row in rows], as_json=as_json)


@click.command()
@_JSON
@setting_options
def config(as_json: bool, chosen: Chosen) -> None:
    """Print the settings in force and where each comes from."""
    rows = chosen.load().rows()
    columns = ("setting", "value", "from", "what it is")
    print_found([row._asdict() for row in rows], columns, rows, as_json=as_json)
