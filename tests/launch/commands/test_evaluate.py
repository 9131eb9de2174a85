"""What `ostinato evaluate` leaves behind, and music by the baselines that it compares with."""

import html
import json
import re
import shlex

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main
from tests.chromium import IN_BOTH_BROWSERS, INK_OF, open_file
from tests.evaluation.pieces import CODEC, tunes, write_pieces
from tests.sample.runs import untrained, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset and a run."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_pieces(folder / "data", train=tunes(*range(6)), test=tunes(*range(6, 10)))
    _write_run(folder / "one", seed=1)
    return folder


def _write_run(workdir, *, seed):
    write_run(workdir, untrained(codec=CODEC, seed=seed))
    line = {"step": 0, "split": "validation", "loss": 4.0, "accuracy": 0.0, "perplexity": 54.6}
    (workdir / "metrics.jsonl").write_text(json.dumps(line) + "\n")


def _evaluate(folder, output, *options):
    base = ["evaluate", "--workdir", str(folder / "one"), "--dataset", str(folder / "data"), "--output", str(output)]
    return main([*base, "--batch-size", "4", *options])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--num-samples", "2"], "at least 4 pieces"),
        (["--temperature", "0"], "must be above 0"),
        (["--batch-size", "0"], "--batch-size from 1"),
        (["--listening", "nowhere"], "'ostinato listen results' writes it"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(folder, tmp_path, refused, options, said):
    base = ["evaluate", "--workdir", folder / "one", "--dataset", folder / "data", "--output", tmp_path / "x"]
    assert said in refused(*base, *options)
    assert not (tmp_path / "x").exists()


def test_without_samples_the_terminal_shows_one_table_and_the_report_the_command(folder, tmp_path, capsys):
    output = tmp_path / "a report"
    assert _evaluate(folder, output, "--num-samples", "0", "--no-audio") == ExitCode.FINISHED
    shown = capsys.readouterr().out
    assert len(re.findall("nats/note", shown)) == 1
    assert re.search(r"lstm needs \d+\.\d{3} nats per note \(95.%: .*\) on 4 held-out pieces \(test split\)", shown)
    command = json.loads((output / "report.json").read_text())["command"]
    assert shlex.split(command) == [
        "ostinato", "evaluate", "--workdir", str(folder / "one"), "--dataset", str(folder / "data"), "--output",
        str(output), "--batch-size", "4", "--num-samples", "0", "--no-audio",
    ]  # fmt: skip
    assert command in html.unescape((output / "report.html").read_text())


_LOOK = (
    f"const ink = {INK_OF};"
    + """
(async () => {
  const found = [document.documentElement.scrollWidth <= innerWidth];
  for (const image of document.images) {
    await image.decode();
    found.push(image.naturalWidth > 0 && image.alt.length > 20);
  }
  for (const audio of document.querySelectorAll("audio")) {
    await new Promise((done, failed) => {
      if (audio.readyState >= 1) return done();
      audio.onloadedmetadata = done;
      audio.onerror = () => failed(audio.error.message);
    });
    found.push(audio.duration > 1 && audio.duration < 25);
  }
  for (const picture of document.querySelectorAll("figure svg")) {
    found.push(picture.getBoundingClientRect().width > 200 && picture.ariaLabel.length > 20);
  }
  const audio = document.querySelector("audio"), roll = document.querySelector(".roll canvas");
  const before = roll.toDataURL();
  found.push([...document.querySelectorAll(".roll canvas")].every(one => ink(one) > 20));
  await audio.play();
  while (audio.currentTime == 0) await new Promise(done => setTimeout(done, 20));
  audio.pause();
  found.push(roll.toDataURL() !== before); // a cursor stands there
  return found;
})()
"""
)


@pytest.mark.slow
@IN_BOTH_BROWSERS
def test_a_real_browser_shows_and_plays_the_whole_report_without_a_network(browser, folder, tmp_path):
    _write_run(tmp_path / "two", seed=2)
    options = ["--num-samples", "4", "--by-checkpoint", "--runs", str(tmp_path / "two")]
    assert _evaluate(folder, tmp_path, *options) == ExitCode.FINISHED
    page_text = (tmp_path / "report.html").read_text()
    # Three pairs of the run, and one each of the other run, the chain and the rules.
    assert page_text.count("<audio ") == page_text.count("<img ") == 12
    assert "http://" not in page_text.replace("http://www.w3.org/", "")
    num_plots = page_text.count("<figure>")
    # Likelihood, two of structure, overlap, two of n-grams, two along the run, loss; form of each piece.
    assert num_plots == 9 + 12
    for width, dark in ((1200, False), (380, True)):
        with open_file(browser, tmp_path / "report.html", width=width, dark=dark) as page:
            assert page.evaluate(_LOOK) == [True] * (1 + 12 + 12 + num_plots + 2)


def test_flags_that_do_not_go_with_a_baseline_are_named(refused, folder, tmp_path):
    base = ["sample", "--dataset", folder / "data", "--output", tmp_path / "x"]
    assert "markov:1, markov:2, markov:3, markov:4, rules" in refused(*base, "--model", "markov:9")
    said = refused(*base, "--model", "rules", "--temperature", "0.5")
    assert "takes --num-pieces, --num-notes, --seed, not --temperature" in said
    assert "needs --dataset" in refused("sample", "--model", "rules", "--output", tmp_path / "x")
    assert "--model and --dataset go together" in refused(*base)
    assert "--model and --dataset go together" in refused(*base, "--model", "rules", "--fill", "a.mid")


@pytest.mark.parametrize("model", ["rules", "markov:3"])
def test_the_gallery_of_a_baseline_says_the_command_that_writes_its_pieces_again(folder, tmp_path, model):
    base = ["sample", "--model", model, "--dataset", str(folder / "data"), "--num-notes", "20", "--num-pieces", "2"]
    assert main([*base, "--seed", "3", "--output", str(tmp_path / "music"), "--no-audio"]) == ExitCode.FINISHED
    page = html.unescape((tmp_path / "music/index.html").read_text())
    assert "--again" not in page
    said = re.search("<pre><code>(ostinato sample .*) --output again</code>", page)
    assert said is not None
    words = shlex.split(said[1])
    assert words[words.index("--dataset") + 1] == "data"
    words[words.index("--dataset") + 1] = str(folder / "data")
    assert main([*words[1:], "--output", str(tmp_path / "again"), "--no-audio"]) == ExitCode.FINISHED
    for name in ("piece-000.mid", "piece-001.mid"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "music" / name).read_bytes()
