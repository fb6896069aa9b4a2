"""Files as lines of text: what is packed, how it is written, and which characters show nothing."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import unicodedata
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from agentnet.errors import ConfigurationError, InputError

REMARK_SIGNS = ("#", "%")
"""What begins a remark in lists of edges and nodes: SNAP's sign, and KONECT's."""

MISSING = frozenset(
    {
        *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", ""),
    }
)
"""Cells that hold nothing, as pandas reads them: R, pandas, databases and spreadsheets write them so."""

_MARKS = (
    # UTF-32 first: its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BOM = "\ufeff"
_FOREIGN = (
    (b"PK\x03\x04", "is a zip archive, as spreadsheets are: give it its suffix (.xlsx), or unpack it"),
    (b"\xd0\xcf\x11\xe0", "is a document of an old Office: save it as CSV UTF-8"),
    (b"PAR1", "is a Parquet file: write it as CSV, such as by pandas.read_parquet(..).to_csv(..)"),
    (b"SQLite format 3\0", "is an SQLite database: export its table as CSV"),
    (b"%PDF-", "is a PDF document, and no table: save the table as CSV UTF-8"),
    *(
        (mark, "is a picture: give the file with the data that it shows")
        for mark in (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")
    ),
    (b"version https://git-lfs", "is a pointer of Git LFS to the file: get the file itself (git lfs pull)"),
    (b"BZh", "is packed by bzip2, of which nothing is read: unpack it (bunzip2)"),
    (b"\xfd7zXZ", "is packed by xz, of which nothing is read: unpack it (unxz)"),
    (b"\x28\xb5\x2f\xfd", "is packed by Zstandard, of which nothing is read: unpack it (unzstd)"),
    *(
        (mark, "is an R object: write it as CSV, by write.csv(.., row.names = FALSE)")
        for mark in (b"RDX", b"X\n\0")
    ),
    *((mark, "is a file of SPSS: save it as CSV UTF-8") for mark in (b"$FL2", b"$FL3")),
    (b"<stata_dta>", "is a file of Stata: save it as CSV UTF-8 (export delimited)"),
)
"""What the first bytes of a file say that is no text, and the way out."""
_WEB_PAGE = re.compile(rb"\s*<(?:!--|(?:!doctype|html|head|body|\?xml)[\s>])", re.IGNORECASE)
_INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and signs by their category that show nothing: fillers of Hangul, Braille, Khmer."""


def is_blank(text: str) -> bool:
    """Say whether nothing of `text` can be seen: blanks of any kind, and characters without a shape."""
    stripped = text.strip()
    if not stripped or stripped.isascii():
        return not stripped
    return all(map(_is_invisible, stripped))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE or character in _FILLERS


def visible(text: str) -> str:
    """Take off what cannot be seen at both ends of `text`, such as the name of a column."""
    return text.strip("".join(filter(_is_invisible, text)))


def is_missing(cell: str, markers: Collection[str] = MISSING) -> bool:
    """Say whether a cell holds nothing: blank, or one of `markers`."""
    return cell.strip() in markers or is_blank(cell)


def is_remark(line: str) -> bool:
    """Say whether a line is a sign of remarks with nothing, a blank or a further sign after it.

    Names can begin with a sign (``#MeToo``), but not so.
    """
    text = line.strip()
    return text[:1] in REMARK_SIGNS and (len(text) < 2 or text[1].isspace() or text[1] in REMARK_SIGNS)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file, through gzip if its first bytes say so.

    Raises:
        InputError: It cannot be opened, or is no whole gzip file.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise InputError("there is no such file", path=path) from error
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", path=path) from error
    with file:
        if not file.seekable():
            raise InputError("is a pipe, and a file is read more than once: save it as one", path=path)
        try:
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield gzip.GzipFile(fileobj=file) if is_packed else file  # type: ignore[misc]  # both are binary
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"is no whole gzip file ({error}); get it again", path=path) from error
        except OSError as error:
            raise InputError(f"the file cannot be read ({error.strerror or error})", path=path) from error


def text_lines(path: Path, file: BinaryIO, encoding: str | None = None) -> Iterator[str]:
    r"""Decode a file line by line, each with its end; lines end at ``\n`` alone.

    Args:
        path: The file, for messages.
        file: Its bytes.
        encoding: How it is written; by default UTF-8, or what its byte-order mark says.

    Raises:
        InputError: It is no such text: names row and byte, or what the file is instead.
        ConfigurationError: `encoding` is unknown.
    """
    start = file.read(64)
    file.seek(0)
    _refuse_foreign(path, start)
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if marked is None and encoding is None:
        return _utf8_lines(path, file)
    return _wide_lines(path, file, marked or _known(encoding or ""))


def _refuse_foreign(path: Path, start: bytes) -> None:
    """Refuse a file of another kind, whose bytes might pass as odd words of a text."""
    foreign = next((words for mark, words in _FOREIGN if start.startswith(mark)), None)
    if foreign is None and _WEB_PAGE.match(start.removeprefix(codecs.BOM_UTF8)):
        foreign = (
            "is a web page or another document in angle brackets, and no table: a server may have answered "
            "with an error or a login; look at the file, and get it again"
        )
    if foreign is not None:
        raise InputError(foreign, path=path)


def _known(encoding: str) -> str:
    try:
        "".encode(encoding)
    except (LookupError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"there is no text encoding {encoding!r}; usual ones are utf-8, cp1252 and utf-16"
        ) from error
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _utf8_lines(path: Path, file: BinaryIO) -> Iterator[str]:
    """Decode line by line, because only then the row of a bad byte is known."""
    for number, raw in enumerate(file, 1):
        if b"\0" in raw:
            raise InputError(
                "is not UTF-8 text (it holds a NUL: UTF-16 without its mark, or no text at all); save it as "
                "CSV UTF-8",
                path=path,
                row=number,
            )
        try:
            # Files that were joined have the mark of the second in the middle.
            yield raw.decode().lstrip(_BOM)
        except UnicodeDecodeError as error:
            raise InputError(
                f"byte {error.start + 1} of this line (0x{raw[error.start]:02x}) is not UTF-8; save the "
                f"file as CSV UTF-8, or name its encoding, such as cp1252 (--encoding, news.encoding, "
                f"network_options.encoding, load_bank(encoding=))",
                path=path,
                row=number,
            ) from error


def _wide_lines(path: Path, file: BinaryIO, encoding: str) -> Iterator[str]:
    number = 0
    text = io.TextIOWrapper(file, encoding=encoding, newline="\n")
    try:
        for number, line in enumerate(text, 1):
            if "\0" in line:
                raise InputError(f"holds a NUL, so it is no {encoding} text", path=path, row=number)
            yield line.lstrip(_BOM)
    except UnicodeError as error:
        raise InputError(
            f"is not written in {encoding} ({error}); save it as CSV UTF-8", path=path, row=number + 1
        ) from error
    finally:
        with suppress(ValueError):  # a reader that stopped early has closed the file already
            text.detach()
