import json
from typing import Any

import numpy as np
import pytest

from ostinato.benchmarks.transfer import SMOKE, run
from ostinato.benchmarks.transfer_data import Apart, keep_apart, write_subset
from ostinato.benchmarks.transfer_page import draw, markdown_table, new_rows, old_rows, ratios, summarise
from ostinato.benchmarks.transfer_runs import FINE_TUNED, METHODS, SCRATCH, Effort, Task, open_bench, small_config
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


def test_the_figures_are_means_over_seeds_and_of_each_seed_the_best_learning_rate_counts(datasets, tmp_path):
    new, old = datasets
    bench = open_bench(tmp_path, new, old, keep_apart(new, old), SMOKE)
    num_notes = {name: held.material.notes_p for name, held in bench.held_out.items()}

    def outcome(new_nats: float, old_nats: float, loss: float = 1.0) -> dict[str, Any]:
        nats = {"new": new_nats * num_notes["new"], "old": old_nats * num_notes["old"]}
        return {
            "steps": 4,
            "best_step": 2,
            "validation_loss": loss,
            "nats": {name: column.tolist() for name, column in nats.items()},
        }

    summary = summarise(
        bench,
        outcome(5.0, 1.0),
        [
            (Task(10, SCRATCH, 0, 4e-3), outcome(4.0, 9.0, loss=3.0)),
            (Task(10, SCRATCH, 0, 2e-3), outcome(3.0, 9.0, loss=2.0)),
            (Task(10, SCRATCH, 1, 2e-3), outcome(3.5, 9.0, loss=2.5)),
            (Task(10, FINE_TUNED, 0, 1e-3), outcome(2.0, 1.5)),
            (Task(10, FINE_TUNED, 1, 1e-3), outcome(3.0, 1.7)),
        ],
    )
    scratch, tuned = summary["rows"]
    assert scratch["learning_rate"] == 2e-3
    assert scratch["validation_loss_by_learning_rate"] == {"0.004": 3.0, "0.002": 2.0}
    assert scratch["new"]["seeds"] == pytest.approx([3.0, 3.5])
    assert tuned["new"]["nats_per_note"] == pytest.approx(2.5)
    assert tuned["new"]["less_than_scratch"]["nats_per_note_less"] == pytest.approx(0.75)
    assert tuned["old"]["less_than_before"]["nats_per_note_less"] == pytest.approx(-0.6)
    assert ratios(summary) == {"k = 10: nats per note, from scratch over fine-tuned": 1.3}
    for heading, cells in (new_rows(summary), old_rows(summary)):
        assert all(len(row) == len(heading) for row in cells)
        assert markdown_table(heading, cells).count("\n") == len(cells) + 2
    assert new_rows(summary)[1][2][:5] == ["10", "fine-tuned", "2.500", "2.000, 3.000", "0.750"]
    assert old_rows(summary)[1][1][1:5] == ["fine-tuned", "1.600", "1.500, 1.700", "0.600"]
    draw(summary, tmp_path / "one.svg")
    draw(summary, tmp_path / "two.svg")
    assert "from scratch" in (tmp_path / "one.svg").read_text()
    json.dumps(summary)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_benchmark_runs_and_does_nothing_twice(datasets, tmp_path):
    new, old = datasets
    effort = SMOKE._replace(methods=SMOKE.methods[1:3])
    summary = run(tmp_path, new, old, effort, seeds=[1])
    assert [(row["k"], row["method"]) for row in summary["rows"]] == [(2, method.name) for method in effort.methods]
    assert summary["rows"][1]["learning_rate"] == summary["rows"][0]["learning_rate"], "that of fine-tuning"
    assert all(np.isfinite(row[name]["nats_per_note"]) for row in summary["rows"] for name in ("new", "old"))
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/outcome.json")}
    assert len(written) == 3
    assert run(tmp_path, new, old, effort, seeds=[1]) == summary
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/outcome.json")} == written
    with pytest.raises(ValueError, match="was trained with other settings"):
        run(tmp_path, new, old, effort._replace(pretrain_steps=8), seeds=[1])
