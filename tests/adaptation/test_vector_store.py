"""LanceDB against the learner's matrix; what is kept when the program ends, or is killed; and what it must refuse."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from killed_store import WIDTH, vector

from lablib.adaptation.dense import cosine_top_k
from lablib.adaptation.vector_store import VectorStore, _lancedb

pytest.importorskip("lancedb")
HERE = Path(__file__).parent


def clustered(N: int, seed: int = 0) -> np.ndarray:
    """(N, WIDTH) in 30 clusters: real vectors of texts are not spread evenly either."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(30, WIDTH))
    return (centres[draw.integers(0, 30, N)] + 0.4 * draw.normal(size=(N, WIDTH))).astype(np.float32)


def filled(folder: Path, N: int = 3000) -> tuple[VectorStore, np.ndarray]:
    store, matrix = VectorStore(folder, WIDTH), clustered(N)
    store.add([f"p{i}" for i in range(N)], matrix, [f"text {i}" for i in range(N)])
    return store, matrix


def recall(store: VectorStore, matrix: np.ndarray, queries: np.ndarray, **how) -> float:
    """The share of the true 10 nearest that a search finds; the scores of all must be their true cosines."""
    shares = []
    for query in queries:
        cosines, rows = cosine_top_k(torch.tensor(matrix), torch.tensor(query), 10)
        found = store.search(query, 10, **how)
        lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(query)
        numbers = [int(one.id[1:]) for one in found]
        np.testing.assert_allclose([one.score for one in found], (matrix @ query / lengths)[numbers], atol=1e-5)
        shares.append(len({one.id for one in found} & {f"p{i}" for i in rows.tolist()}) / 10)
        if how.get("exact", True):
            np.testing.assert_allclose([one.score for one in found], cosines, atol=1e-5)
    return float(np.mean(shares))


# ------------------------------------------------------------------ the same as the matrix


def test_exact_search_is_the_learners(tmp_path):
    store, matrix = filled(tmp_path)
    queries = clustered(20, seed=1)
    assert recall(store, matrix, queries) == 1
    found = store.search(matrix[7] * 12.5, 3)  # the length does not matter
    assert found[0] == ("p7", "text 7", pytest.approx(1, abs=1e-6))


def test_groups_looked_into_are_recall(tmp_path):
    store, matrix = filled(tmp_path)
    queries = clustered(30, seed=1)
    store.build_index("ivf", groups=11)
    assert store.index() == "IvfFlat"
    shares = [recall(store, matrix, queries, exact=False, probes=probes) for probes in (1, 3, 11)]
    assert shares[0] < shares[1] < shares[2] == 1  # with every group looked into nothing is missed
    assert recall(store, matrix, queries, exact=True, probes=1) == 1


def test_a_breadth_below_what_is_compared_again_is_no_error(tmp_path):
    store, matrix = filled(tmp_path, 600)
    store.build_index("hnsw")
    assert len(store.search(matrix[0], 10, exact=False, breadth=20)) == 10  # with refine = 10 LanceDB needs 100


def test_breadth_of_the_walk_is_recall(tmp_path):
    store, matrix = filled(tmp_path)
    queries = clustered(30, seed=1)
    store.build_index("hnsw")
    assert store.index() == "IvfHnswFlat"
    narrow, wide = (recall(store, matrix, queries, exact=False, breadth=b, refine=1) for b in (10, 500))
    assert narrow <= wide
    assert wide > 0.99
    assert recall(store, matrix, queries, exact=True) == 1


def test_quantised_vectors_are_blurred_and_comparing_again_mends_it(tmp_path):
    store, matrix = filled(tmp_path)
    queries = clustered(30, seed=1)
    store.build_index("pq", groups=11)
    assert store.index() == "IvfPq"
    shares = [recall(store, matrix, queries, exact=False, probes=11, refine=refine) for refine in (1, 10, 300)]
    assert shares[0] < shares[1] < shares[2] == 1  # 300 · 10 proposals are all passages
    assert recall(store, matrix, queries, exact=True) == 1


def test_what_is_added_after_the_index_is_found(tmp_path):
    store, matrix = filled(tmp_path)
    store.build_index("ivf", groups=11)
    store.add(["new"], -matrix[:1], ["the opposite"])
    assert store.search(-matrix[0], 1, exact=False)[0][:2] == ("new", "the opposite")


def test_another_index_takes_the_place(tmp_path):
    store, _ = filled(tmp_path, 300)
    for kind, name in [("ivf", "IvfFlat"), ("hnsw", "IvfHnswFlat")]:
        store.build_index(kind)
        assert store.index() == name


# ------------------------------------------------------------------ kept, changed, removed


def test_it_is_kept_when_the_program_ends(tmp_path):
    folder = tmp_path / "made" / "by it"
    code = "from lablib.adaptation.vector_store import VectorStore; " \
           f"VectorStore({str(folder)!r}, 2).add(['a', \"b'c\"], [[1, 0], [0, 1]], ['Ünïcode ☃', ''])"  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE.parent.parent)
    store = VectorStore(folder)
    assert (len(store), store.width, sorted(store.ids()), store.index()) == (2, 2, ["a", "b'c"], "")
    assert store.search([0.6, 0.8], 5) == [
        ("b'c", "", pytest.approx(0.8, abs=1e-6)),
        ("a", "Ünïcode ☃", pytest.approx(0.6, abs=1e-6)),
    ]


def test_knowledge_is_updated_and_removed(tmp_path):
    store = VectorStore(tmp_path, 2)
    store.add(["miller", "baker"], np.eye(2), ["The mill is red.", "Bread."])
    store.update(["miller", "smith"], [[1, 0], [1, 1]], ["The mill is blue.", "Iron."])
    assert store.search([1, 0], 1)[0].text == "The mill is blue."
    assert sorted(store.ids()) == ["baker", "miller", "smith"]
    store.add(["o'brien"], [[-1, 0]], ["x"])
    store.remove(["miller", "o'brien"])
    assert sorted(VectorStore(tmp_path).ids()) == ["baker", "smith"]
    assert store.search([1, 0], 1)[0].id == "smith"
    store.remove([])
    assert len(store) == 2


# ------------------------------------------------------------------ killed


def start(folder: Path, batches: int, size: int, index: str = "none") -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent.parent)}
    return subprocess.Popen(
        [sys.executable, str(HERE / "killed_store.py"), str(folder), str(batches), str(size), index],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def whole(folder: Path, size: int) -> VectorStore:
    """The store, opened again, of which every batch must be there entirely or not at all."""
    store = VectorStore(folder, WIDTH)
    assert len(store) % size == 0
    assert sorted(store.ids(), key=lambda name: int(name[1:])) == [f"p{i}" for i in range(len(store))]
    for number in range(0, len(store), max(1, len(store) // 7)):
        assert store.search(vector(number), 1)[0] == (f"p{number}", f"text {number}", pytest.approx(1, abs=1e-5))
    return store


def test_a_killed_program_loses_nothing_that_was_committed(tmp_path):
    draw = random.Random()  # new moments every time: whatever they are, it must hold
    size, reached, killed = 200, 0, 0
    for _ in range(5):
        child = start(tmp_path, batches=1000, size=size)
        assert child.stdout is not None
        committed = [int(child.stdout.readline()) for _ in range(draw.randrange(1, 4))]
        time.sleep(draw.uniform(0, 0.06))  # a batch takes about 0.02 s
        child.kill()
        committed += [int(line) for line in child.stdout.read().split("\n")[:-1]]
        killed += child.wait() == -9
        store = whole(tmp_path, size)
        assert len(store) >= committed[-1] > reached
        reached = len(store)
    assert killed == 5
    store.add(["after"], [vector(10**6)], ["and it can be written to"])
    assert store.search(vector(10**6), 1)[0].id == "after"


def test_killed_while_an_index_is_made(tmp_path):
    draw = random.Random()
    for kind in ("hnsw", "ivf"):
        child = start(tmp_path, batches=1, size=2000, index=kind)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(draw.uniform(0, 0.4))
        child.kill()
        child.communicate()
        assert child.returncode == -9
        store = whole(tmp_path, 2000)
        assert store.search(vector(5), 1, exact=False, breadth=100)[0].id == "p5"
        store.build_index("ivf")


# ------------------------------------------------------------------ bad input


def test_duplicate_ids_are_named_and_nothing_is_written(tmp_path):
    store = VectorStore(tmp_path, 2)
    store.add(["a"], [[1, 0]], ["one"])
    with pytest.raises(
        ValueError, match=r"ids: 'a' is in the store already \(as are 0 others\); expected new ones: `update` replaces"
    ):
        store.add(["b", "a"], np.eye(2), ["two", "three"])
    with pytest.raises(ValueError, match="ids: 'b' comes twice; expected each id once"):
        store.add(["b", "c", "b"], np.ones((3, 2)), ["two", "three", "four"])
    with pytest.raises(ValueError, match="ids: 'b' comes twice"):
        store.update(["b", "b"], np.ones((2, 2)), ["two", "three"])
    assert store.ids() == ["a"]
    with pytest.raises(ValueError, match=r"ids: 'b' is not in the store \(nor are 1 others\)"):
        store.remove(["c", "a", "b"])
    assert store.ids() == ["a"]


def test_nothing_is_stored_of_what_is_wrong(tmp_path):
    store = VectorStore(tmp_path, 2)
    for vectors in ([[0, 0]], [[np.nan, 1]], [[np.inf, 1]]):
        with pytest.raises(ValueError, match="vectors: that of 'a' is all zeros or has NaN or ∞ in it"):
            store.add(["a"], vectors, ["one"])
    for ids, vectors, texts in [(["a"], [[1, 2, 3]], ["x"]), (["a"], [[1, 2]], []), (["a", "b"], [[1, 2]], ["x", "y"])]:
        with pytest.raises(ValueError, match=r"expected N ids, \(N, 2\) and N texts"):
            store.add(ids, vectors, texts)
    for name, text in [("a", b"\xff"), (7, "x"), ("", "x")]:
        with pytest.raises(ValueError, match=r"ids\[0\] = .* its text .*: expected two strings, the first not empty"):
            store.add([name], [[1, 2]], [text])
    store.add([], np.zeros((0, 2)), [])
    assert len(store) == 0


def test_an_empty_store_finds_nothing_and_bad_queries_are_refused(tmp_path):
    store = VectorStore(tmp_path, 2)
    assert store.search([1, 0], 3) == []
    with pytest.raises(ValueError, match=r"k = 0, refine = 10, query of shape \(2,\): expected at least 1"):
        store.search([1, 0], 0)
    with pytest.raises(ValueError, match=r"query of shape \(3,\)"):
        store.search([1, 0, 0], 1)
    for query in ([0, 0], [np.nan, 1]):
        with pytest.raises(ValueError, match="query is all zeros or has NaN or ∞ in it: it points nowhere"):
            store.search(query, 1)
    with pytest.raises(ValueError, match="kind = 'ivf', groups = None, 0 passages: expected one of"):
        store.build_index("ivf")
    with pytest.raises(ValueError, match="kind = 'lsh'"):
        filled(tmp_path / "full")[0].build_index("lsh")
    with pytest.raises(
        ValueError, match=r"groups = 12, 3000 passages: expected one of .* and 256 passages for each group"
    ):
        VectorStore(tmp_path / "full").build_index("ivf", groups=12)


def test_widths(tmp_path):
    with pytest.raises(
        ValueError, match=r"width = None, and .* holds no store yet: expected the length of its vectors"
    ):
        VectorStore(tmp_path)
    VectorStore(tmp_path, 2)
    with pytest.raises(ValueError, match=r"width = 3: .* holds vectors of 2; was it made with another encoder"):
        VectorStore(tmp_path, 3)


def test_without_lancedb_one_line_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ModuleNotFoundError) as error:
        VectorStore(tmp_path, 2)
    assert str(error.value) == (
        "LanceDB is not installed: pip install 'lancedb>=0.20'; without it the lab searches in its own matrix (`Dense`)"
    )
    with pytest.raises(ModuleNotFoundError):
        _lancedb()
