"""What tutorials do, in Keras: `model.predict` on the last 50 rows for every new row, for `benchmarks.worker`.

Layers and sizes are those of our network, but for what is simpler: all fields of a row are predicted at once, so that
one call is enough. A unit is one row of each piece. Axes: b batch, t time step, f field.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when keras is imported

import keras  # pyright: ignore[reportMissingImports]  # the extra bench

WINDOW = 50


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what writes k rows of each piece, and returns the rows of each, of all pieces together."""
    keras.utils.set_random_seed(0)
    layers, sizes, batch_size = keras.layers, request["field_sizes"], request["batch_size"]
    inputs_btf = keras.Input((WINDOW, len(sizes)), dtype="int32")
    x = layers.Add()(
        [layers.Embedding(size, request["embedding_size"])(inputs_btf[..., field]) for field, size in enumerate(sizes)]
    )
    for k in range(request["num_layers"]):
        x = layers.LSTM(request["hidden_size"], return_sequences=k < request["num_layers"] - 1)(x)
    parts = keras.ops.split(layers.Dense(len(sizes) * request["head_size"], activation="gelu")(x), len(sizes), axis=-1)
    network = keras.Model(
        inputs_btf, [layers.Dense(size, activation="softmax")(part) for size, part in zip(sizes, parts, strict=True)]
    )
    rng = np.random.default_rng(0)
    window_btf = np.zeros((batch_size, WINDOW, len(sizes)), np.int32)

    def run(num_rows: int) -> float:
        nonlocal window_btf
        for _ in range(num_rows):
            row = []
            for chances_bv in network.predict(window_btf, batch_size=batch_size, verbose=0):
                above = np.cumsum(chances_bv, axis=1) > rng.random((batch_size, 1)) * chances_bv.sum(1, keepdims=True)
                row.append(above.argmax(axis=1))
            window_btf = np.concatenate([window_btf[:, 1:], np.stack(row, axis=1)[:, None]], axis=1).astype(np.int32)
        return batch_size

    return run
