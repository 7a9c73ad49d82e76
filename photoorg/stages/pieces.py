"""The vectors of an index build, split by shard slot: every vector file is read once for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from photoorg.index.photo_ids import slot_of
from photoorg.space import EmbeddingSpace
from photoorg.stages.vectors import Halves, Keys
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run

BUFFER_BYTES = 64_000_000
"""Vectors held before they are written out."""
PIECES_PER_GROUP = 10_000


class Pieces:
    """What each slot of a version is to hold, in numbered files of a scratch folder.

    The files of vectors are read in groups, by any number of workers. The pieces of a slot come
    back in the order of the groups and, within one, of its rows, so that of a photo that comes
    twice the later vectors stay the later ones. A group that is split again overwrites its pieces.
    Memory: `buffer_bytes` and one file while splitting, one piece while reading.
    """

    def __init__(
        self,
        store: ObjectStore,
        scratch: str,
        space: EmbeddingSpace,
        shards: int,
        *,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self._run = Run(store, scratch)
        self._space = space
        self._shards = shards
        self._buffer_bytes = buffer_bytes

    def split(self, group: int, batches: Iterable[tuple[Keys, Halves]]) -> int:
        """Write the rows of one group's files to their slots; how many there were."""
        waiting: list[tuple[Keys, Halves]] = []
        held = rows = number = 0
        for keys, x_nw in batches:
            # In steps, for one file may be larger than the buffer.
            step = max(1, self._buffer_bytes // (2 * self._space.width))
            for at in range(0, len(keys), step):
                piece = keys[at : at + step], x_nw[at : at + step]
                waiting.append(piece)
                held += piece[1].nbytes
                if held >= self._buffer_bytes:
                    self._write(group * PIECES_PER_GROUP + number, waiting)
                    waiting, held, number = [], 0, number + 1
            rows += len(keys)
        if waiting:
            self._write(group * PIECES_PER_GROUP + number, waiting)
            number += 1
        assert number <= PIECES_PER_GROUP, "a group has no more pieces than numbers"
        return rows

    def of_slot(self, slot: int) -> Iterator[tuple[Keys, Halves]]:
        """Keys [n, 32] and float16 vectors [n, space.width] of one slot, piece by piece."""
        name = _family(slot)
        for number in self._run.parts(name):
            table = self._run.read_part(number, name)
            keys = _bytes_of(table["key"]).reshape(len(table), 32)
            yield keys, _bytes_of(table["vector"]).view(np.float16).reshape(len(table), -1)

    def _write(self, number: int, rows: list[tuple[Keys, Halves]]) -> None:
        keys = np.concatenate([k for k, _ in rows])
        x_nw = np.concatenate([x for _, x in rows])
        slots = slot_of(keys, self._shards)
        for slot in np.unique(slots):
            mine = slots == slot
            columns = {"key": _binary(keys[mine]), "vector": _binary(x_nw[mine])}
            self._run.write_part(number, pa.table(columns), _family(int(slot)))


def _family(slot: int) -> str:
    return f"slot{slot}"


def _binary(rows: Keys | Halves) -> pa.Array:
    """Rows of an array [n, m] as fixed-size binary values: quick both ways."""
    raw = np.ascontiguousarray(rows)
    width = raw.shape[1] * raw.itemsize
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(raw), [None, pa.py_buffer(raw)]
    )


def _bytes_of(column: pa.ChunkedArray) -> Keys:
    array = column.combine_chunks()
    width = array.type.byte_width
    raw = np.frombuffer(array.buffers()[1], np.uint8)
    return raw[array.offset * width : (array.offset + len(array)) * width]
