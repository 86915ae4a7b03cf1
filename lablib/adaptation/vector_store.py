"""A real vector database: passages and their vectors on disk, found by their nearness. A thin wrapper of LanceDB, embedded, no server.

The learner's matrix lives in memory, is gone when the program ends, and every search reads all of it. A database keeps it in a
folder, takes changes while it is used, and can look at a part only:

- *exact*: every vector is compared, as in `cosine_top_k`; the answer is right, the time grows with N.
- *ivf* (inverted file): the vectors are put into groups around centres that k-means finds; a search looks into the groups whose centres are
  nearest (`probes`), and misses what lies behind the border of one it did not look into.
- *hnsw* (hierarchical navigable small worlds): a graph of neighbours, walked from vector to nearer vector; `breadth` is how many are
  kept in view. Malkov and Yashunin 2020, "Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical
  Navigable Small World Graphs".
- *pq* (product quantisation, in an inverted file): each vector is kept in a few bytes instead of 4 D, and compared by them; what
  looks nearest is compared again exactly. Jégou, Douze and Schmid 2011, "Product Quantization for Nearest Neighbor Search".

What an addition writes counts from one moment on, that of its commit, and entirely; a program that is killed before it leaves files
that nobody reads. That holds for a killed program; whether it holds when the power goes depends on the disk. One program writes at a time.

Left out: filters by other columns, full-text search, versions (LanceDB has them), a server.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

TABLE = "passages"
INDEXES = ("ivf", "hnsw", "pq")
GROUP = 256  # vectors for each group that LanceDB asks for, or it makes fewer groups


class Found(NamedTuple):
    """A passage that a store returned: its id, its text and the cosine of its vector and the query's."""

    id: str
    text: str
    score: float


class VectorStore:
    """Passages with their vectors in a folder.

    Args:
        folder: where it is; made if it is not there.
        width: D, the numbers in a vector; None takes it from what is stored there.
    Raises:
        ModuleNotFoundError: LanceDB is not installed. ValueError: nothing is stored there and no width is given, or another width is.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = VectorStore(folder, width=2)
    ...     store.add(["cat", "dog"], [[3.0, 4.0], [0.0, 1.0]], ["It purrs.", "It barks."])
    ...     VectorStore(folder).search([1.0, 0.0], k=1)[0].id  # opened again: it is still there
    'cat'
    """

    def __init__(self, folder: str | Path, width: int | None = None) -> None:
        database = _lancedb().connect(str(folder))
        exists = TABLE in database.list_tables().tables
        if not exists and (width is None or width < 1):
            raise ValueError(
                f"width = {width}, and {folder} holds no store yet: expected the length of its vectors, such as 384"
            )
        if exists:
            self._table: Any = database.open_table(TABLE)
        else:
            import pyarrow as pa

            kinds = {"id": pa.string(), "vector": pa.list_(pa.float32(), width), "text": pa.string()}
            self._table = database.create_table(
                TABLE, schema=pa.schema([pa.field(*kind, nullable=False) for kind in kinds.items()])
            )
        self.width: int = self._table.schema.field("vector").type.list_size
        if width not in (None, self.width):
            raise ValueError(
                f"width = {width}: {folder} holds vectors of {self.width}; was it made with another encoder?"
            )

    def __len__(self) -> int:
        return self._table.count_rows()

    def ids(self) -> list[str]:
        """The ids of all passages."""
        return self._table.search().select(["id"]).to_arrow()["id"].to_pylist()

    # ------------------------------------------------------------ writing

    def add(self, ids: Sequence[str], vectors: ArrayLike, texts: Sequence[str]) -> None:
        """Store new passages, all of them or, if anything is wrong or the program is killed, none.

        Args:
            ids: N names, each once and not in the store yet. vectors: (N, D), kept in float32. texts: N passages.
        Raises:
            ValueError: an id that is there already or comes twice, other shapes, a vector of zeros or with NaN; names the id.
        """
        rows = self._rows(ids, vectors, texts)
        if known := sorted(set(ids) & set(self.ids())):
            raise ValueError(
                f"ids: {known[0]!r} is in the store already (as are {len(known) - 1} others); expected new ones: `update` replaces"
            )
        if len(ids):
            self._table.add(rows)

    def update(self, ids: Sequence[str], vectors: ArrayLike, texts: Sequence[str]) -> None:
        """Replace passages, and add those that are not there: the new knowledge is found from the next search on.

        Args and Raises: as in `add`, but for ids that are there already.
        """
        rows = self._rows(ids, vectors, texts)
        if len(ids):
            self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def remove(self, ids: Sequence[str]) -> None:
        """Take passages out.

        Raises:
            ValueError: an id that is not there; names it.
        """
        if missing := sorted(set(ids) - set(self.ids())):
            raise ValueError(f"ids: {missing[0]!r} is not in the store (nor are {len(missing) - 1} others)")
        if len(ids):
            quoted = ", ".join("'" + one.replace("'", "''") + "'" for one in ids)
            self._table.delete(f"id IN ({quoted})")

    def _rows(self, ids: Sequence[str], vectors: ArrayLike, texts: Sequence[str]) -> Any:
        """The passages as a table of Arrow, checked."""
        import pyarrow as pa

        matrix = (
            np.ascontiguousarray(vectors, dtype=np.float32).reshape(len(ids), -1)
            if len(ids)
            else np.zeros((0, self.width))
        )
        if len(texts) != len(ids) or matrix.shape != (len(ids), self.width):
            raise ValueError(
                f"{len(ids)} ids, vectors {np.shape(vectors)}, {len(texts)} texts: expected N ids, (N, {self.width}) and N texts"
            )
        for number, (name, text) in enumerate(zip(ids, texts, strict=True)):
            if not isinstance(name, str) or not isinstance(text, str) or not name:
                raise ValueError(
                    f"ids[{number}] = {name!r:.60}, its text {text!r:.40}: expected two strings, the first not empty"
                )
        if twice := [name for name, times in Counter(ids).items() if times > 1]:
            raise ValueError(f"ids: {twice[0]!r} comes twice; expected each id once")
        lengths = np.linalg.norm(matrix, axis=1) if len(ids) else np.ones(0)
        if len(wrong := np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))):
            raise ValueError(
                f"vectors: that of {ids[wrong[0]]!r} is all zeros or has NaN or ∞ in it: it points nowhere"
            )
        column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel(), pa.float32()), self.width)
        return pa.table([pa.array(ids, pa.string()), column, pa.array(texts, pa.string())], schema=self._table.schema)

    # ------------------------------------------------------------ searching

    def build_index(self, kind: str, groups: int | None = None) -> None:
        """Make an index, in place of the one before; what is added later is found without it, exactly, until it is made again.

        Args:
            kind: one of `INDEXES`. groups: centres of "ivf" and "pq", at most N / 256; None: LanceDB's choice. "hnsw" makes one graph.
        Raises:
            ValueError: no such kind, more groups, or fewer than 256 passages, where comparing all of them is faster.
        """
        from lancedb.index import HnswFlat, IvfFlat, IvfPq

        if kind not in INDEXES or not 1 <= (groups or 1) <= len(self) // GROUP:
            raise ValueError(
                f"kind = {kind!r}, groups = {groups}, {len(self)} passages: expected one of {INDEXES}, and {GROUP} passages for each group"
            )
        if kind == "hnsw":
            config: Any = HnswFlat(distance_type="cosine", num_partitions=1)
        else:
            config = (IvfFlat if kind == "ivf" else IvfPq)(distance_type="cosine", num_partitions=groups)
        self._table.create_index("vector", config=config, replace=True)

    def index(self) -> str:
        """The kind of index that there is, as LanceDB names it, such as "IvfFlat"; "" for none."""
        return next((str(one.index_type) for one in self._table.list_indices()), "")

    def search(
        self,
        query: ArrayLike,
        k: int,
        exact: bool = True,
        probes: int | None = None,
        breadth: int | None = None,
        refine: int = 10,
    ) -> list[Found]:
        """The k nearest passages, the nearest first.

        Args:
            query: (D,), of any length but 0.
            exact: compare every vector; False: by the index, if there is one.
            probes: groups of "ivf" and "pq" that are looked into. breadth: of "hnsw", at least refine · k. None: LanceDB's choice.
            refine: of an index refine · k proposals are compared exactly, at least 1; more mend what "pq" has blurred.
        Raises:
            ValueError: k or refine below 1, a query of another shape, of zeros or with NaN.
        """
        vector = np.asarray(query, dtype=np.float32)
        if k < 1 or refine < 1 or vector.shape != (self.width,):
            raise ValueError(
                f"k = {k}, refine = {refine}, query of shape {vector.shape}: expected at least 1, at least 1, and ({self.width},)"
            )
        if not np.isfinite(vector).all() or not vector.any():
            raise ValueError("query is all zeros or has NaN or ∞ in it: it points nowhere; is the question empty?")
        asked = self._table.search(vector, vector_column_name="vector").distance_type("cosine").limit(k)
        if exact:
            asked = asked.bypass_vector_index()
        else:
            asked = asked.refine_factor(refine)  # without it the scores are the index's own, in its own unit
            asked = asked.nprobes(probes) if probes else asked
            asked = asked.ef(max(breadth, refine * k)) if breadth else asked
        rows = asked.select(["id", "text", "_distance"]).to_list()
        return [Found(row["id"], row["text"], 1 - row["_distance"]) for row in rows]


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise ModuleNotFoundError(
            "LanceDB is not installed: pip install 'lancedb>=0.20'; without it the lab searches in its own matrix (`Dense`)"
        ) from error
    return lancedb
