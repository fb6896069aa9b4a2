"""Words for figures: numbers as they are read, and texts of others made fit to be drawn."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from typing import Final

_UNDRAWABLE: Final = "\N{REPLACEMENT CHARACTER}"
_NOT_TEXT: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories without a glyph: among them what XML forbids and what turns the direction of text."""


def cleaned(text: str) -> str:
    """Make a text one line of visible characters.

    Examples:
        >>> cleaned("PHL-1\\n\\x00b")
        'PHL-1 b'
    """
    visible = (" " if unicodedata.category(each) in _NOT_TEXT else each for each in text)
    return " ".join("".join(visible).split())


def shortened(text: str, limit: int) -> str:
    """Take the middle out of a text that is longer than `limit` characters, >= 3.

    Examples:
        >>> shortened("PHL-2021-000123", 9)
        'PHL-…0123'
    """
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[-(limit - 1 - head) :]}"


def drawable(text: str, limit: int) -> str:
    """Make somebody's text fit for a label: one short line of characters that the font of figures has."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    return "".join(
        each if font.get_char_index(ord(each)) else _UNDRAWABLE for each in shortened(cleaned(text), limit)
    )


def spelled(value: float, digits: int = 3) -> str:
    """Spell a number with `digits` decimals.

    Examples:
        >>> spelled(0.01629), spelled(float("nan")), spelled(-0.0001)
        ('0.016', 'unknown', '0.000')
    """
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    written = f"{value:.{digits}f}"
    return written.removeprefix("-") if float(written) == 0 else written


def percent(share: float) -> str:
    """Spell a share in percent.

    Examples:
        >>> percent(0.25), percent(0.0004)
        ('25%', '0.04%')
    """
    return f"{100 * share:.{1 if abs(share) < 0.001 else 3}g}%"


def counted(number: int, thing: str, things: str = "") -> str:
    """Count things.

    Examples:
        >>> counted(1, "realization"), counted(16000, "answer")
        ('1 realization', '16,000 answers')
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def listed(names: Iterable[str], most: int = 8) -> str:
    """List names, the first `most` of them.

    Examples:
        >>> listed("abc"), listed("abc", most=1), listed("a")
        ('a, b and c', 'a and 2 more', 'a')
    """
    every = list(names)
    if len(every) > most:
        every = [*every[:most], f"{len(every) - most:,} more"]
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"


def sentences(parts: Iterable[str]) -> str:
    """Put sentences together: a capital first, unless it is of a name such as ``tau_1``, and a stop last.

    Examples:
        >>> sentences(["one", "", "two.", "tau_1 is 0"])
        'One. Two. tau_1 is 0.'
    """
    made = (part.strip() for part in parts if part.strip())
    return " ".join(f"{capitalized(each)}{'' if each[-1] in '.:' else '.'}" for each in made)


def capitalized(sentence: str) -> str:
    """Begin with a capital, unless it begins with a name such as ``tau_1``."""
    is_name = "_" in sentence.split(maxsplit=1)[0]
    return sentence if is_name else f"{sentence[0].upper()}{sentence[1:]}"
