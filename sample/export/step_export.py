"""The sampling step as a StableHLO artifact that runs without ostinato: one call writes one row of eight sequences.

`ostinato export RUN OUT` writes it to OUT/step.stablehlo, in the form of `jax.export`, for CPU, CUDA and TPU:

    import jax, numpy
    from jax import export
    from safetensors.numpy import load_file

    step = export.deserialize(open("step.stablehlo", "rb").read())
    parameters, begin = load_file("parameters.safetensors"), load_file("start.safetensors")
    state = {name[6:]: value for name, value in begin.items() if name.startswith("state/")}
    controls = {name[9:]: value for name, value in begin.items() if name.startswith("controls/")}
    inputs = {"seed": numpy.uint32(1), "piece": numpy.arange(8, dtype=numpy.uint32),
              "given": numpy.zeros((8, F), numpy.int32), "is_given": numpy.zeros(8, bool)}  # F fields
    call = jax.jit(step.call)
    for _ in range(100):
        written, state = call(parameters, state, controls, inputs)  # written["row"] is int32 [8, F]

The rows are those that `ostinato sample --seed 1` draws for the pieces 0 to 7. `controls` are those of default options;
their names are the options', and another value compiles nothing. Where `is_given` is True, `given` is written instead
of what is drawn: that is how a primer is played. `state` is that after START; it is opaque but for its names.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from safetensors.numpy import save

from ostinato.configs.schema import SampleConfig
from ostinato.data.atomic import write_atomically
from ostinato.model.torch_layout import from_torch_layout, to_torch_layout
from ostinato.sample.controls import controls_for
from ostinato.sample.draws import draw
from ostinato.sample.step import Network, start_states, write_row
from ostinato.train.checkpoint import LoadedRun

STEP, BEGIN = "step.stablehlo", "start.safetensors"
BATCH_SIZE = 8
"""Sequences of a call: one of the widths of `step.py`."""

PLATFORMS = ("cpu", "cuda", "tpu")

Arrays = dict[str, Any]
"""Arrays by name: the only trees in the artifact, so that nothing of ours is needed to read it."""


def write_step(run: LoadedRun, folder: Path) -> dict[str, Any]:
    """Writes step.stablehlo and start.safetensors, and returns the description of the call.

    Everything that goes in and out is arrays by name; the module docstring shows how to call it.
    """
    model, codec, config = run.model, run.codec, run.config.model
    controls_tree = jax.tree.map(jnp.asarray, controls_for(config, SampleConfig(), codec))
    state_tree = jax.tree.map(lambda leaf: leaf[0], start_states(model, codec, 1, BATCH_SIZE, controls_tree))

    def step(parameters: Arrays, state: Arrays, controls: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        seed_key = jax.random.key(inputs["seed"])
        keys = jax.vmap(jax.random.fold_in, (None, 0))(seed_key, inputs["piece"])
        old = _tree(state, state_tree)
        new_state, written = write_row(
            model,
            codec,
            False,
            Network(from_torch_layout(parameters, config), None),
            _tree(controls, controls_tree),
            None,
            old,
            draw(codec, keys, old.step[None])[0],
            inputs["given"],
            inputs["is_given"],
        )
        return _arrays(written), _arrays(new_state)

    inputs = {
        "seed": np.uint32(0),
        "piece": np.zeros(BATCH_SIZE, np.uint32),
        "given": np.zeros((BATCH_SIZE, len(codec.fields)), np.int32),
        "is_given": np.zeros(BATCH_SIZE, bool),
    }
    state, controls = _arrays(state_tree), _arrays(controls_tree)
    arguments = {
        "parameters": to_torch_layout(run.params, config),
        "state": state,
        "controls": controls,
        "inputs": inputs,
    }
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), tuple(arguments.values()))
    exported = export.export(jax.jit(step), platforms=PLATFORMS)(*shapes)
    begin = {f"state/{name}": value for name, value in state.items()}
    begin |= {f"controls/{name}": value for name, value in controls.items()}
    write_atomically(folder / STEP, bytes(exported.serialize()))
    write_atomically(folder / BEGIN, save({name: np.asarray(value, order="C") for name, value in begin.items()}))
    written, _ = jax.eval_shape(step, *shapes)
    return {
        "batch_size": BATCH_SIZE,
        "platforms": list(PLATFORMS),
        "arguments": {name: _types(value) for name, value in arguments.items() if name != "parameters"},
        "results": {"written": _types(written), "state": "as the argument"},
        "calling_convention_version": exported.calling_convention_version,
    }


def _arrays(tree: Any) -> Arrays:
    """Returns the leaves of a tree by their path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _tree(arrays: Arrays, like: Any) -> Any:
    """Returns the tree that `_arrays` took apart."""
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in _arrays(like)])


def _types(arrays: Arrays) -> dict[str, str]:
    return {name: f"{leaf.dtype}{list(np.shape(leaf))}" for name, leaf in arrays.items()}
