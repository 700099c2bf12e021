"""The order in which images get the model, which takes one at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager


class WaitingLine:
    """Places in order of arrival; the first one has its turn until it is left.

    Examples:
        >>> with line.place() as ahead:
        ...     async for number in ahead:
        ...         tell(number)
        ...     predict()
    """

    def __init__(self) -> None:
        # each event is set when somebody ahead has left
        self._places: list[asyncio.Event] = []

    def __len__(self) -> int:
        """Return how many are in the line, the one whose turn it is included."""
        return len(self._places)

    @contextmanager
    def place(self) -> Iterator[AsyncIterator[int]]:
        """Take the last place; gives how many are ahead, at each change, down to 0."""
        moved = asyncio.Event()
        self._places.append(moved)
        try:
            yield self._ahead(moved)
        finally:
            place = self._places.index(moved)
            self._places.remove(moved)
            for behind in self._places[place:]:
                behind.set()

    async def _ahead(self, moved: asyncio.Event) -> AsyncIterator[int]:
        while ahead := self._places.index(moved):
            moved.clear()
            yield ahead
            await moved.wait()
        yield 0
