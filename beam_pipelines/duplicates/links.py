"""Which pieces are connected, directly or through others, by links that come a few at a time."""

import numpy as np
from jaxtyping import Int32
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ostinato.beam_pipelines.duplicates.pairs import Pairs

Labels = Int32[np.ndarray, " n"]
"""For each piece the least number of the pieces that it is connected with."""


def no_links(num_pieces: int) -> Labels:
    """Returns the labels of pieces that are all alone."""
    return np.arange(num_pieces, dtype=np.int32)


def connect(label: Labels, pairs: Pairs) -> Labels:
    """Returns the labels when the pairs are linked too."""
    one, other = (label[ends] for ends in pairs)
    apart = one != other
    if not apart.any():
        return label
    labels, place = np.unique(np.concatenate([one[apart], other[apart]]), return_inverse=True)
    first, second = np.split(place, 2)
    graph = coo_array((np.ones(len(first), np.bool_), (first, second)), shape=(len(labels), len(labels)))
    count, part = connected_components(graph, directed=False)
    least = np.full(count, len(label), np.int32)
    np.minimum.at(least, part, labels)
    renamed = no_links(len(label))
    renamed[labels] = least[part]
    return renamed[label]


def best_of(label: Labels, rank: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
    """Returns for each piece the one with the highest rank of those with the same label.

    Args:
        label: numbers of pieces.
        rank: from 0, no two are equal.
    """
    highest = np.full(len(label), -1, np.int32)
    np.maximum.at(highest, label, rank)
    ranked = np.empty(len(rank), np.int32)
    ranked[rank] = np.arange(len(rank), dtype=np.int32)
    return ranked[highest[label]]
