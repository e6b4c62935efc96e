"""Which parts of a model come next, guessed from the distances between those that were read.

Behind each large weight stands the head of the next one, whose place is known only when the head before is
read: a chain of as many round trips as there are weights. But networks repeat blocks, and so the distances
repeat. What is guessed right is there when the walk comes to it; what is guessed wrong costs its bytes alone.
"""

from __future__ import annotations

JUMP = 32 << 10
"""Bytes between two parts; what lies nearer is one part."""
WINDOW = 40 << 10
"""Bytes that are read of a part at first."""
BEFORE = 8 << 10
"""Bytes of these that lie before the expected place: names have lengths of their own."""
_ALIKE = 16 << 10
"""Distances that differ less are the same distance."""
_CONTEXT = 8
"""Distances by which a place in the history is recognized."""
_BLIND = 4
"""Parts that are guessed where the last distance was met for the first time: that it repeats."""
_MOST = 256
"""Parts that are guessed at once."""
_SHARE = 200
"""All that is guessed at once is at most this part of the file."""
_STEP = 8
"""By what the number of guesses grows after right ones, and shrinks after wrong ones."""

Range = tuple[int, int]


class Prediction:
    """The parts of one file so far, by the offset at which each begins."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._starts: list[int] = []
        self._distances: list[int] = []
        self._most = max(_BLIND, min(_MOST, size // _SHARE // WINDOW))
        self._depth = self._most
        self._guessed: tuple[int, int] = (0, 0)
        """How many parts there were when parts were guessed last, and how many of these were guessed."""

    def note(self, start: int) -> None:
        """A part begins here."""
        if self._starts:
            self._distances.append(start - self._starts[-1])
        self._starts.append(start)

    def missed(self, position: int) -> list[Range]:
        """What to read where a part was not there: its own beginning, and those that may follow."""
        self._learn()
        ranges = [self._window(position)]
        expected = self._expected()
        for distance in expected:
            position += distance
            if position >= self._size:
                break
            ranges.append(self._window(position))
        self._guessed = (len(self._starts), len(expected))
        return ranges

    def _learn(self) -> None:
        """Guess more at once where the last guesses were right, which is where the walk went through them."""
        before, guesses = self._guessed
        if guesses > _BLIND:
            right = 2 * (len(self._starts) - 1 - before) >= guesses
            self._depth = min(self._most, self._depth * _STEP) if right else max(1, self._depth // _STEP)

    def _window(self, position: int) -> Range:
        return max(0, position - BEFORE), min(self._size, position + WINDOW - BEFORE)

    def _expected(self) -> list[int]:
        """The next distances: those that followed where the last ones stood before, and so on in a circle."""
        known = self._distances
        if not known:
            return []
        index = self._place_like_the_last()
        count = self._depth if index is not None else _BLIND
        period = len(known) - (len(known) - 1 if index is None else index)
        expected: list[int] = []
        for number in range(count):
            position = len(known) - period + number
            expected.append(known[position] if position < len(known) else expected[number - period])
        return expected

    def _place_like_the_last(self) -> int | None:
        """Where in the history to continue: after the longest stretch that ends as the history does.

        Of several the first: the first block of a network is the one that was met whole. None where nothing
        before is like the last distance.
        """
        known = self._distances
        best = 0
        best_place = None
        for position in range(1, len(known)):
            length = 0
            while length < min(position, _CONTEXT) and _alike(
                known[position - 1 - length], known[-1 - length]
            ):
                length += 1
            if length > best:
                best, best_place = length, position
        return best_place


def _alike(one: int, other: int) -> bool:
    return abs(one - other) < _ALIKE
