"""The command that puts news items in clusters by their texts, and names the clusters severe or peaceful."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentnet.cli.common import find_run, print_table
from agentnet.cli.completion import complete_runs
from agentnet.cli.embedders import embedding_options, given_options, open_embedder
from agentnet.cli.terminal import echo
from agentnet.errors import UserError
from agentnet.vocabulary import severity_name

if TYPE_CHECKING:
    from agentnet.analysis.severity_clusters import SeverityClusters
    from agentnet.embedder import Vectors
    from agentnet.news import NewsItem

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("source", metavar="[FILE|RUN]", required=False, shell_complete=complete_runs)
@embedding_options("Embedder: hash, minilm, openai, ...", default="hash")
@click.option("--out", type=_FILE, required=True, help="JSON file to write, for: agentnet report.")
@click.option("--labels", type=_FILE, help="CSV file of severities to write, for: -S news.severity=FILE.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option(
    "--max-components", default=10, show_default=True, type=click.IntRange(1), help="Components tried."
)
@click.option("--max-clusters", default=10, show_default=True, type=click.IntRange(2), help="Clusters tried.")
@click.option(
    "--cache", type=_FILE, default=Path("runs/.embeddings"), help="Folder of embeddings made before."
)
@click.option("--seed", default=0, show_default=True, help="Fixes the starts of k-means.")
def cluster(
    source: str | None,
    embedder: str,
    embedder_options: tuple[str, ...],
    out: Path,
    labels: Path | None,
    force: bool,
    max_components: int,
    max_clusters: int,
    cache: Path,
    seed: int,
) -> None:
    """Cluster news items by embeddings of their texts: the severity of Tian et al. 2026.

    Components and clusters are chosen by the highest silhouette score; clusters are named by their commonest
    ACLED labels. Without FILE or RUN, the synthetic sample is clustered. The hash embedder knows words only:
    for results take minilm or openai.

    \b
      agentnet news cluster my_export.csv --embedder minilm --out clusters.json --labels labels.csv
      agentnet report last --severity-clusters clusters.json
      agentnet run experiments/news_cascade.py --news my_export.csv -S news.severity=labels.csv
    """
    from agentnet.analysis.severity import cluster_severity
    from agentnet.files import check_target, text_writer
    from agentnet.news import severity_of, write_severity

    for target in (out, labels):
        if target is not None:
            check_target(target, force=force)
    items = _items(source)
    vectors = asyncio.run(_embed(embedder, embedder_options, cache, [item.text for item in items]))
    found = cluster_severity(
        vectors,
        [item.id for item in items],
        [(item.disorder_type, item.event_type, item.sub_event_type) for item in items],
        severity_of,
        max_components=max_components,
        max_clusters=max_clusters,
        seed=seed,
    )
    with text_writer(out, force=force) as file:
        file.write(found.to_json())
    if labels is not None:
        write_severity(labels, found.severity, force=force)
    _show(found, out)


def _items(source: str | None) -> Sequence[NewsItem]:
    """Read the items of a file, of a run, or the sample."""
    from agentnet.events import Run, check_unchanged
    from agentnet.families import family_of
    from agentnet.news import NewsItem, load_news, sample_news

    if source is None:
        return sample_news().items
    path = Path(source)
    if path.is_file():
        return load_news(path).items
    run = Run(find_run(source, Path("runs")))
    check_unchanged(run)
    family, rows = family_of(run.meta), run.rows("SELECT item FROM news ORDER BY news")[1]
    if not rows:
        raise UserError(
            f"{run.folder} is a run of {family.what}, which are asked about no news items; these come from a "
            "file, or a run of cascades or response ratios"
        )
    return [NewsItem.from_json(text) for (text,) in rows]


async def _embed(name: str, options: Sequence[str], cache: Path, texts: Sequence[str]) -> Vectors:
    embedder = open_embedder(name, given_options(options), cache)
    try:
        return await embedder.embed(texts)
    finally:
        await embedder.aclose()


def _show(found: SeverityClusters, out: Path) -> None:
    sizes = {number: found.cluster.tolist().count(number) for number in range(found.n_clusters)}
    print_table(
        ("cluster", "items", "severity", "commonest labels"),
        [
            (
                number,
                size,
                severity_name(found.names[number], "not named"),
                ", ".join(filter(None, found.commonest[number])),
            )
            for number, size in sizes.items()
        ],
        title=f"{len(found.ids)} news items; silhouette {found.score:.3f}, without clusters up to "
        f"{found.noise_score:.3f}",
    )
    agreement = found.agreement
    echo(
        f"agreement with the taxonomy: {agreement.accuracy:.3f} of {agreement.n_items} items, "
        f"kappa {agreement.kappa:.3f}"
    )
    for note in (*found.notes, *agreement.notes):
        echo(f"* {note}")
    echo(f"wrote {out}", err=True)
