"""The studio's server without a browser: its pieces are those of `ostinato sample`, and mistakes are one line."""

import functools
import io
import json
import re
import shutil
import wave

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.beam_pipelines.isolation import Limits
from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main
from ostinato.music import midi
from ostinato.sample.output.provenance import read_recipe
from ostinato.studio import scores
from tests.studio.studios import make_run, open_studio, tune_bytes, upload, write, written

OPTIONS = {"num_notes": 24, "temperature": 1.1, "key": "D minor", "tempo": 90, "meter": "3/4", "seed": 5}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def client(workdir):
    with open_studio(workdir) as client:
        yield client


def _sampled(workdir, output, *options):
    """The bytes that the command line writes."""
    base = ["sample", "--workdir", workdir, "--output", output, "--num-pieces", 1, "--no-audio", *options]
    assert main([str(word) for word in base]) == 0
    return (output / "piece-000.mid").read_bytes()


def test_the_score_of_a_piece_is_made_when_it_is_asked_for_and_goes_with_the_piece(client, workdir):
    assert client.get("/api/model").json()["has_scores"]
    piece = written(client, {"num_notes": 12, "seed": 9, "key": "D minor"})
    page = client.get(f"/files/{piece['id']}.svg").raise_for_status()
    assert (page.headers["content-type"], page.content[:4]) == ("image/svg+xml", b"<svg")
    score = client.get(f"/files/{piece['id']}.musicxml").raise_for_status()
    assert f"<work-title>Take {piece['number']}, D minor</work-title>".encode() in score.content
    phone = client.get(f"/files/{piece['id']}.phone.svg").raise_for_status()
    paper, narrow = (int(re.findall(rb'viewBox="0 0 (\d+)', one.content)[0]) for one in (page, phone))
    assert narrow < paper / 2 + 1
    assert (workdir / "studio/scores" / f"{piece['id']}.svg").is_file()
    client.delete(f"/api/pieces/{piece['id']}").raise_for_status()
    assert not list((workdir / "studio/scores").iterdir())


@pytest.mark.slow
def test_a_piece_is_to_the_byte_what_the_command_line_writes(client, workdir, tmp_path):
    piece = written(client, OPTIONS)
    ours = client.get(f"/files/{piece['id']}.mid")
    options = ["--num-notes", 24, "--temperature", 1.1, "--key", "D minor", "--tempo", 90, "--meter", "3/4"]
    assert ours.content == _sampled(workdir, tmp_path, *options, "--seed", 5)
    assert (
        ours.headers["content-disposition"]
        == f"attachment; filename*=utf-8''Take%20{piece['number']}%2C%20D%20minor.mid"
    )
    assert piece["notes"] == 24


def test_a_piece_goes_on_from_an_uploaded_file_and_sample_again_makes_it_anew(client, workdir, tmp_path):
    taken = upload(client, tune_bytes()).raise_for_status().json()
    primer = {"name": taken["name"], "sha256": taken["sha256"]}
    piece = written(client, {"num_notes": 16, "seed": 2, "primer_start": 2, "primer_bars": 2}, primer)
    assert piece["primer_ticks"] > 0
    assert piece["primer"] == primer
    (tmp_path / "tune.mid").write_bytes(tune_bytes())
    options = ["--primer", tmp_path / "tune.mid", "--primer-start", 2, "--primer-bars", 2, "--num-notes", 16]
    assert client.get(f"/files/{piece['id']}.mid").content == _sampled(workdir, tmp_path / "a", *options, "--seed", 2)
    file = workdir / "studio" / f"{piece['id']}.mid"
    assert main(["sample", "--again", str(file), "--output", str(tmp_path / "again"), "--no-audio"]) == 0
    assert (tmp_path / "again/piece-000.mid").read_bytes() == file.read_bytes()


def test_takes_are_to_the_byte_what_the_command_line_writes_and_one_can_be_had_again(client, workdir, tmp_path):
    events = write(client, {"num_notes": 12, "seed": 8, "num_pieces": 3})
    takes = events[-1]["pieces"]
    assert {event["take"] for event in events if event["event"] == "notes"} == {0, 1, 2}
    assert [take["take"] for take in takes] == [0, 1, 2]
    assert np.diff([take["number"] for take in takes]).tolist() == [1, 1]
    _sampled(workdir, tmp_path, "--num-notes", 12, "--seed", 8, "--num-pieces", 3)
    for number, take in enumerate(takes):
        ours = client.get(f"/files/{take['id']}.mid").content
        assert ours == (tmp_path / f"piece-{number:03d}.mid").read_bytes()
    client.delete(f"/api/pieces/{takes[2]['id']}").raise_for_status()
    again = written(client, {"num_notes": 12, "seed": 8, "num_pieces": 3}, take=2)
    assert (again["sha256"], again["is_new"]) == (takes[2]["sha256"], True)


@pytest.mark.parametrize(
    ("name", "options", "given"),
    [
        ("fill", {"fill_bars": [3, 2]}, ["--fill-bars", 3, 2]),
        ("harmonise", {"melody": ["Acoustic Bass"], "instruments": ["Flute"]},
         ["--melody", "Acoustic Bass", "--instruments", "Flute"]),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_music_around_given_notes_is_what_the_command_line_writes_and_can_be_made_again(
    client, workdir, tmp_path, name, options, given
):
    taken = upload(client, tune_bytes()).json()
    file = {"name": taken["name"], "sha256": taken["sha256"]}
    events = write(client, {**options, "particles": 8, "seed": 4}, **{name: file})
    (piece,) = events[-1]["pieces"]
    shares = [event["share"] for event in events if event["event"] == "share"]
    assert len(shares) > 1
    assert shares == sorted(shares)
    assert piece[name] == file
    (tmp_path / "tune.mid").write_bytes(tune_bytes())
    command = [f"--{name}", tmp_path / "tune.mid", *given, "--particles", 8, "--seed", 4]
    assert client.get(f"/files/{piece['id']}.mid").content == _sampled(workdir, tmp_path / "a", *command)
    kept = workdir / "studio" / f"{piece['id']}.mid"
    assert main(["sample", "--again", str(kept), "--output", str(tmp_path / "again"), "--no-audio"]) == 0


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"options": {"fill_bars": [90, 2]}, "fill": True}, "tune.mid: there are no bars 90 to 91 in "),
        ({"options": {"fill_bars": [1, 10]}, "fill": True}, "tune.mid: no note follows bar 10; continue the piece"),
        ({"fill": True, "harmonise": True}, "harmonise and fill exclude each other"),
        ({"take": 1}, "take 1 is not from 0 to 0"),
        ({"judge": "x"}, "the request has 'judge'; it takes options, take and one of primer, harmonise, fill"),
    ],
)
def test_what_cannot_be_written_around_is_refused_in_one_line(client, asked, message):
    taken = upload(client, tune_bytes()).json()
    file = {"name": taken["name"], "sha256": taken["sha256"]}
    answer = client.post("/api/pieces", json={name: file if one is True else one for name, one in asked.items()})
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (422, message)


def test_notes_come_while_they_are_written_and_each_comes_once(client):
    events = write(client, {"num_notes": 300, "seed": 3})
    parts = [event["notes"] for event in events if event["event"] == "notes"]
    assert len(parts) > 1
    assert sorted(note for part in parts for note in part) == sorted(events[-1]["pieces"][0]["roll"]["notes"])
    assert next(event["event"] for event in events if event["event"] != "waiting") == "writing"


def test_time_on_the_page_is_that_of_the_midi_file(client):
    piece = written(client, {"num_bars": 4, "seed": 4})
    roll, read = piece["roll"], midi.read(client.get(f"/files/{piece['id']}.mid").content)
    ticks = read.notes.onset
    rows = np.array(roll["tempos"])
    row = rows[np.searchsorted(rows[:, 0], ticks, side="right") - 1]
    np.testing.assert_allclose(row[:, 1] + (ticks - row[:, 0]) * row[:, 2], read.seconds(ticks), atol=1e-9)
    assert roll["notes"] == np.stack(read.notes, axis=1).tolist()
    assert roll["bars"][-1] >= roll["end"]


def test_the_same_seed_and_wishes_are_one_piece_of_the_history(client):
    first, second = (written(client, {"num_notes": 8, "seed": 77}) for _ in range(2))
    assert (first["is_new"], second["is_new"]) == (True, False)
    assert first["id"] == second["id"]
    assert [piece["seed"] for piece in client.get("/api/pieces").json()["pieces"]].count(77) == 1
    assert written(client, {"num_notes": 8, "seed": 78})["sha256"] != first["sha256"]


@pytest.mark.slow
def test_pieces_are_there_when_the_studio_is_opened_again(workdir, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(workdir, folder)
    with open_studio(folder) as client:
        piece = written(client, {**OPTIONS, "seed": 91})
    with open_studio(folder) as client:
        found = next(other for other in client.get("/api/pieces").json()["pieces"] if other["seed"] == 91)
        assert found["options"] == {name: value for name, value in OPTIONS.items() if name != "seed"}
        assert client.get(f"/api/pieces/{found['id']}").json()["roll"] == piece["roll"]
        assert client.delete(f"/api/pieces/{found['id']}").status_code == 204
        assert client.get(f"/api/pieces/{found['id']}").status_code == 404
        assert found not in client.get("/api/pieces").json()["pieces"]
    assert not [path for path in (folder / "studio").iterdir() if path.name.startswith(piece["id"])]


def test_sound_is_rendered_when_it_is_asked_for(client):
    piece = written(client, {"num_notes": 4, "seed": 6})
    with wave.open(io.BytesIO(client.get(f"/files/{piece['id']}.wav").raise_for_status().content)) as sound:
        assert sound.getnframes() / sound.getframerate() > piece["seconds"]
    part = client.get(f"/files/{piece['id']}.wav", headers={"range": "bytes=0-99"})
    assert (part.status_code, len(part.content)) == (206, 100)  # or browsers could not go to another place


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "H major"}, "key 'H major' is neither a tonic and a mode"),
        ({"tempo": 300}, "tempo 300 is not from 16 to 263 beats per minute"),
        ({"meter": "4/5"}, "meter 4/5 is not from 1 to"),
        ({"style": "baroque"}, "style 'baroque' is not one that the model knows: calm, wild"),
        ({"instruments": ["Flut"]}, "did you mean"),
        ({"num_bars": 4, "num_notes": 4}, "exclude each other"),
        ({"pitch_range": ["C6", "C4"]}, "is empty"),
        ({"temperature": -1}, "temperature -1 is not from 0 to 4"),
        ({"temperature": float("inf")}, "temperature must be a number, not inf"),
        ({"seed": 2**40}, "is not from 0 to"),
        ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"num_pieces": 8}, "num_pieces 8 is not from 1 to 4"),
        ({"best_of": 2}, "'best_of' is not one of the options"),
        ({"fill_bars": [0, 1]}, "fill_bars 0 is not from 1 to"),
        ({"field_temperature": [["lyrics", 1]]}, "field 'lyrics' has no temperature"),
    ],
)
def test_wishes_that_cannot_be_are_answered_by_the_librarys_own_line(client, options, message):
    answer = client.post(
        "/api/pieces", content=json.dumps({"options": options}), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert message in answer.json()["message"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "song.mid is not a MIDI file: begins with b''"),
        (b"MThd\0\0\0\6\0\1\0\1\0\x60", "song.mid is cut short: the file ends after 0 of 1 tracks"),
        (b"PK\3\4 no music", "song.mid is not a MIDI file"),
    ],
)
def test_a_file_that_is_no_music_is_refused_in_one_line(client, data, message):
    answer = upload(client, data, "song.mid")
    assert answer.status_code == 422
    assert message in answer.json()["message"]


NOTES = "cdefgabc" * 4
ABC = f"X:1\nM:4/4\nL:1/4\nK:C\n{NOTES}|\n".encode()
KERN = "\n".join(["**kern", "*M4/4", *(f"4{note}" for note in NOTES), "*-", ""]).encode()
MUSICXML = (
    '<score-partwise><part-list><score-part id="P"><part-name>p</part-name></score-part></part-list><part id="P">'
    "<measure><attributes><divisions>1</divisions></attributes>"
    + "".join(
        f"<note><pitch><step>{note.upper()}</step><octave>4</octave></pitch><duration>1</duration></note>"
        for note in NOTES
    )
    + "</measure></part></score-partwise>"
).encode()


@pytest.mark.parametrize(
    ("name", "data"), [("tune.ABC", ABC), ("song.krn", KERN), ("song.musicxml", MUSICXML), ("song.xml", MUSICXML)]
)
def test_a_piece_goes_on_from_a_score(client, name, data):
    if not name.endswith("ABC"):
        pytest.importorskip("verovio", reason="the extra notation is not installed")
    taken = upload(client, data, name).raise_for_status().json()
    assert (taken["name"], taken["notes"]) == (f"{name}.mid", len(NOTES))
    primer = {"name": taken["name"], "sha256": taken["sha256"]}
    piece = written(client, {"num_notes": 8, "primer_bars": 2}, primer)
    assert piece["primer"]["sha256"] == taken["sha256"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("song.abc", "song.abc cannot be read: has no tune: no line begins with K:"),
        ("song.mxl", "song.mxl cannot be read: not well-formed XML: syntax error"),
    ],
)
def test_a_file_that_is_no_score_is_refused_in_one_line(client, name, message):
    pytest.importorskip("verovio", reason="the extra notation is not installed")
    answer = upload(client, b"no music", name)
    assert (answer.status_code, answer.json()["message"].partition(": line")[0]) == (422, message)


def test_a_score_that_needs_an_extra_names_it(client, monkeypatch, tmp_path):
    (tmp_path / "verovio.py").write_text("raise ModuleNotFoundError")
    monkeypatch.syspath_prepend(tmp_path)  # child processes get it too
    monkeypatch.setattr(scores, "Limits", functools.partial(Limits, wall_s=61))  # so that there is no child yet
    answer = upload(client, KERN, "song.krn")
    message = "song.krn cannot be read: needs verovio: pip install 'ostinato[notation]'"
    assert (answer.status_code, answer.json()["message"]) == (422, message)


@pytest.mark.slow
def test_a_score_that_takes_too_much_of_the_machine_ends_the_child_and_not_the_server(client, monkeypatch):
    pytest.importorskip("verovio", reason="the extra notation is not installed")
    monkeypatch.setattr(scores, "Limits", functools.partial(Limits, memory_mb=100))
    answer = upload(client, MUSICXML.replace(b"</measure>", b"</measure>" + b"<measure/>" * 50_000), "song.xml")
    assert (answer.status_code, "song.xml cannot be read: killed by SIG" in answer.json()["message"]) == (422, True)
    assert upload(client, MUSICXML, "song.xml").status_code == 201


def test_bars_that_a_file_does_not_have_are_refused_without_the_servers_paths(client, workdir):
    taken = upload(client, tune_bytes(), "tune.mid").json()
    primer = {"name": taken["name"], "sha256": taken["sha256"]}
    answer = client.post("/api/pieces", json={"options": {"primer_start": 90, "primer_bars": 1}, "primer": primer})
    assert answer.status_code == 422
    assert answer.json()["message"] == f"tune.mid: there is no bar 90 in a piece of {taken['bars']} bars"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd.mid"),
        ("C:\\Users\\a\\song.MID", "song.MID"),
        ("", "music.mid"),
        ("...", "music.mid"),
        ("Präludium <b>.mid", "Präludium _b_.mid"),
        ("x" * 400 + ".mid", "x" * 80 + ".mid"),
    ],
)
def test_names_of_uploads_stay_in_their_folder(client, workdir, name, kept):
    taken = upload(client, tune_bytes(), name).raise_for_status().json()
    assert taken["name"] == kept
    assert (workdir / "studio/uploads" / taken["sha256"] / kept).is_file()


@pytest.mark.parametrize("primer", [{"name": "../x", "sha256": "0" * 64}, {"name": "a.mid", "sha256": "../"}, 7, {}])
def test_a_primer_that_was_not_uploaded_is_refused(client, primer):
    answer = client.post("/api/pieces", json={"options": {}, "primer": primer})
    assert (answer.status_code, "choose it once more" in answer.text) == (422, True)


def test_an_upload_that_was_deleted_is_named_and_its_piece_stays_readable(client, workdir, tmp_path, capsys):
    taken = upload(client, tune_bytes(), "gone.mid").json()
    file = {"name": taken["name"], "sha256": taken["sha256"]}
    asked = {"num_notes": 4, "seed": 3, "primer_bars": 1}
    piece = written(client, asked, file)
    path = workdir / "studio/uploads" / taken["sha256"] / "gone.mid"
    path.unlink()
    answer = client.post("/api/pieces", json={"options": asked, "primer": file})
    said = "gone.mid, which this piece needs, is no longer among the uploads; choose it once more"
    assert (answer.status_code, answer.json()["message"]) == (422, said)
    assert client.get(f"/api/pieces/{piece['id']}").json()["primer"] == file
    kept = workdir / "studio" / f"{piece['id']}.mid"
    assert read_recipe(kept).origin["inputs"]["primer"] == file
    assert main(["sample", "--again", str(kept), "--output", str(tmp_path), "--no-audio"]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert f"was made with --primer gone.mid, and it is no longer at {path}; name it with --primer" in said
    assert not list(tmp_path.glob("*.mid"))


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8001", 200), ("localhost:8001", 200), ("[::1]:8001", 200), ("evil.example", 421), ("192.0.2.7", 421)],
)
def test_a_local_studio_answers_to_names_of_this_machine_only(client, host, status):
    assert client.get("/api/model", headers={"host": host}).status_code == status


def test_a_studio_on_the_network_answers_to_addresses_and_names_that_were_allowed(workdir):
    client = open_studio(workdir, host="0.0.0.0", public_host=("studio.example",))
    statuses = [client.get("/api/pieces", headers={"host": host}).status_code for host in
                ("192.0.2.7:8001", "Studio.example", "evil.example")]  # fmt: skip
    assert statuses == [200, 200, 421]


def test_other_sites_can_neither_ask_nor_read_nor_frame(client):
    headers = {"sec-fetch-site": "cross-site", "content-type": "application/json"}
    assert client.post("/api/pieces", content="{}", headers=headers).status_code == 403
    assert client.delete("/api/pieces/x", headers=headers).status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):  # what forms can send
        for path in ("/api/pieces", "/api/uploads"):
            assert client.post(path, content=b"{}", headers={"content-type": kind}).status_code == 415
    answer = client.get("/")
    assert "access-control-allow-origin" not in answer.headers
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in answer.text
    assert " style=" not in answer.text


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ([[0, 24, 60, 80, 0], [0, 24, 128, 80, 0]], "note 2 has the pitch 128; allowed is 0 to 127"),
        ([[-6, 24, 60, 80, 0]], "note 1 begins at tick -6; allowed is 0 to 2147483647"),
        ([[0, 0, 60, 80, 0]], "note 1 is as many ticks long as 0; allowed is 1 to 2147483647"),
        ([[0, 24, 60, 0, 0]], "note 1 has the velocity 0; allowed is 1 to 127"),
        ([[0, 24, 60, 80, 129]], "note 1 has the program 129; allowed is 0 to 128"),
        ([[10**20, 24, 60, 80, 0]], "note 1 begins at tick 100000000000000000000; allowed is 0 to 2147483647"),
        ([[10**7, 24, 60, 80, 0]], "at most 50,000 in 20,000 are taken"),
        ([[0, 24, 60]], "the request: damaged (notes[0]: expected array of length 5, got 3)"),
        ([[0, 24, 60.5, 80, 0]], "the request: damaged (notes[0][2]: expected int, got float)"),
        ([], "the request: damaged (notes: expected array of length >= 1)"),
    ],
)
def test_notes_that_cannot_be_are_refused_in_one_line(client, notes, message):
    piece = written(client, {"num_notes": 4, "seed": 2})
    answer = client.post("/api/edits", json={"piece": piece["id"], "notes": notes})
    assert answer.status_code == 422
    assert message in answer.json()["message"]


def test_too_much_is_refused(client):
    assert upload(client, bytes(2_000_001)).status_code == 413
    answer = client.post("/api/pieces", content=b" " * 40_000, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_the_page_and_its_files_are_below_the_prefix(workdir):
    client = open_studio(workdir, prefix="/studio")
    for path in ("/studio/", "/", "/studio/static/studio.js", "/studio/static/icon.svg", "/studio/api/pieces"):
        assert client.get(path).status_code == 200, path
    assert client.get("/studio", follow_redirects=False).headers["location"] == "/studio/"
    assert client.get("/static/..%2fapp.py").status_code == 404


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=6), part, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["seed", "tempo", "meter", "key", "key_bias", "instruments", "pitch_range", "field_temperature", "style", "top_p",
     "top_k", "min_p", "density", "temperature", "loop_guard", "primer_start", "primer_bars", "num_bars", "num_seconds"]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_NAMES | st.text(max_size=5), _ANYTHING, max_size=3), _ANYTHING)
def test_no_request_is_an_error_of_the_server(client, options, primer):
    body = json.dumps({"options": {"num_notes": 2, **options}, "primer": primer})
    answer = client.post("/api/pieces", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 422)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["/api/pieces", "/api/uploads", "/files/", "/api/pieces/"]),
    st.text(max_size=20),
    st.binary(max_size=60),
)
def test_no_bytes_are_an_error_of_the_server(client, path, name, data):
    if path.endswith("/"):
        answer = client.get(path + name.encode("utf-8", "replace").hex())
    else:
        kind = "application/json" if path == "/api/pieces" else "audio/midi"
        answer = client.post(path, params={"name": name}, content=data, headers={"content-type": kind})
    assert answer.status_code < 500
