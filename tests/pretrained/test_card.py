"""The card of a model says what run, report and facts say, and nothing else."""

import json

import pytest
from huggingface_hub import ModelCard

from ostinato.launch.cli import main
from ostinato.pretrained.card import CardError, read_report
from ostinato.pretrained.export import write_model_folder
from tests.evaluation.pieces import CODEC, evaluated, leaking
from tests.sample.runs import untrained, write_run

FACTS = """
name = "tunes"
summary = "Tunes for a pipe"
licence = "CC-BY-4.0"
tags = ["pipe"]
limits = ["Has one voice."]

[data]
name = "Ann's tunes"
licence = "CC BY 4.0"
attribution = "Ann"
"""


def _score(name, nats):
    return {
        "name": name, "nats_per_note": nats, "nats_per_note_interval": [nats - 0.1, nats + 0.1], "perplexity": 2.5,
        "bits_per_beat": 3.0, "bits_per_second": 4.0, "accuracy": 0.5,
    }  # fmt: skip


def _shared(longest):
    figure = {"mean": longest / 2, "largest": longest}
    shares = {"8": 0.25, "16": None}
    return {"longest_notes": figure, "most_bits": figure, "ngrams": {"texture": shares, "melody": shares}}


def _report(params_sha256, *, ours=9.0, human=12.0):
    """A report on two runs, of which the model is the second."""
    generated = {"generated": _shared(ours), "held_out": _shared(human), "beyond_human": 0.125}
    runs = [{"name": "a (lstm)", "params_sha256": "0" * 64}, {"name": "b (lstm)", "params_sha256": params_sha256}]
    return {
        "params_sha256": "0" * 64,
        "command": "ostinato evaluate --workdir /home/ann/a --runs /home/ann/b --dataset tunes",
        "held_out": "test",
        "runs": runs,
        "splits": {"test": [_score("a (lstm)", 1.111), _score("b (lstm)", 1.222), _score("markov:4", 2.333)]},
        "statistics": [],
        "originality": [{"name": run["name"], **generated} for run in runs] + [{"name": "rules", **generated}],
    }


def _card(folder, report, *, stored="float32"):
    (folder / "facts.toml").write_text(FACTS)
    (folder / "report.json").write_text(json.dumps(report))
    write_model_folder(
        untrained(), folder / "model", name="x", source=folder, facts=folder / "facts.toml",
        report=folder / "report.json", stored=stored,
    )  # fmt: skip
    return (folder / "model/README.md").read_text()


def test_the_card_has_the_figures_of_its_own_model_beside_the_baselines(tmp_path):
    text = _card(tmp_path, _report(untrained().params_sha256))
    assert "| this model | 1.222 |" in text
    assert "| markov:4 | 2.333 |" in text
    assert "1.111" not in text
    assert "/home/ann" not in text
    assert "`ostinato evaluate --workdir a --runs b --dataset tunes`, on the parameters as they are stored." in text
    for said in ("# tunes\n", "Tunes for a pipe", "| attribution | Ann |", "- Has one voice.", "seed 0"):
        assert said in text
    data = ModelCard.load(tmp_path / "model/README.md").data.to_dict()
    assert (data["license"], data["library_name"], data["datasets"]) == ("cc-by-4.0", "ostinato", ["Ann's tunes"])
    assert "pipe" in data["tags"]


@pytest.mark.parametrize(("ours", "verdict"), [(9.0, "**not above**"), (12.0, "**not above**"), (13.0, "**above**")])
def test_the_card_says_whether_the_model_copies_longer_runs_than_people(tmp_path, ours, verdict):
    text = _card(tmp_path, _report(untrained().params_sha256, ours=ours))
    assert f"has {ours:.0f} notes, the longest of held-out music 12: the model's is {verdict} that." in text
    assert "12 % of its pieces copy more" in text


def test_a_report_on_the_parameters_before_rounding_says_so_and_another_is_refused(tmp_path):
    text = _card(tmp_path, _report(untrained().params_sha256), stored="bfloat16")
    assert "on the parameters as they were trained, before they were stored as bfloat16" in text
    with pytest.raises(CardError, match=r"--report speaks of the parameters 0{16}, 1{16}, and the model has"):
        _card(tmp_path, _report("1" * 64))


def test_a_file_that_is_no_report_is_refused(tmp_path):
    for content, message in (("{", "damaged"), ("3", "damaged"), ("{}", "not a report .* params_sha256")):
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(CardError, match=message):
            read_report(tmp_path / "report.json")


def test_without_facts_and_report_the_card_says_what_is_not_known(tmp_path):
    write_model_folder(untrained(), tmp_path / "model", name="bare", source=tmp_path)
    text = (tmp_path / "model/README.md").read_text()
    assert "This model was not evaluated." in text
    assert "| licence of the music | not stated |" in text
    assert ModelCard.load(tmp_path / "model/README.md").data.to_dict()["library_name"] == "ostinato"


@pytest.mark.slow
def test_a_real_report_makes_a_card(tmp_path):
    run = write_run(tmp_path / "run", untrained(codec=CODEC))
    (run / "metrics.jsonl").write_text(
        '{"step": 0, "split": "validation", "loss": 4.0, "accuracy": 0, "perplexity": 5}\n'
    )
    evaluated(leaking(tmp_path / "data"), tmp_path, run, num_samples=4, command="ostinato evaluate")
    report = ["--report", str(tmp_path / "report.json")]
    assert main(["export", str(run), str(tmp_path / "model"), "--format", "model", *report]) == 0
    text = (tmp_path / "model/README.md").read_text()
    assert "### Structure" in text
    assert "| compressibility |" in text
    assert "the model's is **" in text
