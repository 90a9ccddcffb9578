"""Parquet files whose rows stay on disk until they are asked for, through ``pyarrow``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError, Example
from tasks.rows import Rows
from tasks.sources import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 1000  # rows in memory at a time
_BUFFER = 2**20  # bytes read at a time: a row group of hundreds of megabytes is not held
_MOST = 2**26  # rows of a file: a file of a few bytes can say that it has any number
_LARGEST = 2**28  # bytes of the rows in memory at a time


class ParquetRows(Rows):
    """The examples of Parquet files, one file after another, none of them in memory.

    ``example`` makes one of a row (of ``columns``) and of the row's place, as ``file of repository, row 17``
    (rows of a file are counted from 0); ``label`` is the column of class indices, the task's own, which is
    read at once (``None``: there is none, all labels are 0); ``where`` is the repository; ``names`` are the
    files' names in it.

    Raises:
        DataError: a file is no Parquet file or lacks a column, or a row has no label.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        columns: Sequence[str],
        example: Callable[[Mapping[str, Any], str], Example],
        label: str | None,
        where: str,
        names: Sequence[str] | None = None,
    ) -> None:
        import numpy as np

        self._columns, self._example = list(columns), example
        named = [path.name for path in paths] if names is None else names
        self._files = [(path, f"{name} of {where}") for path, name in zip(paths, named, strict=True)]
        labels = [self._labels(*each, label) for each in self._files]
        self._starts = np.cumsum([0, *map(len, labels)])  # of each file, and the end
        self.labels = np.concatenate([np.zeros(0, dtype=np.int64), *labels])

    def take(self, places: Sequence[int]) -> list[Example]:
        import numpy as np

        wanted = np.asarray(places, dtype=np.int64)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"there are {len(self)} examples; found places {wanted.min()} to {wanted.max()}")
        made: dict[int, Example] = {}
        for number in range(len(self._files)):
            first, end = self._starts[number : number + 2]
            inside = np.unique(wanted[(wanted >= first) & (wanted < end)]) - first
            if len(inside):
                made.update(self._read(number, inside))
        return [made[int(place)] for place in wanted]

    def __iter__(self) -> Iterator[Example]:
        for number in range(len(self._files)):
            for _, each in self._read(number, None):
                yield each

    def _read(self, number: int, wanted: NDArray[np.int64] | None) -> Iterator[tuple[int, Example]]:
        """Places and examples of one file's rows: of those wanted, in ascending order, or of all."""
        path, where = self._files[number]
        first, end = map(int, self._starts[number : number + 2])
        found = 0
        for row, values in self._rows(path, where, end - first, wanted):
            found += 1
            each = self._example(values, f"{where}, row {row}")
            if each.label != self.labels[first + row]:
                raise DataError(
                    f"{where}, row {row}: the label {self.labels[first + row]} is needed, as when the file was "
                    f"opened; found {each.label}"
                )
            yield first + row, each
        _whole(where, end - first if wanted is None else len(wanted), found)

    def _rows(
        self, path: Path, where: str, size: int, wanted: NDArray[np.int64] | None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        with opened(path, self._columns, where) as file:
            if file.metadata.num_rows != size:
                raise DataError(
                    f"{where} has changed since it was opened; {size} rows are needed; "
                    f"found {file.metadata.num_rows}"
                )
            yield from every_row(file, self._columns, wanted)

    def _labels(self, path: Path, where: str, label: str | None) -> NDArray[np.int64]:
        import numpy as np

        if label is None:
            with opened(path, self._columns, where) as file:
                return np.zeros(file.metadata.num_rows, dtype=np.int64)
        needed = self._columns if label in self._columns else [*self._columns, label]
        with opened(path, needed, where) as file:
            labels = _class_indices(file, label, where)
            _whole(where, file.metadata.num_rows, len(labels))
            return labels


@contextmanager
def opened(path: Path | str, columns: Sequence[str], where: str) -> Iterator[Any]:
    """A ``pyarrow.parquet.ParquetFile`` that has these columns.

    Raises:
        DataError: it is none, it lacks a column, or reading from it fails.
    """
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER) as file:
            found = file.schema_arrow.names
            if not set(columns) <= set(found):
                raise DataError(f"{where} lacks a column; needed: {', '.join(columns)}; found: {', '.join(found)}")
            if file.metadata.num_rows > _MOST:
                raise DataError(f"{where}: at most {_MOST} rows are allowed; found {file.metadata.num_rows}")
            yield file
    except DataError:
        raise
    except Exception as error:  # whatever the library raises, to the user it is an unreadable file
        raise DataError(f"cannot read {where}; a Parquet file is needed; found: {one_line(error)}") from error


def every_row(
    file: Any, columns: list[str], wanted: NDArray[np.int64] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbers and contents of the rows of an open file: of the wanted, in ascending order, or of all."""
    end = 0
    for group in range(file.num_row_groups):
        start, end = end, end + file.metadata.row_group(group).num_rows
        inside = None if wanted is None else wanted[(wanted >= start) & (wanted < end)]
        if inside is None or len(inside):
            yield from _of_group(file, group, columns, start, inside)


def _whole(where: str, needed: int, found: int) -> None:
    if found != needed:
        raise DataError(f"cannot read {where}; {needed} rows are needed, as it says itself; found {found}")


def _of_group(
    file: Any, group: int, columns: list[str], start: int, wanted: NDArray[np.int64] | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbers and contents of one row group's rows, which begin at ``start``: the wanted, or all."""
    for batch in file.iter_batches(_BATCH, row_groups=[group], columns=columns):
        end = start + batch.num_rows
        if batch.nbytes > _LARGEST:
            raise ValueError(f"{batch.nbytes} bytes in {batch.num_rows} rows, which are none of text")
        if wanted is None:
            yield from enumerate(batch.to_pylist(), start)
        else:
            inside = wanted[(wanted >= start) & (wanted < end)]
            if len(inside):
                yield from zip(inside.tolist(), batch.take(inside - start).to_pylist(), strict=True)
            if end > wanted[-1]:
                return
        start = end


def _class_indices(file: Any, label: str, where: str) -> NDArray[np.int64]:
    import numpy as np
    import pyarrow

    kind = file.schema_arrow.field(label).type
    if not pyarrow.types.is_integer(kind):
        raise DataError(f"{where}: class indices are needed in the column {label}; found {one_line(kind)}")
    found = [np.zeros(0, dtype=np.int64)]
    row = 0
    for batch in file.iter_batches(columns=[label]):
        column = batch.column(0)
        values = column.cast(pyarrow.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        for wrong in np.flatnonzero(values < 0):
            raise DataError(
                f"{where}, row {row + wrong}: a label is needed, a class index; found {column[int(wrong)].as_py()}"
            )
        found.append(values)
        row += len(values)
        if row > file.metadata.num_rows:
            break
    return np.concatenate(found)
