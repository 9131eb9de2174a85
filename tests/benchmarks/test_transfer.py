from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato.benchmarks import transfer_runs
from ostinato.benchmarks.transfer import SMOKE, Row, collect, draw, ratios, run, table_of
from ostinato.benchmarks.transfer_data import Apart, keep_apart, write_subset
from ostinato.benchmarks.transfer_runs import (
    FINE_TUNED,
    METHODS,
    SCRATCH,
    Bench,
    Effort,
    Task,
    small_config,
    small_runs,
)
from tests.evaluation.pieces import CODEC, tunes, write_pieces


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transfer")
    new = write_pieces(
        folder / "new", train=tunes(*range(6)), validation=tunes(*range(6, 9)), test=tunes(*range(9, 12))
    )
    old = write_pieces(folder / "old", train=tunes(*range(20, 24)), validation=tunes(24), test=tunes(25, 26))
    return new, old


def test_pieces_that_repeat_held_out_ones_are_not_learnt_from(datasets, tmp_path):
    new, old = datasets
    assert keep_apart(new, old) == Apart([0, 1, 2, 3, 4, 5], 0, 7)
    (held_out,) = tunes(9)
    copies = [CODEC.transform("transpose", held_out.astype(CODEC.dtype), 2), *tunes(0, 1)]
    leaking = write_pieces(tmp_path / "leaking", train=copies, validation=tunes(6), test=tunes(9))
    assert keep_apart(leaking, old) == Apart([1, 2], 1, 7)


def test_held_out_music_in_the_old_corpus_is_refused(datasets, tmp_path):
    new, _ = datasets
    old = write_pieces(tmp_path / "old", train=[CODEC.transform("transpose", tunes(10)[0].astype(CODEC.dtype), -3)])
    with pytest.raises(ValueError, match="holds music that is held out in"):
        keep_apart(new, old)


def test_fewer_pieces_are_part_of_more_and_another_seed_draws_others(datasets, tmp_path):
    new, old = datasets
    apart = keep_apart(new, old)

    def ids(count, seed, split="train"):
        subset = write_subset(tmp_path / f"{count}-{seed}", new, apart, count, seed=seed, num_validation=2)
        source = subset.source(split)
        return {source[i].id for i in range(len(source))}

    assert len(ids(2, 0)) == 2
    assert ids(2, 0) < ids(4, 0)
    assert ids(4, 0) != ids(4, 1)
    assert ids(2, 0, "validation") == ids(4, 1, "validation") == {"validation-0", "validation-1"}
    with pytest.raises(ValueError, match="6 training pieces to choose from, not 7"):
        ids(7, 0)


def test_each_step_sees_as_much_new_music_beside_old_music():
    (mixed,) = (method for method in METHODS if method.old_share)
    plain, both = (small_config(Effort(), Task(10, method, 0, 1e-3)).data for method in (FINE_TUNED, mixed))
    assert both.batch_size * (1 - both.old_share) == plain.batch_size


def test_the_figures_are_means_over_seeds_and_of_each_seed_the_best_learning_rate_counts(tmp_path):
    notes_p = {"new": np.array([10.0, 20.0, 30.0]), "old": np.array([40.0, 20.0])}

    def outcome(new_nats: float, old_nats: float, loss: float = 1.0) -> dict[str, Any]:
        nats = {"new": new_nats * notes_p["new"], "old": old_nats * notes_p["old"]}
        return {"steps": 4, "best_step": 2, "validation_loss": loss, "nats": nats}

    before = Row(0, "pretrained", np.nan, [4], {name: one[None] for name, one in outcome(5.0, 1.0)["nats"].items()})
    rows = [
        before,
        *collect(
            [
                (Task(10, SCRATCH, 0, 4e-3), outcome(4.0, 9.0, loss=3.0)),
                (Task(10, SCRATCH, 0, 2e-3), outcome(3.0, 9.0, loss=2.0)),
                (Task(10, SCRATCH, 1, 2e-3), outcome(3.5, 9.0, loss=2.5)),
                (Task(10, FINE_TUNED, 0, 1e-3), outcome(2.0, 1.5)),
                (Task(10, FINE_TUNED, 1, 1e-3), outcome(3.0, 1.7)),
            ]
        ),
    ]
    assert ratios(rows) == {"k = 10: nats per note, from scratch over fine-tuned": 1.3}
    heading, cells = table_of(rows, "new", notes_p["new"])
    assert [len(line) for line in cells] == [len(heading)] * 3
    assert cells[0][:4] == ["0", "pretrained", "5.000", ""]
    assert cells[1] == ["10", "from scratch", "3.250", "3.000, 3.500", "", "", "0.002", "2, 2"]
    assert cells[2][:6] == ["10", "fine-tuned", "2.500", "2.000, 3.000", "0.750", "0.750–0.750"]  # noqa: RUF001
    heading, cells = table_of(rows, "old", notes_p["old"])
    assert [len(line) for line in cells] == [len(heading)] * 2
    assert cells[1][1:5] == ["fine-tuned", "1.600", "1.500, 1.700", "0.600"]
    draw(rows, notes_p, tmp_path / "one.svg")
    assert "from scratch" in (tmp_path / "one.svg").read_text()


def test_the_first_seed_tries_the_learning_rates_and_the_others_have_the_best(monkeypatch):
    effort = SMOKE._replace(methods=(FINE_TUNED, METHODS[2]), num_steps=((10, 2), (30, 2)))
    bench = Bench(Path(), *[None] * 3, effort, {})
    monkeypatch.setattr(transfer_runs, "run_task", lambda _, task: {"validation_loss": task.learning_rate})
    tasks = [
        (task.num_pieces, task.seed, task.method.old_share, task.learning_rate) for task, _ in small_runs(bench, (1, 2))
    ]
    first = [(k, 0, *one) for k in (10, 30) for one in ((0.0, 3e-3), (0.0, 1e-3), (0.5, 1e-3))]
    assert tasks == [*first, (30, 1, 0.0, 1e-3), (30, 1, 0.5, 1e-3)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_benchmark_runs_and_does_nothing_twice(datasets, tmp_path):
    new, old = datasets
    effort = SMOKE._replace(methods=SMOKE.methods[1:2])
    _, rows = run(tmp_path, new, old, effort, seeds=[1])
    assert [(row.k, row.method) for row in rows[1:]] == [(2, "fine-tuned")]
    assert all(np.isfinite(nats_sp).all() for row in rows for nats_sp in row.nats_sp.values())
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/outcome.json")}
    assert len(written) == 2
    run(tmp_path, new, old, effort, seeds=[1])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/outcome.json")} == written
    with pytest.raises(ValueError, match="was made with other settings"):
        run(tmp_path, new, old, effort._replace(pretrain_steps=8), seeds=[1])
