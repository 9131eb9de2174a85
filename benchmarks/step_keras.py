"""The training step of the same network in Keras 3 on JAX, for `benchmarks.worker`.

`stateful` layers keep the memory from batch to batch; it is not reset where pieces begin. Axes: b batch, t time step,
f field.
"""

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

os.environ["KERAS_BACKEND"] = "jax"  # the fastest of its backends on this machine; read when keras is imported

import keras  # pyright: ignore[reportMissingImports]  # the extra bench


def _network(request: dict[str, Any], batch_size: int, length: int) -> Any:
    layers, sizes = keras.layers, request["field_sizes"]
    inputs_btf = keras.Input(batch_shape=(batch_size, length, len(sizes)), dtype="int32")
    targets_btf = keras.Input(batch_shape=(batch_size, length, len(sizes)), dtype="int32")
    x = layers.Add()(
        [layers.Embedding(size, request["embedding_size"])(inputs_btf[..., field]) for field, size in enumerate(sizes)]
    )
    for _ in range(request["num_layers"]):
        x = layers.LSTM(request["hidden_size"], return_sequences=True, stateful=True)(x)
    parts = keras.ops.split(layers.Dense(len(sizes) * request["head_size"])(x), len(sizes), axis=-1)
    logits = []
    for field, part in enumerate(parts):
        for before in range(field):
            part = part + layers.Embedding(sizes[before], request["head_size"])(targets_btf[..., before])
        logits.append(layers.Dense(sizes[field])(keras.activations.gelu(part, approximate=True)))
    return keras.Model([inputs_btf, targets_btf], logits)


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what runs k steps on the batches of `request`."""
    keras.utils.set_random_seed(0)
    arrays = np.load(request["batches"])
    batches = itertools.cycle(list(zip(arrays["inputs"], arrays["targets"], arrays["weights"], strict=True)))
    network = _network(request, *arrays["weights"].shape[1:])
    num_fields = len(request["field_sizes"])
    network.compile(
        optimizer=keras.optimizers.Adam(request["learning_rate"], global_clipnorm=1.0),
        loss=[keras.losses.SparseCategoricalCrossentropy(from_logits=True) for _ in range(num_fields)],
        jit_compile=True,
    )

    def run(num_steps: int) -> float:
        loss: Any = np.nan
        for _ in range(num_steps):
            inputs, targets, weights = next(batches)
            columns = [targets[..., field] for field in range(num_fields)]
            loss = network.train_on_batch([inputs, targets], columns, sample_weight=[weights] * num_fields)
        return float(np.ravel(loss)[0])

    return run
