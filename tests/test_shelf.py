"""The shelf under the caches lets bytes and text through, and nothing else, in either direction."""

import io
import sqlite3
from contextlib import closing

import pytest
from diskcache.core import MODE_BINARY, MODE_PICKLE, MODE_RAW, MODE_TEXT

from agentnet.errors import StorageError
from agentnet.shelf import RawDisk, Shelf


@pytest.fixture
def shelf(tmp_path):
    with closing(Shelf(tmp_path / "shelf", way_out="go without")) as shelf:
        yield shelf


def test_what_is_put_is_found(shelf):
    rows = {f"key {i}".encode(): f"value {i}" for i in range(1001)}
    shelf.put_all(rows.items())
    shelf.put_all([(b"key 3", "another")])
    shelf.put_all([])
    assert shelf.get(b"key 3") == "another"
    assert shelf.get(b"key 1000") == "value 1000"
    assert shelf.get(b"key 1001") is None
    assert len(shelf) == 1001


def test_bytes_are_found_as_they_were_put(shelf):
    rows = {f"key {i}".encode(): bytes([i % 256, 0, 255]) for i in range(600)}
    shelf.put_all(rows.items())
    assert shelf.get(b"key 7") == b"\x07\x00\xff"
    assert shelf.get_all([*rows, b"another"]) == rows
    assert shelf.get_all([]) == {}


def test_many_at_once_are_read_from_the_table_only(shelf):
    shelf.put_all([(b"good", b"x"), (b"file", b"y"), (b"pickle", b"z")])
    with closing(sqlite3.connect(f"{shelf.directory}/cache.db")) as connection, connection:
        connection.execute("UPDATE Cache SET filename = 'f' WHERE key = ?", (b"file",))
        connection.execute("UPDATE Cache SET mode = ? WHERE key = ?", (MODE_PICKLE, b"pickle"))
    assert shelf.get_all([b"good", b"file", b"pickle"]) == {b"good": b"x"}


def test_a_folder_that_is_a_file_is_said_to_be_of_no_use(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file: the cache cannot be used .*; mend or .*, go without$"):
        Shelf(tmp_path / "file", way_out="go without")


def test_what_diskcache_itself_sets_is_found_too(shelf):
    shelf.set(b"key", "value")
    shelf.put_all([(b"key", "another")])
    assert shelf[b"key"] == "another"


def test_keys_are_listed_by_prefix_and_length(shelf):
    shelf.put_all([(b"aa1", "x"), (b"aa\xff", "x"), (b"aa12", "x"), (b"ab1", "x"), (b"aa\x00", "x")])
    assert shelf.keys(b"aa", 3) == {b"aa1", b"aa\xff", b"aa\x00"}


def test_a_transaction_that_fails_leaves_nothing(shelf):
    with pytest.raises(sqlite3.ProgrammingError):
        shelf.put_all([(b"key", "value"), (b"other", object)])
    assert shelf.get(b"key") is None


@pytest.mark.parametrize("key", ["text", 5, 1.5, None, ("a",)])
def test_keys_that_are_not_bytes_are_refused(shelf, key):
    with pytest.raises(TypeError, match="a key is bytes"):
        shelf.set(key, "value")


@pytest.mark.parametrize("value", [5, None, ["a"], bytearray(b"x")])
def test_values_that_are_neither_text_nor_bytes_are_refused(shelf, value):
    with pytest.raises(TypeError, match="a value is text or bytes"):
        shelf.set(b"key", value)


def test_files_are_refused_as_values(shelf):
    with pytest.raises(TypeError, match="a value is text or bytes"):
        shelf.set(b"key", io.BytesIO(b"x"), read=True)


def test_keys_are_not_read_back(shelf):
    shelf.set(b"key", "value")
    with pytest.raises(ValueError, match="keys are not read back"):
        list(shelf)


@pytest.mark.parametrize(
    ("mode", "filename", "value", "read"),
    [
        (MODE_PICKLE, None, "x", False),
        (MODE_BINARY, "file", None, False),
        (MODE_TEXT, "file", None, False),
        (MODE_RAW, "file", "x", False),
        (MODE_RAW, None, 5, False),
        (MODE_RAW, None, None, False),
        (MODE_RAW, None, "x", True),
        (99, None, "x", False),
    ],
)
def test_only_what_stands_in_the_table_itself_is_fetched(tmp_path, mode, filename, value, read):
    with pytest.raises(ValueError, match="refused"):
        RawDisk(str(tmp_path)).fetch(mode, filename, value, read)


def test_no_file_is_ever_removed(tmp_path):
    (tmp_path / "file").write_text("precious")
    RawDisk(str(tmp_path)).remove("file")
    assert (tmp_path / "file").exists()
