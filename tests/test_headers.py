"""Headers with lies in them: members or a reason with a path, and nothing else, whatever the headers say."""

import re
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings

from ostinato.beam_pipelines.inputs.errors import READ_REASONS
from ostinato.beam_pipelines.inputs.sources import find_units, read_unit
from ostinato.beam_pipelines.parse import Parsed, ToParse, Unusable, parse_input
from ostinato.configs.preparation import PrepareConfig
from ostinato.data import records, tfrecord
from ostinato.music.midi import MIDI_REASONS
from ostinato.music.notation_error import NOTATION_REASONS
from ostinato.music.score_codec import ScoreCodec
from tests.headers import ARCHIVES, tfrecords

MAX_BYTES = 1 << 20
FREE_MEMORY_BYTES = 24 << 20
"""Of which a window of zlib, a member, and what reading imports the first time are parts."""
CONFIG = PrepareConfig()
FORMATS = [*ARCHIVES, ".tfrecord"]
GOOD = b"MThd good"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _read_beside_a_good_file(folder, ending, data):
    """Reads an archive as prepare does, and checks what comes of it."""
    (folder / f"x{ending}").write_bytes(data)
    (folder / "good.mid").write_bytes(GOOD)
    found = [one for unit in find_units([str(folder)]) for one in read_unit(unit, max_bytes=MAX_BYTES)]
    assert [one.data for one in found if one.key == "good.mid"] == [GOOD]
    for one in found:
        assert one.name.startswith(str(folder))
        assert one.reason in ("", *READ_REASONS)
        assert not _CONTROL.search(one.name + one.key + one.folder + one.detail)
        assert len(one.data) <= MAX_BYTES
        if not one.reason:
            parsed = parse_input(ToParse(one.data, one.kind), CONFIG)
            if isinstance(parsed, Unusable):
                assert parsed.reason in (*MIDI_REASONS, *NOTATION_REASONS, "too_few_notes", "too_many_notes"), parsed
            else:
                assert isinstance(parsed, Parsed)


def _read_a_record(folder, ending, data):
    try:
        record = records.decode_record(tfrecord.read_at(memoryview(data), 0), ScoreCodec(styles=("",)))
    except tfrecord.CorruptRecordError:
        return
    assert record.steps.ndim == 2


def _check(folder, ending, data):
    read = _read_a_record if ending == ".tfrecord" else _read_beside_a_good_file
    tracemalloc.start()
    try:
        read(folder, ending, data)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < FREE_MEMORY_BYTES + 50 * len(data)


def _run(ending, folder, max_examples):
    strategy = tfrecords() if ending == ".tfrecord" else ARCHIVES[ending]()
    checks = [HealthCheck.data_too_large, HealthCheck.too_slow, HealthCheck.large_base_example]
    limits = settings(max_examples=max_examples, deadline=None, suppress_health_check=checks, database=None)

    @limits
    @given(strategy)
    def check(data):
        _check(folder, ending, data)

    check()


@pytest.mark.parametrize("ending", FORMATS)
def test_headers_with_lies_cost_their_archive_at_most(tmp_path, ending):
    _run(ending, tmp_path, 25)


@pytest.mark.slow
@pytest.mark.parametrize("ending", FORMATS)
def test_many_headers_with_lies_cost_their_archive_at_most(tmp_path, ending):
    _run(ending, tmp_path, 300)
