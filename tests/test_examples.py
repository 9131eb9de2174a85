"""The notebooks run from top to bottom, one after the other in one folder, as somebody new would run them."""

from pathlib import Path

import pytest

from tests.midi_files import write_tunes

EXAMPLES = Path(__file__).parents[1] / "examples"
ORDER = ("train", "play", "evaluate")


@pytest.mark.parametrize("name", ORDER)
def test_notebooks_are_kept_small_and_without_outputs(name):
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed (extra dev)")
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    assert (EXAMPLES / f"{name}.ipynb").stat().st_size < 10_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_notebook_runs_and_shows_its_music(tmp_path, monkeypatch):
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (extra dev)")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (extra dev)")
    import nbformat

    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    write_tunes(tmp_path / "midi", 40)
    shown = {}
    for name in ORDER:
        notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
        client = nbclient.NotebookClient(
            notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        )
        client.execute()
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        shown[name] = "".join(
            str(output.get("text", "")) + "".join(map(str, output.get("data", {}).values())) for output in outputs
        )
    assert "40 inputs: 40 accepted" in shown["train"]
    assert "step 60 of 60: loss" in shown["train"], "progress is seen"
    assert "unknown option model.hiden_size (perhaps model.hidden_size)" in shown["train"]
    assert shown["play"].count("data:audio/ogg;base64,") == 5
    assert (tmp_path / "music/longer.mid").is_file()
    assert "markov:4" in shown["evaluate"]
    assert (tmp_path / "report/report.html").is_file()
