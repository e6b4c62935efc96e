"""Which parts of a model are read next, predicted from the distances between earlier parts.

After each large weight comes the head of the next one, whose place is known only when the head before is
read: a chain of as many round trips as there are weights. But networks repeat blocks, and so the distances
repeat. A correct prediction is present when the walk reaches it; a wrong one costs only its bytes.
"""

from __future__ import annotations

JUMP = 32 << 10
"""Bytes between two parts; anything nearer belongs to the same part."""
WINDOW = 40 << 10
"""Bytes of a part that are read first."""
BEFORE = 8 << 10
"""Bytes of these before the expected place: names have different lengths."""
_ALIKE = 16 << 10
"""Distances that differ less are the same distance."""
_CONTEXT = 8
"""Distances that recognize a position in the history."""
_BLIND = 4
"""Parts that are predicted where the last distance occurs for the first time: that it repeats."""
_MOST = 256
"""Parts that are predicted at once."""
_SHARE = 200
"""All that is predicted at once is at most this fraction of the file."""
_STEP = 8
"""The factor by which the number of predictions grows after correct ones, and shrinks after wrong ones."""

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
        """The number of parts at the last prediction, and the number of predicted ones."""

    def note(self, start: int) -> None:
        """Record that a part begins here."""
        if self._starts:
            self._distances.append(start - self._starts[-1])
        self._starts.append(start)

    def missed(self, position: int) -> list[Range]:
        """What to read where a part was missing: its own beginning, and those that may follow."""
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
        """Predict more at once where the last predictions were correct: where the walk reached them."""
        before, guesses = self._guessed
        if guesses > _BLIND:
            right = 2 * (len(self._starts) - 1 - before) >= guesses
            self._depth = min(self._most, self._depth * _STEP) if right else max(1, self._depth // _STEP)

    def _window(self, position: int) -> Range:
        return max(0, position - BEFORE), min(self._size, position + WINDOW - BEFORE)

    def _expected(self) -> list[int]:
        """The next distances: those that followed the same distances earlier, repeated in a cycle."""
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
        """Where in the history to continue: after the longest sequence that ends as the history does.

        Of several, the first: the first block of a network is the one that was read completely. None where no
        earlier distance is like the last one.
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
