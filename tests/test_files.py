"""A folder takes another's place whole or not at all, and what killed processes left is set right."""

import json
import os
import subprocess
import sys

import pytest

from agentnet.events.export import export_csv, export_graph
from agentnet.files import swap, temporary, tidy
from agentnet.report.folder import RESULTS, write_folder


@pytest.fixture(scope="module")
def gone():
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return child.pid


def made(folder, **contents):
    folder.mkdir(parents=True)
    for name, text in contents.items():
        (folder / name).write_text(text)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_had_not_finished_is_removed(tmp_path, gone):
    made(tmp_path / "out", a="whole")
    made(tmp_path / f".out.{gone}.partial", a="half")
    (tmp_path / f".out.{gone + 1}.partial").write_text("half a file of a process that may never have been")
    (tmp_path / f".out.{gone + 1}.partial").rename(tmp_path / f".out.{gone}0000000.partial")
    tidy(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "a").read_text() == "whole"


def test_who_was_killed_between_two_renames_has_the_old_folder_come_back(tmp_path, gone):
    made(tmp_path / f".out.{gone}.old", a="old")
    made(tmp_path / f".out.{gone}.partial", a="new, and perhaps not whole")
    tidy(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "a").read_text() == "old"


def test_an_old_folder_whose_successor_is_in_its_place_is_removed(tmp_path, gone):
    made(tmp_path / f".out.{gone}.old", a="old")
    made(tmp_path / "out", a="new")
    tidy(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "a").read_text() == "new"


def test_what_somebody_else_makes_at_this_moment_and_other_files_stay(tmp_path, gone):
    living = os.getppid()
    theirs = [
        f".out.{living}.partial",
        f".out2.{gone}.partial",
        f"out.{gone}.old",
        f".out.{gone}.older",
        ".out.x.old",
    ]
    for name in theirs:
        made(tmp_path / name, a="theirs")
    tidy(tmp_path / "out")
    assert names(tmp_path) == sorted(theirs)


def test_a_name_with_signs_of_patterns_is_taken_as_it_is(tmp_path, gone):
    made(tmp_path / f".out[1]+.{gone}.partial")
    made(tmp_path / f".out1.{gone}.partial")
    tidy(tmp_path / "out[1]+")
    assert names(tmp_path) == [f".out1.{gone}.partial"]


def test_a_swap_that_was_cut_off_before_its_second_rename_is_undone_by_the_next(tmp_path):
    made(tmp_path / "out", a="old")
    place = tmp_path / "out"
    with pytest.raises(FileNotFoundError):
        swap(tmp_path / "nothing", place, temporary(place).with_suffix(".old"))
    assert names(tmp_path) == ["out"]


def test_the_next_export_sets_right_what_a_killed_one_left(sample_run, tmp_path, gone):
    run = sample_run()
    for end in ("partial", "old"):
        made(tmp_path / f".out.{gone}.{end}", **{"meta.csv": "half"})
        (tmp_path / f".net.gexf.{gone}.partial").write_text("half")
    export_csv(run, tmp_path / "out")
    export_graph(run, 0, tmp_path / "net.gexf", "gexf")
    assert names(tmp_path) == ["net.gexf", "out", run.folder.name]
    assert len(names(tmp_path / "out")) > 10


def files(page):
    results = {"format": "agentnet report", "files": ["report.html", RESULTS]}
    return {"report.html": page, RESULTS: json.dumps(results).encode()}


def report(folder, page, **others):
    for name, content in {**files(page), **others}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_what_others_put_into_a_report_survives_a_kill_before_it_was_carried_over(tmp_path, gone):
    report(tmp_path / f".report.{gone}.old", b"old", **{"notes.txt": b"mine", "more/notes.txt": b"mine, too"})
    report(tmp_path / "report", b"new")
    write_folder(tmp_path / "report", files(b"newest"))
    assert names(tmp_path) == ["report"]
    assert names(tmp_path / "report") == ["more", "notes.txt", "report.html", RESULTS]
    assert (tmp_path / "report" / "more" / "notes.txt").read_bytes() == b"mine, too"
    assert (tmp_path / "report" / "report.html").read_bytes() == b"newest"


def test_what_others_wrote_twice_is_kept_twice(tmp_path, gone):
    report(tmp_path / f".report.{gone}.old", b"old", **{"notes.txt": b"earlier"})
    report(tmp_path / "report", b"new", **{"notes.txt": b"later"})
    write_folder(tmp_path / "report", files(b"newest"))
    assert (tmp_path / "report" / "notes.txt").read_bytes() == b"later"
    assert (tmp_path / f".report.{gone}.old" / "notes.txt").read_bytes() == b"earlier"


def test_an_old_report_whose_removal_had_begun_is_removed(tmp_path, gone):
    report(tmp_path / f".report.{gone}.old", b"old")
    (tmp_path / f".report.{gone}.old" / RESULTS).unlink()
    report(tmp_path / "report", b"new")
    write_folder(tmp_path / "report", files(b"newest"))
    assert names(tmp_path) == ["report"]
    assert names(tmp_path / "report") == ["report.html", RESULTS]
