"""Fills a vector store, batch after batch, until it is killed. Called by test_vector_store.py as a program of its own.

    killed_store.py FOLDER BATCHES SIZE INDEX

It goes on from what it finds in the folder and prints a line when a batch is committed: the passages that the store then has. If INDEX
is not "none", it then makes that index again and again.
"""

import sys

import numpy as np

from lablib.adaptation.vector_store import VectorStore

WIDTH = 32


def vector(number: int) -> np.ndarray:
    """The vector of passage `number`, always the same."""
    return np.random.default_rng(number).normal(size=WIDTH)


if __name__ == "__main__":
    folder, batches, size, index = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    store = VectorStore(folder, WIDTH)
    for start in range(len(store), len(store) + batches * size, size):
        numbers = range(start, start + size)
        store.add([f"p{i}" for i in numbers], np.array([vector(i) for i in numbers]), [f"text {i}" for i in numbers])
        print(len(store), flush=True)
    while index != "none":
        store.build_index(index)
        print(index, flush=True)
