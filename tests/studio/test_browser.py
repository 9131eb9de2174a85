"""The studio in a real browser: desktop and phone, mouse, touch and keyboard, with a tiny model that really writes."""

import base64
import contextlib
import re
import signal
import subprocess
import sys
import time

import pytest

from ostinato.launch.cli import main
from ostinato.music import midi
from ostinato.sample.output.provenance import read_recipe
from tests.chromium import IN_BOTH_BROWSERS, INK_OF
from tests.studio.studios import make_run, tune_bytes

pytestmark = pytest.mark.slow

DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 375, "height": 720}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}
WIDER = "() => document.scrollingElement.scrollWidth > document.documentElement.clientWidth"
DEADLINE_S = 60
KEEP_CONTEXTS = """(() => {
  window.contexts = [];
  const Real = window.AudioContext;
  window.AudioContext = class extends Real { constructor(...given) { super(...given); window.contexts.push(this); } };
})()"""
IGNORED = (
    "Canvas2D: Multiple readback",  # the test itself looks at the canvas that often
    "The page's settings blocked an inline style".replace("'", "\u2019"),  # Firefox's driver adds one to take a picture
)
INK = f"() => ({INK_OF})(document.getElementById('roll'))"
WATCH_INK = f"""() => {{
  window.seen = new Set();
  const ink = {INK};
  setInterval(() => {{
    if (document.getElementById("stage").getAttribute("aria-busy") === "true") window.seen.add(ink());
  }}, 50);
}}"""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def server(workdir):
    """The process and the address of a studio below a prefix."""
    command = [sys.executable, "-m", "ostinato.launch.cli", "studio", str(workdir), "--port", "0", "--prefix", "/music"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[0]
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) in (0, -signal.SIGTERM)
        finally:
            process.kill()  # where something has failed; else it has ended


@pytest.fixture
def studio(visit, server):
    """Opens the page, ready to generate."""

    @contextlib.contextmanager
    def opened(*, refused=0, **options):
        with visit(server[1], refused=refused, ignored=IGNORED, **options) as page:
            page.context.add_init_script(KEEP_CONTEXTS)
            page.set_default_timeout(1000 * DEADLINE_S)
            page.goto(server[1])
            page.locator("#status", has_text=re.compile("Ready|set again")).wait_for()
            yield page

    return opened


def _fill(field, text):
    """Types over what stands in a field; `fill` of Playwright writes beside it in Firefox."""
    field.press("Control+A")
    field.press_sequentially(text)


def _write(page, *, notes=24, seed=None):
    page.locator("#unit").select_option("num_notes")
    _fill(page.locator("#length"), str(notes))
    if seed is not None:
        page.evaluate("document.getElementById('more').open = true")
        _fill(page.locator("#seed"), str(seed))
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator("#after:not([hidden])").wait_for()


def _pick(page, name, value):
    page.locator(f'[name={name}][value="{value}"]').check()


def _unfold(page):
    """Opens what a phone folds."""
    page.evaluate("for (const one of document.querySelectorAll('.fold')) one.open = true")


def _position(page):
    return float(page.locator("#position").input_value())


def _until(page, condition):
    """Waits until JavaScript says yes; the page's policy forbids to hand it over as text to be evaluated there."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not page.evaluate(condition):
        assert time.monotonic() < deadline_s, (condition, page.locator("#status").inner_text())
        page.wait_for_timeout(30)


def _downloaded(page, name, folder):
    with page.expect_download() as download:
        page.get_by_role("link", name=name).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


@pytest.mark.parametrize(("name", "options"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_a_piece_is_written_drawn_played_and_taken_home(workdir, studio, pictures, tmp_path, name, options):
    with studio(**options) as page:
        held = []
        page.route("**/*.flac", lambda route: held.append(route))  # the full sound is late: the simple one plays first
        _unfold(page)
        _pick(page, "tonic", "D")
        _fill(page.locator("#tempo"), "240")
        _write(page, notes=100)
        _until(page, f"({INK})() > 100")
        assert page.get_by_role("button", name="Generate", exact=True).is_visible()
        page.screenshot(path=pictures / f"studio-{name}-written.png", full_page=True)
        assert not page.evaluate(WIDER)

        _until(page, "document.getElementById('sound').networkState === HTMLMediaElement.NETWORK_LOADING")
        page.request.get(page.evaluate("document.getElementById('sound').src"))  # from now on it is rendered
        page.get_by_role("button", name="Play").click()
        _until(page, "window.contexts.length === 1 && window.contexts[0].currentTime > 0.3")
        assert _position(page) > 0
        assert page.evaluate("document.getElementById('sound').paused")
        page.screenshot(path=pictures / f"studio-{name}-playing.png")
        for route in held:
            route.continue_()
        _until(page, "!document.getElementById('sound').paused && document.getElementById('sound').currentTime > 0.5")
        before = _position(page)
        _until(page, f"Number(document.getElementById('position').value) > {before}")
        page.get_by_role("button", name="Pause").click()
        assert page.evaluate("document.getElementById('sound').paused")
        page.get_by_role("button", name="Stop", exact=True).click()
        assert _position(page) == 0

        file = _downloaded(page, "Download MIDI", tmp_path)
        recipe = read_recipe(file).origin
        assert [recipe["options"][name] for name in ("num_notes", "key", "tempo")] == [100, "D major", 240]
        again = ["sample", "--again", str(file), "--workdir", str(workdir), "--output", str(tmp_path), "--no-audio"]
        assert main(again) == 0
        assert (tmp_path / "piece-000.mid").read_bytes() == file.read_bytes()
        assert _downloaded(page, "Download WAV", tmp_path).read_bytes()[:4] == b"RIFF"


@IN_BOTH_BROWSERS
def test_the_rendered_sound_of_a_piece_plays(studio):
    # Firefox starts no AudioContext without a sound card: what the page synthesizes is tested in Chromium.
    with studio(**DESKTOP) as page:
        _write(page, notes=40)
        _until(page, f"({INK})() > 100")
        _until(page, "!document.getElementById('sound-state').textContent")
        page.get_by_role("button", name="Play", exact=True).click()
        _until(page, "document.getElementById('sound').currentTime > 0.3")
        assert _position(page) > 0
        page.get_by_role("button", name="Stop", exact=True).click()
        assert _position(page) == 0


def test_the_roll_grows_and_plays_while_the_piece_is_being_generated(server, studio):
    process, _ = server
    with studio(**DESKTOP) as page:
        page.locator("#unit").select_option("num_notes")
        _fill(page.locator("#length"), "8192")
        page.evaluate(WATCH_INK)
        page.get_by_role("button", name="Generate", exact=True).click()
        _until(page, "!document.getElementById('play').disabled")
        process.send_signal(signal.SIGSTOP)  # however fast the machine is, the piece is not whole
        try:
            _until(page, "window.seen.size > 2")  # the roll grows, note by note
            page.get_by_role("button", name="Play").click()
            _until(page, "Number(document.getElementById('position').value) > 0.3")
            page.get_by_role("button", name="Stop generating").click()
            page.locator("#status", has_text="Stopped.").wait_for()
        finally:
            process.send_signal(signal.SIGCONT)
        _until(page, "fetch('api/model').then(answer => answer.json()).then(model => model.num_open === 0)")
        pieces = _pieces(page)
        assert not any(piece["notes"] == 8192 for piece in pieces)  # nobody waited: it was not written to its end


def test_a_piece_goes_on_from_a_file(studio, pictures):
    with studio(refused=1, **DESKTOP) as page:
        page.locator("#file").set_input_files({"name": "not music.mid", "mimeType": "audio/midi", "buffer": b"hello"})
        page.get_by_role("alert").filter(has_text="not music.mid is not a MIDI file").wait_for()
        page.locator("#file").set_input_files({"name": "tune.mid", "mimeType": "audio/midi", "buffer": tune_bytes()})
        page.locator("#primer-name", has_text="tune.mid").wait_for()
        assert page.get_by_role("alert").is_hidden()
        _fill(page.get_by_label("Take bars"), "2")
        _fill(page.locator("#last-bar"), "3")
        page.screenshot(path=pictures / "studio-upload.png")
        _write(page, notes=12)
        assert "begins withtune.mid" in (page.locator("#recipe").text_content() or "")
        piece = _pieces(page)[0]
        assert (piece["options"]["primer_start"], piece["options"]["primer_bars"]) == (2, 2)
        assert "meter" not in piece["options"]  # the file has its own
        page.get_by_role("button", name="Continue this piece").click()
        page.locator("#primer-name", has_text=re.compile(r"Take \d+.*\.mid")).wait_for()
        assert page.locator("#last-bar").input_value() == str(piece["bars"])


_DROP = """([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), one => one.charCodeAt(0)), given = new DataTransfer();
  given.items.add(new File([bytes], name));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true }));
}"""


def _drop_file(page, name, data):
    page.evaluate(_DROP, [name, base64.b64encode(data).decode()])


def test_of_several_files_that_are_dropped_on_the_page_the_last_one_stays(studio):
    late = []
    with studio(refused=1, **DESKTOP) as page:
        page.route(re.compile("name=(first|nothing).mid"), lambda route: late.append(route))
        _drop_file(page, "first.mid", tune_bytes(2))
        _drop_file(page, "nothing.mid", b"hello")
        _drop_file(page, "last.mid", tune_bytes())
        page.locator("#primer-name", has_text="last.mid").wait_for()
        _until(page, f"({INK})() > 100")
        summary, ink = page.locator("#primer-summary").inner_text(), page.evaluate(INK)
        for route in late:
            with page.expect_response(route.request.url):
                route.continue_()
        page.evaluate("fetch('api/model').then(answer => answer.json())")  # the page has had its time
        assert len(late) == 2
        assert (page.locator("#primer-name").inner_text(), page.locator("#primer-summary").inner_text()) == (
            "last.mid",
            summary,
        )
        assert page.evaluate(INK) == ink
        assert page.get_by_role("alert").is_hidden()


def test_an_earlier_piece_comes_back_with_its_wishes_and_its_seed(studio, pictures):
    with studio(**DESKTOP) as page:
        _pick(page, "tonic", "E")
        _pick(page, "mode", "dorian")
        page.get_by_role("checkbox", name="Flute").count() or page.locator("#add-instrument").select_option("Flute")
        page.locator("#meter").select_option("3/4")
        _write(page, notes=20, seed=1234)
        first = _pieces(page)[0]
    with studio(**PHONE) as page:  # another device
        title = f"Take {first['number']}, {first['key']}"
        page.locator("#pieces .open", has_text=title).tap()
        page.locator("#piece-title", has_text=title).wait_for()
        _until(page, "document.querySelector('[name=mode]:checked').value === 'dorian'")
        wishes = [page.locator(f"#{name}").input_value() for name in ("meter", "length", "unit")]
        assert wishes == ["3/4", "20", "num_notes"]
        assert page.locator("[name=tonic][value=E]").is_checked()
        assert page.get_by_role("checkbox", name="Flute").is_checked()
        page.get_by_role("button", name="Again, same seed").click()
        page.locator("#status", has_text="the same piece, note for note").wait_for()
        assert page.evaluate("document.activeElement.id") == "write"  # the button that was pressed was hidden meanwhile
        page.get_by_role("button", name="Again, new seed").click()
        page.locator("#status", has_text="Generated: 20 notes").wait_for()
        newest = _pieces(page)[0]
        assert newest["options"] == first["options"]
        assert newest["sha256"] != first["sha256"]
        page.screenshot(path=pictures / "studio-history.png", full_page=True)
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name=f"Delete {title}").click()
        page.locator("#status", has_text="Deleted.").wait_for()
        assert not page.locator("#pieces .open", has_text=title).count()


_MIDI_KEYBOARD = """(() => {
  const input = { name: "Keystation 49", onmidimessage: null };
  window.midiInput = input;
  navigator.requestMIDIAccess = async () => ({ inputs: new Map(window.isUnplugged ? [] : [["1", input]]) });
})()"""
_REFUSED_MIDI = """(() => {
  navigator.requestMIDIAccess = async () => { throw new DOMException("no", "NotAllowedError"); };
})()"""


def test_what_is_played_on_a_midi_keyboard_begins_a_piece(studio):
    # No machine of a test has a MIDI keyboard: what the browser would hand over is put in its place, all else is real.
    with studio(**DESKTOP) as page:
        page.evaluate(_MIDI_KEYBOARD)
        _fill(page.locator("#tempo"), "240")
        page.locator("#keys summary").click()
        page.get_by_role("button", name="Use a MIDI keyboard").click()
        page.locator("#midi-state", has_text="Listening to Keystation 49.").wait_for()
        page.get_by_role("button", name="Record").click()
        _until(page, "window.contexts[0].currentTime > 1.2")  # a bar of four quarters at 240 is counted in
        for pitch in (48, 55, 88):  # also where the keys on screen end; note off comes in both its spellings
            page.evaluate("pitch => midiInput.onmidimessage({ data: [0x90, pitch, 70] })", pitch)
            page.wait_for_timeout(120)
            page.evaluate(
                "data => midiInput.onmidimessage({ data })", [0x80, pitch, 0] if pitch == 55 else [0x90, pitch, 0]
            )
        page.evaluate("midiInput.onmidimessage({ data: [0xf8] })")  # the clock that many keyboards send
        page.get_by_role("button", name="Done").click()
        page.locator("#primer-name", has_text="played.mid").wait_for()
        assert "3 notes" in page.locator("#primer-summary").inner_text()
        _write(page, notes=8)
        piece = page.evaluate("id => fetch(`api/pieces/${id}`).then(answer => answer.json())", _pieces(page)[0]["id"])
        assert [note[2] for note in sorted(piece["roll"]["notes"])[:3]] == [48, 55, 88]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (_REFUSED_MIDI, "The browser does not let the page listen to MIDI keyboards."),
        (f"window.isUnplugged = true; {_MIDI_KEYBOARD}", "No MIDI keyboard is connected."),
    ],
)
def test_a_midi_keyboard_that_cannot_be_used_is_said_in_a_line(studio, script, said):
    with studio(**DESKTOP) as page:
        page.evaluate(script)
        page.locator("#keys summary").click()
        page.get_by_role("button", name="Use a MIDI keyboard").click()
        page.locator("#midi-state", has_text=said).wait_for()


def _pieces(page):
    return page.evaluate("fetch('api/pieces').then(answer => answer.json())")["pieces"]


def _begin_with(page, *, notes=48):
    tune = {"name": "tune.mid", "mimeType": "audio/midi", "buffer": tune_bytes()}
    page.locator("#file").set_input_files(tune)
    page.locator("#primer-name", has_text="tune.mid").wait_for()


def _draw_over(page, first, last):
    """Draws over the roll with the mouse, between two places from 0 to 1."""
    page.locator("#roll").scroll_into_view_if_needed()
    box = page.locator("#roll").bounding_box()
    x, y = (lambda place: box["x"] + 30 + place * (box["width"] - 30)), box["y"] + box["height"] / 2
    page.mouse.move(x(first), y)
    page.mouse.down()
    page.mouse.move(x(last), y, steps=4)
    page.mouse.up()


def test_several_takes_are_heard_side_by_side_and_the_best_is_kept(studio, pictures):
    with studio(**DESKTOP) as page:
        before = len(_pieces(page))
        _pick(page, "takes", 3)
        _write(page, notes=30)
        page.locator("#status", has_text="3 takes").wait_for()
        cards = page.locator("#take-list li")
        assert cards.count() == 3
        page.screenshot(path=pictures / "studio-takes.png", full_page=True)
        cards.nth(1).get_by_role("button", name=re.compile("^Hear Take")).click()
        _until(page, "document.getElementById('play').textContent === 'Pause'")
        title = cards.nth(1).locator("strong").inner_text()
        assert page.locator("#piece-title").inner_text() == title
        kept = _pieces(page)[1]
        cards.nth(1).get_by_role("button", name=re.compile("^Keep only Take")).click()
        page.locator("#status", has_text="the others are deleted").wait_for()
        assert page.locator("#takes").is_hidden()
        assert (len(_pieces(page)), _pieces(page)[0]["id"]) == (before + 1, kept["id"])
        page.get_by_role("button", name="Again, same seed").click()
        page.locator("#status", has_text="the same piece, note for note").wait_for()


@IN_BOTH_BROWSERS
def test_bars_that_are_drawn_over_are_generated_anew_and_the_others_stay(workdir, studio, pictures, tmp_path):
    with studio(**DESKTOP) as page:
        _begin_with(page)
        _draw_over(page, 0.25, 0.45)
        chosen = [int(page.locator(f"#{name}").input_value()) for name in ("from-bar", "to-bar")]
        assert chosen[0] > 1
        assert [page.locator(f"#{name}").input_value() for name in ("first-bar", "last-bar")] == list(map(str, chosen))
        page.screenshot(path=pictures / "studio-bars.png", full_page=True)
        page.get_by_role("button", name=re.compile(r"^Generate bars? .* again$")).click()
        page.locator("#after:not([hidden])").wait_for()
        assert "tune.mid" in page.locator("#recipe").text_content()
        piece = _pieces(page)[0]
        assert piece["options"]["fill_bars"] == [chosen[0], chosen[1] - chosen[0] + 1]
        file = _downloaded(page, "Download MIDI", tmp_path)
        again = [
            "sample",
            "--again",
            str(workdir / "studio" / f"{piece['id']}.mid"),
            "--output",
            str(tmp_path / "again"),
        ]
        assert main([*again, "--no-audio"]) == 0
        assert (tmp_path / "again/piece-000.mid").read_bytes() == file.read_bytes()


def test_other_parts_are_added_to_those_that_are_heard_alone(studio):
    with studio(refused=0, **DESKTOP) as page:
        _begin_with(page)
        page.get_by_role("button", name="Solo Acoustic Bass").click()
        page.locator("#add-instrument").select_option("Flute")
        page.get_by_role("button", name="Add the other parts").click()
        page.locator("#after:not([hidden])").wait_for()
        piece = _pieces(page)[0]
        assert piece["harmonise"]["name"] == "tune.mid"
        assert (piece["options"]["melody"], piece["options"]["instruments"]) == (["Acoustic Bass"], ["Flute"])
        assert set(piece["instruments"]) <= {"Acoustic Bass", "Flute"}


def test_parts_are_muted_and_bars_are_looped(studio):
    with studio(**DESKTOP) as page:
        _begin_with(page)
        page.get_by_role("button", name="Mute Acoustic Bass").click()
        assert page.locator("[aria-label='Mute Acoustic Bass']").get_attribute("aria-pressed") == "true"
        page.get_by_label("Volume of Acoustic Grand Piano").fill("0.5")
        _fill(page.locator("#from-bar"), "2")
        _fill(page.locator("#to-bar"), "2")
        page.get_by_label("Loop").check()
        page.get_by_role("button", name="Play", exact=True).click()
        # A bar of the tune takes two seconds: after three of them it would be over.
        _until(page, "window.contexts[0].currentTime > 3")
        assert 1.9 < _position(page) < 4.1
        assert page.get_by_role("button", name="Pause").is_visible()
        page.get_by_role("button", name="Zoom in").click()
        page.get_by_role("button", name="Whole piece").click()


@IN_BOTH_BROWSERS
def test_notes_are_moved_and_the_edited_piece_is_a_piece_of_its_own(workdir, studio, pictures, capfd):
    with studio(**DESKTOP) as page:
        _write(page, notes=20)
        first = _pieces(page)[0]
        read = "id => fetch(`api/pieces/${id}`).then(answer => answer.json())"
        notes = page.evaluate(read, first["id"])["roll"]["notes"]
        page.get_by_role("button", name="Edit notes").click()
        for key in ("ArrowRight", "ArrowUp", "ArrowUp", "Delete", "Control+z", "Control+z", "Control+z", "Control+y"):
            page.keyboard.press(key)  # what is left is one semitone up
        page.screenshot(path=pictures / "studio-edit.png")
        page.get_by_role("button", name="Save as a new piece").click()
        page.locator("#status", has_text="stays as it is").wait_for()
        edited = _pieces(page)[0]
        assert edited["edited"]["sha256"] == first["sha256"]
        now = page.evaluate(read, edited["id"])["roll"]["notes"]
        changed = [(a, b) for a, b in zip(sorted(notes), sorted(now), strict=True) if a != b]
        assert sum(b[2] - a[2] for a, b in changed) == 1
        page.get_by_role("button", name="Continue this piece").click()
        page.locator("#primer-name", has_text="Take").wait_for()
    assert main(["sample", "--again", str(workdir / "studio" / f"{edited['id']}.mid"), "--no-audio"]) == 2
    assert f"was edited by hand, from Take {first['number']}" in capfd.readouterr().err


def _drag(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=5)
    page.mouse.up()


def _place(page, note, roll):
    """Returns where a note is seen: its left end, the middle of its height, its length, a semitone, a tick; pixels."""
    box = page.locator("#roll").bounding_box()
    pitches = [one[2] for one in roll["notes"]]
    low, high = min(pitches) - 3, max(pitches) + 3
    missing = max(0, 24 - (high - low))
    low, high = low - missing // 2, high + -(-missing // 2)
    scale = (box["width"] - 32) / max(roll["bars"][-1], 16 * roll["ticks_per_quarter"])
    row = (box["height"] - 2 - 18) / (high - low + 1)
    left = box["x"] + 1 + 30 + note[0] * scale
    return left, box["y"] + 1 + 18 + (high - note[2] + 0.5) * row, note[1] * scale, row, scale


def test_notes_are_dragged_with_the_mouse_deleted_and_had_back(studio, pictures):
    with studio(viewport={"width": 1600, "height": 860}) as page:
        tune = {"name": "tune.mid", "mimeType": "audio/midi", "buffer": tune_bytes()}
        page.locator("#file").set_input_files(tune)
        page.locator("#primer-name", has_text="tune.mid").wait_for()
        with page.expect_response("**/api/uploads*") as answered:
            page.locator("#file").set_input_files({**tune, "name": "same.mid"})
        roll = answered.value.json()["roll"]
        page.locator("#primer-name", has_text="same.mid").wait_for()
        page.get_by_role("button", name="Edit notes").click()
        page.locator("#roll").scroll_into_view_if_needed()
        pitches = [note[2] for note in roll["notes"]]
        # The longest of those that begin early enough to be moved, and that nothing covers before or after.
        note = max(
            (
                one for one in roll["notes"]
                if min(pitches) < one[2] < max(pitches) - 2 and one[0] < roll["bars"][-1] / 2
                and [other for other in roll["notes"] if other[2] in (one[2], one[2] + 2)
                     and other[0] < one[0] + 2 * one[1] and one[0] < other[0] + other[1]] == [one]
            ),
            key=lambda one: one[1],
        )  # fmt: skip
        x, y, length, row, scale = _place(page, note, roll)
        grid = roll["ticks_per_quarter"] // 4
        assert length > 21  # pixels: it has an end to take hold of
        middle = x + length / 2
        _drag(page, (middle, y), (middle + 2 * grid * scale, y - 2 * row))  # later by two sixteenths, higher by a tone
        x, y = x + 2 * grid * scale, y - 2 * row
        _drag(page, (x + length - 2, y), (x + length - 2 + grid * scale, y))  # its right end: longer by a sixteenth
        page.screenshot(path=pictures / "studio-dragged.png")
        page.mouse.click(x + 4, y)
        page.get_by_role("button", name="Delete note").click()
        page.locator("#status", has_text="Deleted.").wait_for()
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("button", name="Save as a new piece").click()
        page.locator("#status", has_text="stays as it is").wait_for()
        piece = page.evaluate("id => fetch(`api/pieces/${id}`).then(answer => answer.json())", _pieces(page)[0]["id"])
        moved = [note[0] + 2 * grid, note[1] + grid, note[2] + 2, *note[3:]]
        expected = sorted([moved if one is note else one for one in roll["notes"]])
        assert sorted(piece["roll"]["notes"]) == expected


def _roll_of(page, piece):
    read = "id => fetch(`api/pieces/${id}`).then(answer => answer.json())"
    return page.evaluate(read, piece["id"])["roll"]


def test_notes_are_added_by_mouse_and_by_keys_and_are_in_the_midi_file(studio, pictures, tmp_path):
    # Firefox's driver makes two clicks of a double click, on any page.
    with studio(viewport={"width": 1600, "height": 860}) as page:
        with page.expect_response("**/api/uploads*") as answered:
            _begin_with(page)
        roll = answered.value.json()["roll"]
        page.get_by_role("button", name="Edit notes").click()
        page.locator("#roll").scroll_into_view_if_needed()
        names = page.locator("#note-instrument option").all_inner_texts()
        assert sorted(names) == ["Acoustic Bass", "Acoustic Grand Piano"]
        page.locator("#note-instrument").select_option("Acoustic Bass")
        bass = [note for note in roll["notes"] if note[4] == 32]
        grid, high = roll["ticks_per_quarter"] // 4, max(note[2] for note in roll["notes"]) + 2
        onsets = {note[0] for note in roll["notes"]}
        onset = next(
            tick for tick in range(grid, roll["bars"][-1], grid) if tick not in onsets and tick - grid not in onsets
        )
        # In the middle of a sixteenth, where no note begins: the note begins with the sixteenth.
        onset = max([onset, *[one for one in onsets if onset < one <= onset + grid // 2]])
        x, y, _, _, scale = _place(page, [onset, grid, high], roll)
        page.mouse.dblclick(x + grid // 2 * scale, y)
        page.locator("#status", has_text="Acoustic Bass, bar").wait_for()
        page.screenshot(path=pictures / "studio-added.png")
        like = min(bass, key=lambda note: abs(note[0] - onset))
        added = [onset, like[1], high, like[3], 32]
        for key in ("Enter", "ArrowDown", "Shift+ArrowRight", "Insert", "Control+z"):
            page.keyboard.press(key)  # one after it, a semitone lower, a sixteenth later; another, which is taken away
        page.get_by_role("button", name="Save as a new piece").click()
        page.locator("#status", has_text="stays as it is").wait_for()
        saved = _roll_of(page, _pieces(page)[0])["notes"]
        new = [note for note in saved if note not in roll["notes"]]
        assert len(saved) == len(roll["notes"]) + 2
        assert added in new
        (other,) = (note for note in new if note != added)
        assert other[:3] == [onset + like[1] + grid, other[1], high - 1]
        notes = midi.read(_downloaded(page, "Download MIDI", tmp_path).read_bytes()).notes
        assert {(high, 32), (high - 1, 32)} <= set(zip(notes.pitch.tolist(), notes.program.tolist(), strict=True))


@IN_BOTH_BROWSERS
def test_a_piece_of_which_all_notes_were_deleted_takes_new_ones(studio):
    with studio(**DESKTOP) as page:
        _write(page, notes=3)
        page.get_by_role("button", name="Edit notes").click()
        page.keyboard.press("ArrowRight")
        for _ in range(3):
            page.keyboard.press("Delete")
        assert page.get_by_role("button", name="Save as a new piece").is_disabled()
        page.get_by_role("button", name="Add note").click()
        page.get_by_role("button", name="Save as a new piece").click()
        page.locator("#status", has_text="stays as it is").wait_for()
        assert len(_roll_of(page, _pieces(page)[0])["notes"]) == 1


def test_what_is_played_on_the_keyboard_begins_a_piece(studio, pictures):
    with studio(**DESKTOP) as page:
        _fill(page.locator("#tempo"), "240")
        page.locator("#keys summary").click()
        page.get_by_role("button", name="Record").click()
        page.locator("#piano [data-pitch='60']").focus()
        _until(page, "window.contexts[0].currentTime > 1.2")  # a bar of four quarters at 240 is counted in
        for key in "adg":
            page.keyboard.down(key)
            page.wait_for_timeout(120)
            page.keyboard.up(key)
        page.screenshot(path=pictures / "studio-keyboard.png")
        page.get_by_role("button", name="Done").click()
        page.locator("#primer-name", has_text="played.mid").wait_for()
        assert "3 notes" in page.locator("#primer-summary").inner_text()
        _write(page, notes=8)
        assert _pieces(page)[0]["primer"]["name"] == "played.mid"


def test_the_example_is_there_to_begin_with(studio):
    with studio(**DESKTOP) as page:
        page.get_by_role("button", name="Try an example melody").click()
        page.locator("#primer-name", has_text="Ode to Joy.abc.mid").wait_for()
        assert "16 bars, 62 notes" in page.locator("#primer-summary").inner_text()


@IN_BOTH_BROWSERS
@pytest.mark.parametrize(("name", "options"), [("wide", DESKTOP), ("phone", PHONE)])
def test_nothing_on_the_page_keeps_anybody_out(studio, pictures, name, options):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    with studio(**options) as page:
        _unfold(page)
        _pick(page, "takes", 2)
        _pick(page, "tonic", "D")
        _write(page, notes=12)
        page.locator("#status", has_text="2 takes").wait_for()
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        page.get_by_role("button", name="Edit notes").click()
        page.screenshot(path=pictures / f"studio-all-{name}.png", full_page=True)
        found = axe.Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        assert not page.evaluate(WIDER)


_LOW = """() => [...document.querySelectorAll("button, input, select, summary, a")]
  .map(one => (one.matches("[type=radio], [type=checkbox], [type=file]") ? one.closest("label") : one))
  .filter(one => one.checkVisibility() && !one.closest("#piano") && one.getBoundingClientRect().height < 40)
  .map(one => `${one.outerHTML.slice(0, 90)}: ${one.getBoundingClientRect().height}`)"""
_CUT = """() => [...document.querySelectorAll("body *")].filter(one => one.checkVisibility()
  && one.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
  .map(one => one.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_all_fits_and_all_can_be_touched(studio, pictures, scheme):
    wide = {**PHONE, "viewport": {"width": 390, "height": 844}, "color_scheme": scheme}
    with studio(**wide) as page:

        def look(name):
            page.screenshot(path=pictures / f"studio-phone-{name}-{scheme}.png", full_page=True)
            assert (name, page.evaluate(_LOW), page.evaluate(_CUT), page.evaluate(WIDER)) == (name, [], [], False)

        look("blank")
        assert page.get_by_role("button", name="Edit notes").is_hidden()
        _pick(page, "takes", 3)
        _write(page, notes=40)
        page.locator("#status", has_text="3 takes").wait_for()
        look("takes")
        page.locator("[name=view][value=both]").tap()
        page.locator("#page[aria-busy=false]").wait_for()
        look("score")
        page.locator("[name=view][value=roll]").tap()
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        page.get_by_role("button", name="Edit notes").tap()
        page.get_by_role("button", name="Add note").tap()
        look("open")


FOCUSED = """() => {
  const one = document.activeElement;
  return one.getAttribute("aria-label") || one.labels?.[0]?.textContent.trim() || one.textContent.trim();
}"""


def _tab_to(page, name):
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED) == name:
            return
    raise AssertionError(f"{name} is not reached by the Tab key")


def test_the_keyboard_alone_is_enough(studio):
    with studio(**DESKTOP) as page:
        _tab_to(page, "Length")
        page.keyboard.press("Control+A")
        page.keyboard.type("4")
        page.keyboard.press("Enter")  # in any field: write
        page.locator("#after:not([hidden])").wait_for()
        page.locator("#status", has_text="Generated").wait_for()
        page.evaluate("document.activeElement.blur()")
        page.locator("h1").evaluate("one => { one.tabIndex = -1; one.focus(); }")
        _tab_to(page, "Position in the piece")
        page.keyboard.press("End")
        assert _position(page) > 0
        assert page.locator("#position").get_attribute("aria-valuetext").startswith("bar ")
        page.keyboard.press("Home")
        _tab_to(page, "Play")
        page.keyboard.press("Space")
        _until(page, "Number(document.getElementById('position').value) > 0.1")
        assert page.evaluate(FOCUSED) == "Pause"
        _tab_to(page, "Stop")
        page.keyboard.press("Enter")
        assert _position(page) == 0
        for name in ("Again, same seed", "Download MIDI", "How it was made"):
            _tab_to(page, name)


def test_all_that_can_be_used_has_a_name(studio):
    with studio(**DESKTOP) as page:
        _write(page, notes=4)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, a, canvas, summary")].filter(one =>
              one.getClientRects().length && !(one.getAttribute("aria-label") || one.labels?.length
              || one.textContent.trim() && !one.matches("select"))).map(one => one.outerHTML)"""
        )
        assert nameless == []
        assert midi.read(page.request.get(page.locator("#mid").evaluate("one => one.href")).body()).num_notes == 4
