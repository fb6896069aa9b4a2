"""A report's folder appears whole or not at all, and nothing of anybody else's is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentnet.errors import StorageError, UserError
from agentnet.files import swap
from agentnet.report.folder import check_folder, write_folder

OWN = ("report.html", "tables/a.csv", "results.json")


def files(page: str, *more: str) -> dict[str, bytes]:
    """Make the files of a report."""
    names = [*OWN, *more]
    results = {"format": "agentnet report", "files": names}
    return {
        **{name: page.encode() for name in names},
        "results.json": json.dumps(results).encode(),
    }


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_new_folder_holds_the_files_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_folder(tmp_path / "deep" / "report", files("one"))
    assert tree(tmp_path / "deep" / "report") == files("one")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report"]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    write_folder(tmp_path / "report", files("one"))
    assert tree(tmp_path / "report") == files("one")


def test_an_earlier_report_is_replaced_and_what_others_put_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_folder(folder, files("one", "figures/old.svg"))
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("mine")
    (folder / "tables" / "mine.csv").write_text("mine")
    write_folder(folder, files("two"))
    assert tree(folder) == {**files("two"), "notes/mine.txt": b"mine", "tables/mine.csv": b"mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_link_of_somebodys_is_carried_over_as_a_link(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "report", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept.txt").write_text("kept")
    write_folder(folder, files("one"))
    (folder / "link").symlink_to(elsewhere)
    write_folder(folder, files("two"))
    assert (folder / "link").is_symlink()
    assert (elsewhere / "kept.txt").read_text() == "kept"


@pytest.mark.parametrize(
    "results", [None, "no JSON", "[]", '{"format": "another"}', '{"format": "agentnet report"}']
)
def test_a_folder_without_a_report_of_ours_is_refused_and_untouched(
    tmp_path: Path, results: str | None
) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    if results is not None:
        (folder / "results.json").write_text(results)
    before = tree(folder)
    with pytest.raises(UserError, match=r"no report of agentnet.*--output"):
        write_folder(folder, files("one"))
    assert tree(folder) == before


def test_a_file_of_somebodys_in_the_place_of_a_new_one_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_folder(folder, files("one"))
    (folder / "tables" / "b.csv").write_text("mine")
    with pytest.raises(UserError, match=r"tables/b\.csv is not of the earlier report"):
        write_folder(folder, files("two", "tables/b.csv"))
    assert (folder / "report.html").read_text() == "one"
    assert (folder / "tables" / "b.csv").read_text() == "mine"


def test_a_manifest_cannot_claim_files_outside_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_folder(folder, files("one"))
    (tmp_path / "mine.txt").write_text("mine")
    (folder / "results.json").write_text(
        json.dumps({"format": "agentnet report", "files": ["../mine.txt", *OWN]})
    )
    assert check_folder(folder) == frozenset()
    write_folder(folder, files("two"))
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        check_folder(tmp_path / "report")
    assert (tmp_path / "report").read_text() == "mine"


def test_what_cannot_be_written_leaves_the_earlier_report_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_folder(folder, files("one"))
    impossible = {**files("two"), "tables/a.csv/b.csv": b""}
    with pytest.raises(StorageError, match=r"cannot be written.*the runs are as they were"):
        write_folder(folder, impossible)
    assert tree(folder) == files("one")
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_an_earlier_report_comes_back_if_the_new_one_cannot_take_its_place(tmp_path: Path) -> None:
    folder, old = tmp_path / "report", tmp_path / "old"
    write_folder(folder, files("one"))
    with pytest.raises(FileNotFoundError):
        swap(tmp_path / "nothing", folder, old)
    assert tree(folder) == files("one")
    assert not old.exists()
    with pytest.raises(FileNotFoundError):
        swap(tmp_path / "nothing", tmp_path / "new", old)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
