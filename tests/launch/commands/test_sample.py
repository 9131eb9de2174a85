"""What `ostinato sample` leaves behind, and how each piece is made again from it."""

import html
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import mido
import pytest

from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main
from ostinato.music import midi, notation
from ostinato.music.bars import bar_lines
from ostinato.music.sheet import libraries
from ostinato.music.sheet.rounding import on_grid, rounded
from tests.chromium import IN_BOTH_BROWSERS, INK_OF, open_file
from tests.midi_files import write_tunes
from tests.sample.runs import untrained, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, a folder of primers, and two pieces that begin with one of them."""
    folder = tmp_path_factory.mktemp("sampling")
    write_run(folder / "run", untrained())
    write_tunes(folder / "primers", 2)
    options = ["--num-pieces", "2", "--num-notes", "24", "--seed", "3", "--temperature", "1.1", "--primer-notes", "8"]
    primer = ["--primer", str(folder / "primers/tune-001.mid"), "--notation"]
    assert _sample("--workdir", folder / "run", "--output", folder / "music", *options, *primer) == ExitCode.FINISHED
    return folder


def _sample(*arguments, audio=("--no-audio",)):
    return main(["sample", *map(str, arguments), *audio])


@pytest.mark.parametrize("suffix", [".mid", ".json"])
def test_a_piece_is_made_again_to_the_same_bytes(folder, tmp_path, suffix):
    assert _sample("--again", folder / f"music/piece-001{suffix}", "--output", tmp_path) == ExitCode.FINISHED
    written = {path.name for path in tmp_path.iterdir()}
    assert not written & {"piece-000.mid", "piece-001.svg"}
    for name in ("piece-001.mid", "piece-001.json", "piece-001.png"):
        assert (tmp_path / name).read_bytes() == (folder / "music" / name).read_bytes()


def test_a_score_is_of_the_piece_beside_it(folder):
    found = on_grid(notation.read((folder / "music/piece-001.musicxml").read_bytes(), "musicxml"))
    piece = rounded(midi.read((folder / "music/piece-001.mid").read_bytes())).piece
    assert found.notes.onset.tolist() == piece.notes.onset.tolist()
    assert found.notes.pitch.tolist() == piece.notes.pitch.tolist()
    assert (folder / "music/piece-001.svg").read_bytes().startswith(b"<svg")


def test_a_score_without_its_libraries_is_refused_before_any_music(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(libraries, "LIBRARIES", ("music21", "no_such_library"))
    arguments = ["--workdir", tmp_path / "run", "--output", tmp_path / "music", "--notation"]
    assert "scores need no_such_library: pip install 'ostinato[notation]'" in refused("sample", *arguments)


def test_a_midi_file_has_a_title_a_key_and_ends_at_a_bar_line(folder):
    data = (folder / "music/piece-001.mid").read_bytes()
    piece = midi.read(data)
    file = mido.MidiFile(file=io.BytesIO(data))
    (name,) = [message.name for message in file.tracks[0] if message.type == "track_name"]
    (key,) = [message.key for message in file.tracks[0] if message.type == "key_signature"]
    assert re.fullmatch(r"Piece 1 of seed 3, [A-G]( flat| sharp)? (major|minor)", name)
    assert key[0] == name.split(", ")[1][0]
    assert all(track.name for track in file.tracks)
    lengths = {sum(message.time for message in track) for track in file.tracks}
    assert lengths == {int(bar_lines(piece)[-1])}


def test_a_midi_file_alone_is_enough_when_the_run_and_the_primer_are_named(folder, tmp_path, refused):
    alone = tmp_path / "found.mid"
    shutil.copy(folder / "music/piece-000.mid", alone)
    shutil.copytree(folder / "run", tmp_path / "moved")
    assert "was made with --primer tune-001.mid, and nothing says where it is" in refused("sample", "--again", alone)
    primer = ["--primer", folder / "primers/tune-001.mid"]
    assert "name the run with --workdir" in refused("sample", "--again", alone, *primer)
    assert _sample("--again", alone, "--workdir", tmp_path / "moved", *primer) == ExitCode.FINISHED
    assert (tmp_path / "again/piece-000.mid").read_bytes() == alone.read_bytes()


def test_only_what_is_new_is_written_and_made_again(folder, tmp_path, refused):
    options = ["--num-pieces", "2", "--num-notes", "24", "--seed", "3", "--primer-bars", "12", "--tempo", "72.5"]
    primer = ["--primer", folder / "primers/tune-001.mid"]
    for name, more in (("whole", []), ("new", ["--without-primer"])):
        assert _sample("--workdir", folder / "run", "--output", tmp_path / name, *options, *primer, *more) == 0
    whole, new = (midi.read((tmp_path / name / "piece-000.mid").read_bytes()) for name in ("whole", "new"))
    first = whole.notes.onset >= 12 * 4 * whole.ticks_per_quarter
    assert new.num_notes == first.sum() == 24
    assert (whole.notes.onset[first] - new.notes.onset == 12 * 4 * whole.ticks_per_quarter).all()
    assert whole.tempos.us_per_quarter.tolist() == new.tempos.us_per_quarter.tolist() == [round(60e6 / 72.5)]
    listed = json.loads((tmp_path / "new/pieces.json").read_text())["pieces"][0]
    assert (listed["notes"], listed["primer_notes"]) == (24, 0)
    assert _sample("--again", tmp_path / "new/piece-000.mid", "--output", tmp_path / "again") == 0
    assert (tmp_path / "again/piece-000.mid").read_bytes() == (tmp_path / "new/piece-000.mid").read_bytes()
    run = ["--workdir", folder / "run", "--without-primer"]
    assert "leaves out what --primer gives" in refused("sample", *run, "--output", tmp_path / "x")
    assert "not with" in refused("sample", *run, *primer, "--stream", tmp_path / "x.mid")


def test_another_model_or_primer_is_refused(folder, tmp_path, refused):
    file = folder / "music/piece-000.mid"
    other = write_run(tmp_path / "other", untrained(seed=2))
    assert re.search(
        "parameters [0-9a-f]{16} of step 0, but .*other has only those of step 0",
        refused("sample", "--again", file, "--workdir", other),
    )
    line = refused("sample", "--again", file, "--primer", folder / "primers/tune-000.mid")
    assert "was made with --primer tune-001.mid of SHA-256" in line
    assert "name the run with --workdir" in refused("sample", "--again", file, "--workdir", tmp_path / "nowhere")


def test_options_beside_again_and_outputs_that_are_files_are_refused(folder, tmp_path, refused):
    assert "leave the others out" in refused("sample", "--again", folder / "music/piece-000.mid", "--seed", "4")
    (tmp_path / "file").touch()
    options = ["--workdir", folder / "run", "--num-pieces", "2", "--num-notes", "24"]
    for output in (tmp_path / "file/sub", tmp_path / "file"):
        assert str(output) in refused("sample", *options, "--output", output)


def test_files_of_others_say_nothing_about_how_they_were_made(folder, tmp_path, refused):
    assert "says nothing about how it was made" in refused("sample", "--again", folder / "primers/tune-000.mid")
    for name, content in (("a.json", "[]"), ("b.json", "{}"), ("c.mid", "nothing"), ("d.json", "{")):
        (tmp_path / name).write_text(content)
        assert "how it was made" in refused("sample", "--again", tmp_path / name)
    assert "no such file" in refused("sample", "--again", tmp_path / "e.mid")


def test_a_piece_that_was_changed_since_is_not_called_the_same(folder, tmp_path, refused):
    data = bytearray((folder / "music/piece-000.mid").read_bytes())
    position = data.rindex(b"\x90")  # a note-on: its pitch follows
    data[position + 1] ^= 1
    changed = tmp_path / "piece-000.mid"
    changed.write_bytes(data)
    shutil.copy(folder / "music/piece-000.json", tmp_path)
    assert "was made again, but not to the same bytes" in refused("sample", "--again", changed)
    assert not (tmp_path / "again").exists()


def test_the_same_options_give_the_same_bytes_in_every_folder(folder, tmp_path):
    shutil.copytree(folder / "run", tmp_path / "elsewhere")
    shutil.copy(folder / "primers/tune-001.mid", tmp_path)
    options = ["--num-pieces", "2", "--num-notes", "24", "--seed", "3", "--temperature", "1.1", "--primer-notes", "8"]
    primer = ["--primer", tmp_path / "tune-001.mid"]
    assert (
        _sample("--workdir", tmp_path / "elsewhere", "--output", tmp_path / "music", *options, *primer)
        == ExitCode.FINISHED
    )
    for name in ("piece-000.mid", "piece-001.mid"):
        data = (tmp_path / "music" / name).read_bytes()
        assert data == (folder / "music" / name).read_bytes()
        assert str(tmp_path).encode() not in data


def test_each_file_says_what_it_was_made_from(folder):
    said = json.loads((folder / "music/piece-001.json").read_text())
    assert (said["piece"], said["seed"], said["step"]) == (1, 3, 0)
    assert said["options"]["temperature"] == 1.1
    assert "batch_size" not in said["options"]
    assert said["inputs"]["primer"]["name"] == "tune-001.mid"
    assert said["found"]["workdir"] == str(folder / "run")
    assert f'"params_sha256":"{said["params_sha256"]}"'.encode() in (folder / "music/piece-001.mid").read_bytes()


def test_the_gallery_names_every_file_by_relative_links_only(folder):
    page = (folder / "music/index.html").read_text()
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert all((folder / "music" / link).is_file() for link in links if link != "data:,")
    made = {path.name for path in (folder / "music").iterdir()} - {"index.html", "pieces.json"}
    assert made == set(links) - {"data:,"}
    assert "http" not in page
    assert "--primer tune-001.mid --seed 3 --num-pieces 2 --num-notes 24 --temperature 1.1 --primer-notes 8" in page
    assert "ostinato sample --again piece-001.mid" in page


def test_the_gallery_says_options_as_a_shell_takes_them(folder, tmp_path):
    base = ["--workdir", folder / "run", "--output", tmp_path, "--num-pieces", "1", "--num-notes", "8"]
    assert _sample(*base, "--key", "D minor", "--instruments", "English Horn", "drums") == ExitCode.FINISHED
    said = re.search("How it was made: <code>(.*?)</code>", (tmp_path / "index.html").read_text())
    assert said is not None
    assert shlex.split(html.unescape(said[1])) == [
        "--num-pieces", "1", "--num-notes", "8", "--key", "D minor", "--instruments", "English Horn", "drums"
    ]  # fmt: skip


def test_new_pieces_replace_those_of_an_earlier_call(folder, tmp_path):
    shutil.copytree(folder / "music", tmp_path / "music")
    (tmp_path / "music/mine.txt").write_text("stays")
    base = ["--workdir", folder / "run", "--output", tmp_path / "music", "--num-notes", "24"]
    assert _sample(*base, "--num-pieces", "1") == ExitCode.FINISHED
    names = {path.name for path in (tmp_path / "music").iterdir()}
    assert names == {"index.html", "pieces.json", "piece-000.mid", "piece-000.json", "piece-000.png", "mine.txt"}


@pytest.mark.parametrize("missing", ["--workdir", "--output"])
def test_what_is_missing_is_named(refused, missing):
    given = {"--workdir": "a", "--output": "b"}
    del given[missing]
    assert f"{missing} is missing" in refused("sample", *next(iter(given.items())))


_LOOK = (
    f"const ink = {INK_OF};"
    + """
(async () => {
  const found = [];
  for (const image of document.images) {
    await image.decode();
    found.push(image.naturalWidth > 0 && image.alt.length > 20 && !image.getClientRects().length);
  }
  await new Promise(done => setTimeout(done, 100)); // a roll is drawn with the next frame
  const rolls = [...document.querySelectorAll(".roll canvas")], before = rolls.map(roll => roll.toDataURL());
  for (const roll of rolls) found.push(ink(roll) > 100);
  for (const audio of document.querySelectorAll("audio")) {
    audio.preload = "auto";
    await new Promise((done, failed) => {
      if (audio.readyState >= 4) return done();
      audio.oncanplaythrough = done;
      audio.onerror = () => failed(audio.src);
    });
    found.push(audio.duration > 1);
  }
  const [first, second] = document.querySelectorAll("audio");
  await first.play();
  await second.play();
  while (!first.paused || second.currentTime == 0) await new Promise(done => setTimeout(done, 20));
  second.pause();
  found.push(rolls[1].toDataURL() !== before[1]); // a cursor stands there
  found.push(document.documentElement.scrollWidth <= innerWidth);
  return found;
})()
"""
)


@pytest.mark.slow
@IN_BOTH_BROWSERS
@pytest.mark.parametrize("audio_format", ["wav", "flac", "ogg"])
def test_a_real_browser_shows_and_plays_every_piece_from_disk(browser, folder, tmp_path, audio_format):
    base = ["--workdir", folder / "run", "--output", tmp_path / "music", "--num-notes", "24", "--num-pieces", "2"]
    assert _sample(*base, audio=("--audio-format", audio_format)) == ExitCode.FINISHED
    for width, dark in ((1200, False), (380, True)):
        with open_file(browser, tmp_path / "music/index.html", width=width, dark=dark) as page:
            assert page.evaluate(_LOOK) == [True] * 8
    assert midi.read((tmp_path / "music/piece-000.mid").read_bytes()).num_notes == 24


_COUNT_HITS = """
import sys
import jax
from ostinato.launch.cli import main
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("/cache_hits") else None)
assert main(sys.argv[1:]) == 0
print(len(hits))
"""


@pytest.mark.slow
def test_a_second_process_finds_what_the_first_one_compiled(folder, tmp_path):
    cache = tmp_path / "cache/ostinato/jax"

    def run(output):
        arguments = ["sample", "--workdir", str(folder / "run"), "--output", str(tmp_path / output), "--num-notes", "8"]
        command = [sys.executable, "-c", _COUNT_HITS, *arguments, "--num-pieces", "1", "--no-audio"]
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return int(done.stdout.split()[-1]), {path.name for path in cache.glob("jit_write_chunk-*-cache")}

    _, compiled = run("a")
    assert len(compiled) == 1
    hits, still = run("b")
    assert hits > 0
    assert still == compiled
    assert (tmp_path / "a/piece-000.mid").read_bytes() == (tmp_path / "b/piece-000.mid").read_bytes()
