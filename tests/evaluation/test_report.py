"""What evaluate measures and writes of a run of a tiny network: most of it without new music."""

import json
import re
import shutil

import numpy as np
import pytest

from ostinato.evaluation import tables
from ostinato.evaluation.held_out import choose_pieces
from ostinato.evaluation.report import piece_names
from ostinato.evaluation.samples import LONGEST_NOTES, choose_lengths
from ostinato.evaluation.summary import summary
from ostinato.train.fingerprint import json_sha256
from tests.evaluation.pieces import CODEC, evaluated, leaking, tunes, write_pieces
from tests.sample.runs import untrained, write_run

WRITERS = ["lstm", "markov:3", "rules"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained network as a run, with a loss that it says it had, and a step that was skipped."""
    folder = write_run(tmp_path_factory.mktemp("report") / "a <run>", untrained(codec=CODEC))
    for split, loss in (("validation", 4.0), ("train", None)):
        line = {"step": 0, "split": split, "loss": loss, "accuracy": 0.0, "perplexity": 54.6}
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
    return folder


@pytest.fixture(scope="module")
def leak(run, tmp_path_factory):
    """The folder and the report of a run on excerpts that were cut first and split afterwards."""
    folder = tmp_path_factory.mktemp("leaking")
    options = {"max_train_pieces": 5, "num_samples": 0, "transpose_baselines": 2, "command": "ostinato evaluate <all>"}
    return folder, evaluated(leaking(folder / "data"), folder, run, **options)


@pytest.fixture(scope="module")
def music(run, tmp_path_factory):
    """The report of a run on the same excerpts, with new music."""
    folder = tmp_path_factory.mktemp("music")
    return evaluated(leaking(folder / "data"), folder, run, num_samples=4, by_checkpoint=True)


def test_the_report_says_that_the_same_pieces_are_in_both_splits(leak):
    folder, document = leak
    (warning,) = document["warnings"]
    assert "of the held-out rows (test split): are the same pieces in both splits?" in warning
    assert f'role="alert">Warning: {warning}' in (folder / "report.html").read_text()
    assert document["leaks"]["test"]["accuracy"] > 0.9


def test_the_report_on_disk_is_the_one_that_is_returned_and_says_how_it_was_made(leak):
    folder, document = leak
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(document))
    assert document["splits"]["train"][0]["pieces"] == 5
    assert document["bootstrap"] == {"resamples": 1000, "level": 0.95, "seed": 0}
    assert document["command"] == "ostinato evaluate <all>"
    assert document["options"] == {
        "checkpoint": "best", "batch_size": 4, "max_train_pieces": 5, "transpose_baselines": 2, "num_samples": 0,
        "seed": 0, "temperature": 1.0, "judge": True, "by_checkpoint": False, "old_dataset": None,
    }  # fmt: skip


def test_the_tables_hold_every_predictor(leak):
    _, document = leak
    names = [tables.label(score["name"]) for score in document["splits"]["test"]]
    assert "longest match" in names
    for heading, cells in (tables.score_rows(document, "test"), tables.field_rows(document, "test")):
        assert [row[0] for row in cells] == names
        assert all(len(row) == len(heading) for row in cells)
    assert [row[0] for row in tables.comparison_rows(document, "test")[1]] == names[1:]
    assert tables.style_rows(document, "test")[1] == [], "there is one style only"
    assert tables.score_rows(document, "test")[1][0][1] == f"{document['splits']['test'][0]['nats_per_note']:.3f}"
    assert tables.distance_rows(document)[1] == tables.originality_rows(document)[1] == [], "nothing was written"


def test_the_page_takes_nothing_from_outside_and_nothing_from_names(leak):
    page = (leak[0] / "report.html").read_text()
    assert "<run>" not in page
    assert "a &lt;run&gt;" in page
    assert "ostinato evaluate &lt;all&gt;" in page
    assert "all keys up to 2 semitones\nhigher and lower" in page
    assert all(link.startswith("data:") for link in re.findall(r'(?:\ssrc|href)="([^"#]+)', page))
    assert "\\x" not in page, "no character had to be escaped"
    assert "\\n" not in page


def test_a_dataset_without_a_held_out_split_is_a_line_in_the_report(run, tmp_path):
    document = evaluated(write_pieces(tmp_path / "data", train=tunes(*range(6))), tmp_path, run, num_samples=4)
    assert document["statistics"] == document["originality"] == []
    (notice,) = document["notices"]
    assert "has no held-out split" in notice
    assert notice[1:] in (tmp_path / "report.html").read_text()
    assert summary(document)[-1][1:] == f"{notice[1:]}."
    assert "pieces that it has been trained on" in summary(document)[0]


@pytest.mark.slow
def test_without_samples_there_are_neither_statistics_nor_originality(run, tmp_path):
    dataset = write_pieces(tmp_path / "data", train=tunes(*range(6)), validation=tunes(6, 7))
    document = evaluated(dataset, tmp_path, run, num_samples=0)
    assert (document["held_out"], document["samples"]) == ("validation", None)
    assert document["statistics"] == document["originality"] == document["notices"] == []
    assert not (tmp_path / "copies").exists()


@pytest.mark.slow
def test_a_fine_tuned_run_is_measured_before_and_after(run, tmp_path):
    dataset = write_pieces(tmp_path / "data", train=tunes(*range(6)), test=tunes(6, 7))
    tuned = shutil.copytree(run, tmp_path / "tuned")
    file = tuned / "checkpoints/0/run/metadata"
    description = json.loads(file.read_text())
    del description["sha256"]
    description["init_from"] = {"workdir": str(run), "step": 0, "params_sha256": description["params_sha256"]}
    file.write_text(json.dumps(description | {"sha256": json_sha256(description)}))
    new, old = evaluated(dataset, tmp_path, tuned, num_samples=0)["transfer"]["corpora"]
    assert new["gain"]["nats_per_note_less"] == 0, "nothing was trained"
    assert "was imported" in old["missing"]
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Fine-tuning</h2>" in page
    assert "the new corpus, data (test)" in page


@pytest.mark.slow
def test_two_runs_of_the_same_name_are_told_apart_and_one_that_was_imported_has_no_paper_table(run, tmp_path):
    other = write_run(tmp_path / run.name, untrained(codec=CODEC, seed=2))
    dataset = write_pieces(tmp_path / "data", train=tunes(*range(6)), test=tunes(6, 7))
    document = evaluated(dataset, tmp_path, other, run, num_samples=0)
    assert [one["name"] for one in document["runs"]] == [f"{other} (lstm)", f"{run} (lstm)"]
    assert document["comparisons"]["test"][0]["against"] == f"{run} (lstm)"
    assert document["paper_table"] == []


def test_pieces_are_called_by_their_files(tmp_path):
    dataset = write_pieces(tmp_path / "data", train=tunes(0))
    assert piece_names(dataset, {"a"}) == {}
    paths = {"a": "/music/all.zip!old/tune.mid", "b": "x/y.mid", "c": "z"}
    lines = [json.dumps({"id": name, "path": path}) + "\n" for name, path in paths.items()]
    (dataset.path / "pieces.jsonl").write_text("".join(lines))
    assert piece_names(dataset, {"a", "b"}) == {"a": "tune.mid", "b": "y.mid"}


def test_pieces_are_chosen_evenly():
    assert choose_pieces(4, 0).tolist() == choose_pieces(4, 9).tolist() == [0, 1, 2, 3]
    chosen = choose_pieces(1000, 7)
    assert len(np.unique(chosen)) == 7
    assert np.ptp(np.diff(chosen)) <= 1


def test_pieces_are_asked_to_be_as_long_as_real_ones():
    real = [10, 20, 30, 40]
    assert sorted(choose_lengths(real, 4, seed=0)) == real
    assert sorted(choose_lengths(real, 2, seed=0)) == [10, 30]
    assert choose_lengths(real, 8, seed=0) != sorted(choose_lengths(real, 8, seed=0)), "in no order"
    assert choose_lengths([5000, 0], 4, seed=0).count(LONGEST_NOTES) == 2
    assert min(choose_lengths([5000, 0], 4, seed=0)) == 1


@pytest.mark.slow
def test_every_writer_is_compared_with_real_music_and_can_be_asked_again(music):
    for rows, names in (
        (tables.distance_rows(music), WRITERS),
        (tables.originality_rows(music), [*WRITERS, tables.HUMAN]),
    ):
        assert [row[0] for row in rows[1]] == names
        assert all(len(row) == len(rows[0]) for row in rows[1])
    longest = max(music["samples"]["num_notes"])
    assert f"--num-pieces 4 --num-notes {longest} --seed 0" in music["samples"]["sample_command"]


@pytest.mark.slow
def test_every_musical_figure_is_in_one_group_and_has_a_row(music):
    found = music["statistics"][0]
    groups = tables.groups_of(list(found["features"]))
    grouped = [name for names in groups.values() for name in names]
    assert sorted(grouped) == sorted(found["features"])
    assert [name for name in groups["structure"] if "repetition" in name]
    heading, cells = tables.feature_rows(found, grouped)
    assert [row[0] for row in cells] == grouped
    assert all(len(row) == len(heading) for row in cells)


@pytest.mark.slow
def test_excerpts_of_training_pieces_share_more_with_them_than_a_network_that_never_heard_them(music):
    found = music["originality"][0]
    assert found["held_out"]["longest_notes"]["mean"] > 2 * found["generated"]["longest_notes"]["mean"]
    assert found["beyond_human"] == 0


@pytest.mark.slow
def test_the_only_checkpoint_of_a_run_is_the_row_of_its_curve(music):
    (row,) = music["checkpoints"]
    assert row["step"] == music["step"]
    assert row["nats_per_note"] == pytest.approx(music["splits"]["test"][0]["nats_per_note"], rel=1e-5)
    for who in ("generated", "held_out"):
        assert row[who]["most_bits"] == music["originality"][0][who]["most_bits"]["mean"]


@pytest.mark.slow
def test_few_held_out_pieces_are_a_line_in_the_report(run, tmp_path):
    dataset = write_pieces(tmp_path / "data", train=tunes(*range(6)), test=tunes(6, 7, 8))
    document = evaluated(dataset, tmp_path, run, num_samples=4)
    assert document["statistics"] == []
    assert [found["name"] for found in document["originality"]] == WRITERS
    (notice,) = document["notices"]
    assert "3 held-out pieces are too few" in notice
    assert notice in (tmp_path / "report.html").read_text()
    assert f"{notice}." in summary(document)
    (judged,) = document["two_sample"]["notices"]
    assert "no classifier two-sample test" in judged
    assert summary(document)[-1] == f"{judged[0].upper()}{judged[1:]}."
