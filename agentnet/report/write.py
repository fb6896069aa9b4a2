"""From runs to a folder with a report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentnet.errors import PluginError
from agentnet.events import Run
from agentnet.report.drawings import write_page
from agentnet.report.folder import PAGE, RESULTS, check_folder, write_folder
from agentnet.report.gather import Report, make_report
from agentnet.report.options import Options, Progress
from agentnet.report.results import as_json, results_of
from agentnet.report.sections import contents_of, drawings_of, has_several_drawn


@dataclass(frozen=True, slots=True)
class Written:
    """A report that was written.

    Attributes:
        folder: Its folder.
        results: What ``results.json`` holds.
    """

    folder: Path
    results: dict[str, Any]

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / PAGE


def write_report(
    runs: Sequence[Run | Path | str],
    folder: Path | str,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
    made_at: float | None = None,
) -> Written:
    """Compute and write the report of runs.

    Args:
        runs: Runs of cascades, of response ratios, or both, or their folders.
        folder: Where to; a new or empty folder, or that of an earlier report, which is replaced. Files of
            others in it stay.
        options: How it is made.
        progress: Called with a few words before each piece of work.
        made_at: When it is made, seconds since 1970 (UTC); now if None.

    Raises:
        RunFolderError: A run's event log is missing or damaged.
        UserError: `folder` holds something else, an option is impossible, or runs don't go together.
        StorageError: The files cannot be written.
    """
    place = Path(folder)
    check_folder(place)
    opened = [run if isinstance(run, Run) else Run(Path(run)) for run in runs]
    report = make_report(opened, options, progress=progress)
    (progress or (lambda _: None))(f"writing {place}")
    files, results = files_of(report, made_at=time.time() if made_at is None else made_at)
    write_folder(place, files)
    return Written(place, results)


def files_of(report: Report, *, made_at: float) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Make the files of a report, by path within its folder, and what ``results.json`` holds."""
    contents = contents_of(report)
    files = {PAGE: write_page(report, contents, made_at=made_at).encode()}
    tables = ((f"tables/{table.name}.csv", table) for each in contents for table in each.tables)
    for name, content in (*((name, table.to_csv().encode()) for name, table in tables), *_images(report)):
        if name in files:
            raise PluginError(f"two things of the report would be {name}: give the plug-in's another name")
        files[name] = content
    results = results_of(report, made_at=made_at, files=[*files, RESULTS])
    return {**files, RESULTS: as_json(results).encode()}, results


def _images(report: Report) -> Iterator[tuple[str, bytes]]:
    several = has_several_drawn(report)
    for part, drawings in drawings_of(report).items():
        for drawing in drawings:
            stem = f"figures/{part}_{drawing.name}" if several else f"figures/{drawing.name}"
            if drawing.svg is not None:
                yield f"{stem}.svg", drawing.svg.encode()
            if drawing.png is not None:
                yield f"{stem}.png", drawing.png
