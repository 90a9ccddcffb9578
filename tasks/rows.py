"""Examples that stay where they are until they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from tasks.base import Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Rows(Sequence[Example]):
    """The examples of one language and split, none of them in memory.

    ``labels``: their labels, shape ``[examples]`` (0 for tagged tokens): what a sample is drawn by. Iteration
    streams through the whole; an index, or :meth:`take`, reads only what it names.
    """

    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def take(self, places: Sequence[int]) -> list[Example]:
        """The examples at these places, given in ascending order.

        Raises:
            DataError: the data is malformed there, or has changed since it was opened.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[Example]: ...

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            wanted = range(len(self))[place]
            return self.take(wanted) if wanted.step > 0 else self.take(wanted[::-1])[::-1]
        return self.take([range(len(self))[place]])[0]

    def __eq__(self, other: Any) -> bool:
        if self is other:
            return True
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]
