"""Samples bought in advance, many a request: the stock of sampler mode ``choices``.

The repeats of one news item ask the same questions, again and again. So the draws of a question are numbered:
draw j of repeat r takes the sample of that number from the stock of the question. Samples come in blocks,
each a request, that double in size (1, 2, 4, ... draws of every repeat) up to what a request may ask for. In
which block a draw finds its sample follows from its number alone, so neither the order in which realizations
get there nor an interruption changes who gets what. Samples that nobody comes for are the price.
"""

from __future__ import annotations

from typing import NamedTuple


class Block(NamedTuple):
    """A request's worth of samples.

    Attributes:
        chunk: Number of the group of repeats that it serves.
        first: First draw of each repeat that it serves.
        n_draws: Draws of each repeat.
        n_repeats: Repeats served.
    """

    chunk: int
    first: int
    n_draws: int
    n_repeats: int

    @property
    def n(self) -> int:
        """Samples in it."""
        return self.n_draws * self.n_repeats


def locate(draw: int, repeat: int, n_repeats: int, n_at_most: int) -> tuple[Block, int]:
    """Find the block of draw number `draw` of repeat number `repeat`, and the sample's place in it.

    Args:
        draw: How many draws of the question the repeat made before, >= 0.
        repeat: In [0, n_repeats).
        n_repeats: Repeats that ask the question.
        n_at_most: Samples that a request asks for at most, >= 1.

    Examples:
        >>> locate(0, 3, 5, 128)
        (Block(chunk=0, first=0, n_draws=1, n_repeats=5), 3)
        >>> locate(4, 1, 5, 128)
        (Block(chunk=0, first=3, n_draws=4, n_repeats=5), 6)
    """
    width = min(n_repeats, n_at_most)
    chunk, place = divmod(repeat, width)
    served = min(width, n_repeats - chunk * width)
    largest = max(1, n_at_most // served)
    # Blocks of 1, 2, 4, ... draws begin at 0, 1, 3, ...; those of `largest` draws where the doubling ends.
    n_doubling = largest.bit_length()
    doubled = 2**n_doubling - 1
    if draw < doubled:
        size = 2 ** ((draw + 1).bit_length() - 1)
        first = size - 1
    else:
        size = largest
        first = doubled + (draw - doubled) // largest * largest
    return Block(chunk, first, size, served), (draw - first) * served + place
