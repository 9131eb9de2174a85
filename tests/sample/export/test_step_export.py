"""The exported step runs where nothing of ostinato is, and draws what `ostinato sample` draws."""

import json
import subprocess
import sys

import numpy as np
import pytest

from ostinato.configs.schema import SampleConfig
from ostinato.launch.cli import main
from ostinato.sample.export.exchange import PARAMETERS
from ostinato.sample.generate import generate
from tests.sample.runs import untrained, write_run
from tests.sample.tiny_models import CONFIG, MLSTM

pytestmark = pytest.mark.slow

_ALONE = """
import sys

import jax
import numpy
from jax import export
from safetensors.numpy import load_file

folder, seed, num_rows, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
step = export.deserialize(open(f"{folder}/step.stablehlo", "rb").read())
parameters, begin = load_file(f"{folder}/parameters.safetensors"), load_file(f"{folder}/start.safetensors")
state = {name[6:]: value for name, value in begin.items() if name.startswith("state/")}
controls = {name[9:]: value for name, value in begin.items() if name.startswith("controls/")}
controls["temperature"] = controls["temperature"] * numpy.float32(0.9)
inputs = {
    "seed": numpy.uint32(seed),
    "piece": numpy.arange(8, dtype=numpy.uint32),
    "given": numpy.zeros((8, 5), numpy.int32),
    "is_given": numpy.zeros(8, bool),
}
call, rows = jax.jit(step.call), []
for _ in range(num_rows):
    written, state = call(parameters, state, controls, inputs)
    rows.append(numpy.asarray(written["row"]))
assert not any(name.split(".")[0] in ("ostinato", "flax", "orbax") for name in sys.modules)
numpy.save(out, numpy.stack(rows, axis=1))
"""


@pytest.mark.parametrize("config", [CONFIG, MLSTM], ids=["lstm", "mlstm"])
def test_the_exported_step_draws_the_same_rows_without_ostinato(tmp_path, config):
    run = untrained(config=config)
    write_run(tmp_path / "run", run)
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    command = [sys.executable, "-I", "-c", _ALONE, str(tmp_path / "out"), "5", "60", str(tmp_path / "rows.npy")]
    subprocess.run(command, check=True, capture_output=True)
    rows = np.load(tmp_path / "rows.npy")
    # So many notes that no piece is made to close within the rows that are compared.
    wanted = SampleConfig(num_pieces=8, seed=5, temperature=0.9, max_notes=256)
    pieces = generate(run.model, run.params, run.codec, wanted)
    num_compared = 0
    for piece, row in zip(pieces, rows, strict=True):
        steps = piece.steps[1:-1][: len(row)]  # a piece that was cut ends with an END of its own
        np.testing.assert_array_equal(steps, row[: len(steps)])
        num_compared += len(steps)
    assert num_compared > 200

    description = json.loads((tmp_path / "out/description.json").read_text())
    assert description["params_sha256"] == run.params_sha256
    assert description["sampling_step"]["arguments"]["inputs"]["given"] == "int32[8, 5]"
    assert description["sampling_step"]["platforms"] == ["cpu", "cuda", "tpu"]

    # And the folder is a model again.
    assert main(["import", str(tmp_path / "out"), str(tmp_path / "again")]) == 0
    assert (tmp_path / "out" / PARAMETERS).is_file()
    assert main(["import", str(tmp_path / "out"), str(tmp_path / "again")]) == 2
