"""What the report says of new music by a tiny network and by the baselines."""

import pytest

from ostinato.data.ngram_files import in_memory
from ostinato.evaluation.measure import Wanted
from ostinato.evaluation.memorization.index import CopyIndex
from ostinato.evaluation.report import evaluate_run
from ostinato.evaluation.summary import summary
from ostinato.evaluation.tables import distance_rows, feature_rows, groups_of, originality_rows
from tests.evaluation.pieces import CODEC, tunes, windows, write_pieces
from tests.sample.runs import untrained, write_run

pytestmark = pytest.mark.slow

WRITERS = ["lstm", "markov:3", "rules"]


def _evaluate(wanted, dataset, folder):
    source = dataset.source("train")
    return evaluate_run(
        wanted,
        dataset,
        folder,
        counts=lambda: in_memory([source[i].steps for i in range(len(source))]),
        index=lambda: CopyIndex.of_dataset(dataset, folder / "copies"),
        audio=False,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("report") / "run", untrained(codec=CODEC))


@pytest.fixture(scope="module")
def document(run, tmp_path_factory):
    """The report of a run on excerpts that were cut first and split afterwards."""
    folder = tmp_path_factory.mktemp("music")
    pieces = tunes(*range(8))
    dataset = write_pieces(
        folder / "data", train=windows(pieces, begin=4, step=4), test=windows(pieces, begin=7, step=12)
    )
    return _evaluate(Wanted(runs=(run,), batch_size=4, num_samples=4, by_checkpoint=True), dataset, folder)


def test_the_tables_hold_every_writer(document):
    assert [row[0] for row in distance_rows(document)[1]] == WRITERS
    assert [row[0] for row in originality_rows(document)[1]] == [*WRITERS, "held-out music"]
    for heading, cells in (distance_rows(document), originality_rows(document)):
        assert all(len(row) == len(heading) for row in cells)


def test_the_report_says_how_the_music_can_be_written_again(document):
    longest = max(document["samples"]["num_notes"])
    assert f"--num-pieces 4 --num-notes {longest} --seed 0" in document["samples"]["sample_command"]


def test_every_musical_figure_is_in_one_group_and_has_a_row(document):
    found = document["statistics"][0]
    groups = groups_of(list(found["features"]))
    grouped = [name for names in groups.values() for name in names]
    assert sorted(grouped) == sorted(found["features"])
    assert [name for name in groups["structure"] if "repetition" in name]
    heading, cells = feature_rows(found, grouped)
    assert [row[0] for row in cells] == grouped
    assert all(len(row) == len(heading) for row in cells)


def test_excerpts_of_training_pieces_share_more_with_them_than_a_network_that_never_heard_them(document):
    found = document["originality"][0]
    assert found["held_out"]["longest_notes"]["mean"] > 2 * found["generated"]["longest_notes"]["mean"]
    assert found["beyond_human"] == 0


def test_the_only_checkpoint_of_a_run_is_the_row_of_its_curve(document):
    (row,) = document["checkpoints"]
    assert row["step"] == document["step"]
    assert row["nats_per_note"] == pytest.approx(document["splits"]["test"][0]["nats_per_note"], rel=1e-5)
    assert row["generated"]["most_bits"] == document["originality"][0]["generated"]["most_bits"]["mean"]


def test_few_held_out_pieces_are_a_line_in_the_report(run, tmp_path):
    dataset = write_pieces(tmp_path / "data", train=tunes(*range(6)), test=tunes(6, 7, 8))
    wanted = Wanted(runs=(run,), batch_size=4, num_samples=4)
    document = _evaluate(wanted, dataset, tmp_path)
    assert document["statistics"] == []
    assert [found["name"] for found in document["originality"]] == WRITERS
    (notice,) = document["notices"]
    assert "3 held-out pieces are too few" in notice
    assert notice in (tmp_path / "report.html").read_text()
    assert summary(document)[-1] == f"{notice}."
