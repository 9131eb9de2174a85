"""What arrays are, in words and as a digest: Orbax restores a flipped bit in silence, so each checkpoint holds both."""

import hashlib
import json
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


def array_types(tree: Any) -> dict[str, str]:
    """Returns dtype and shape of each leaf by its path, such as `params/head/kernel: float32[16,64]`."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def tree_sha256(tree: Any) -> str:
    """Returns the SHA-256 over path, dtype, shape and bytes (little-endian, row-major) of each leaf, sorted by path.

    Where hosts hold different parts of a leaf, all of them have to call it, and get the same digest.
    """
    digest = hashlib.sha256()
    for (name, kind), leaf in sorted(zip(array_types(tree).items(), jax.tree.leaves(tree), strict=True), key=_name):
        values = _whole(leaf)
        digest.update(f"{name}: {kind}\n".encode())
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def json_sha256(document: Any) -> str:
    """Returns the SHA-256 of a document of JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _whole(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    return np.asarray(leaf)


def _name(entry: tuple[tuple[str, str], Any]) -> str:
    return entry[0][0]
