"""The commands on news: make a synthetic sample, check a file, fetch a user's own ACLED data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from agentnet.cli.cluster import cluster
from agentnet.cli.common import column_option
from agentnet.cli.terminal import console, echo, until_closed
from agentnet.config import secrets_environ
from agentnet.errors import ConfigurationError, InputError
from agentnet.news.item import NEWS_SOURCES
from agentnet.news.sources.synthetic import SAMPLE_ROWS, SAMPLE_SEED, SAMPLE_SEVERE_FRACTION
from agentnet.news.validate import NewsReport

_SHOWN_PROBLEMS = 20
_DAY = click.DateTime(["%Y-%m-%d"])
_FILE = click.Path(path_type=Path)


@click.group(name="news")
def news() -> None:
    """Make, check, fetch and cluster news items."""


news.add_command(cluster)


@news.command()
@click.option("--n", default=SAMPLE_ROWS, show_default=True, help="Number of events.")
@click.option("--seed", default=SAMPLE_SEED, show_default=True, help="Fixes the events.")
@click.option(
    "--severe-fraction", default=SAMPLE_SEVERE_FRACTION, show_default=True, help="Share of severe events."
)
@click.option("--out", type=_FILE, required=True, help="CSV file to write.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def synth(n: int, seed: int, severe_fraction: float, out: Path, force: bool) -> None:
    """Write invented events of the Philippines in the shape of ACLED's export."""
    from agentnet.files import check_target
    from agentnet.news.acled_server import acled_writer
    from agentnet.news.sources.synthetic import synthesize

    check_target(out, force=force)
    rows = synthesize(n, seed, severe_fraction)
    with acled_writer(out, force=force) as write:
        write(rows)
    echo(f"wrote {len(rows)} synthetic events to {out}", err=True)


@news.command()
@click.argument("file", type=_FILE)
@column_option("a file (text, id, severity, ...)")
@click.option("--kind", metavar="SOURCE", help="The news source, instead of what the header says.")
@click.option("--severity", type=_FILE, help="File of labels (id, severity) in the place of its severities.")
@click.option(
    "--date-format",
    metavar="FORMAT",
    help="How all dates are written, such as %d/%m/%Y; by default 2021-02-24 or 24 February 2021.",
)
@click.option("--encoding", metavar="NAME", help="How the text is written, such as cp1252; by default UTF-8.")
@click.option("--json", "as_json", is_flag=True, help="Write the report as JSON.")
def validate(
    file: Path,
    columns: tuple[str, ...],
    kind: str | None,
    severity: Path | None,
    date_format: str | None,
    encoding: str | None,
    as_json: bool,
) -> None:
    """Check a news file: ACLED's export, UCDP's GED, or any table.

    Tables are delimited text, JSON Lines, JSON as ACLED's and UCDP's interfaces answer, or spreadsheets
    (.xlsx, which needs the extra xlsx). A run takes the same options as settings: news.columns, news.kind,
    news.severity, news.date_format, news.encoding.

    \b
      agentnet news validate export.csv --column date=when --date-format %d/%m/%Y
    """
    from agentnet.news.validate import validate_news

    report = validate_news(
        file,
        columns=column_map(columns),
        kind=kind,
        severity=severity,
        date_format=date_format,
        encoding=encoding,
    )
    if as_json:
        echo(report.to_json())
    else:
        _show(report)
    if not report.usable:
        raise InputError(
            f"the file cannot be used as it is; problems: {len(report.problems)}, the first being: "
            f"{report.problems[0]}"
        )


def column_map(pairs: Iterable[str]) -> dict[str, str]:
    """Turn ``("text=body", "id=guid")`` into a column map.

    Raises:
        ConfigurationError: A pair has no ``=``, or a field comes twice.
    """
    columns: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = (part.strip() for part in pair.partition("="))
        if not (name and equals and column):
            raise ConfigurationError(f"--column {pair!r} is not FIELD=COLUMN, such as text=body")
        if name in columns:
            raise ConfigurationError(f"--column names field {name!r} twice; give it one column")
        columns[name] = column
    return columns


@news.command()
@click.option("--source", default="acled", show_default=True, help="The news source.")
@click.option("--country", required=True, help="The source's English name of the country.")
@click.option("--from", "first", type=_DAY, required=True, help="First day, YYYY-MM-DD.")
@click.option("--to", "last", type=_DAY, required=True, help="Last day, included.")
@click.option("--out", type=_FILE, required=True, help="CSV file to write.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option("--base-url", default=None, help="Where the source's server is, if not where it always is.")
def fetch(
    source: str,
    country: str,
    first: dt.datetime,
    last: dt.datetime,
    out: Path,
    force: bool,
    base_url: str | None,
) -> None:
    """Fetch your own data of a source (acled: ACLED_EMAIL and ACLED_PASSWORD in the environment or .env)."""
    from agentnet.news.source import Query

    found = NEWS_SOURCES.load(source)
    if found.fetch is None:
        served = ", ".join(name for name, other in NEWS_SOURCES.loaded().items() if other.fetch)
        raise ConfigurationError(f"{source!r} cannot be fetched, only read from a file; can be: {served}")
    fetched = found.fetch(
        Query(country.strip(), first.date(), last.date()),
        out,
        secrets_environ(),
        base_url=base_url,
        force=force,
        progress=lambda words: echo(words, err=True),
    )
    for warning in fetched.warnings:
        echo(f"warning: {warning}", err=True)
    echo(f"wrote {fetched.n_events} events to {out}\n{found.licence}", err=True)


def _show(report: NewsReport) -> None:
    from rich.table import Table

    screen = console()
    facts = Table(title=report.path, show_header=False)
    for name, value in _facts(report):
        facts.add_row(name, value)
    with until_closed():
        screen.print(facts)
        for name, counts in _distributions(report):
            table = Table(name, "items")
            for label, count in counts.items():
                table.add_row(label or "(none)", str(count))
            screen.print(table)
        for kind, sentences in _remarks(report):
            for sentence in sentences:
                screen.print(f"{kind}: {sentence}")


def _facts(report: NewsReport) -> list[tuple[str, str]]:
    length = report.text_length
    lengths = (
        f"{length['min']} ({report.shortest}) to {length['max']} ({report.longest}), "
        f"median {length['median']:g}"
        if length
        else "none"
    )
    return [
        ("format", f"{report.kind}, {report.form}"),
        ("usable", "yes" if report.usable else "no"),
        ("items", str(report.n_items)),
        ("problems", str(len(report.problems))),
        ("dates", f"{report.first_date} to {report.last_date}" if report.first_date else "none"),
        ("items without a date", str(report.n_undated)),
        ("text length", lengths),
        ("duplicate ids", str(len(report.duplicate_ids))),
        ("texts shared by several items", str(len(report.duplicate_texts))),
    ]


def _distributions(report: NewsReport) -> list[tuple[str, Mapping[str, int]]]:
    found = [
        ("severity", report.by_severity),
        ("disorder type", report.by_disorder_type),
        ("event type", report.by_event_type),
        ("sub-event type", report.by_sub_event_type),
        *((f"not in the codebook: {column}", counts) for column, counts in report.unknown.items()),
    ]
    return [(name, counts) for name, counts in found if set(counts) - {""}]


def _remarks(report: NewsReport) -> list[tuple[str, list[str]]]:
    hidden = len(report.problems) - _SHOWN_PROBLEMS
    more = [f"and {hidden} more (all with --json)"] if hidden > 0 else []
    return [
        ("warning", list(report.warnings)),
        ("licence", list(report.licences)),
        ("problem", [*report.problems[:_SHOWN_PROBLEMS], *more]),
    ]
