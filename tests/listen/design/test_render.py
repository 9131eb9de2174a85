import io

import numpy as np
import pytest
import soundfile

from ostinato.listen.design.loudness import integrated_lufs, true_peak_dbtp
from ostinato.listen.design.render import MAX_PEAK_DBTP, TARGET_LUFS, common_lufs, render_clip, render_clips
from ostinato.listen.design.study import StudyError
from ostinato.sample.output.audio import SAMPLE_RATE
from tests.midi_files import piece_of, tune

CLIP_S = 5.0
PIECES = [
    tune(0),
    piece_of((0, 960, 60, 20, 0), (960, 480 * 20, 40, 120, 19)),  # hardly anything
    piece_of(*[(60 * i, 60, 40 + i % 40, 127, 48) for i in range(400)]),  # as much as can be
]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder, done = tmp_path_factory.mktemp("render"), []
    clips, lufs = render_clips(PIECES, folder, clip_s=CLIP_S, watch=done.append)
    assert sorted(done) == [1, 2, 3]
    return folder, clips, lufs


def test_a_clip_is_exactly_as_long_as_asked_for_and_fades_out():
    for piece in PIECES:
        clip = render_clip(piece, CLIP_S)
        assert clip.shape == (2, 5 * SAMPLE_RATE)
        assert np.abs(clip[:, -100:]).max() < 1e-4


def test_all_clips_are_equally_loud_and_none_is_clipped(rendered):
    folder, clips, lufs = rendered
    assert len({path.stat().st_size for path in (folder / "audio").glob("*.ogg")}) == 1
    for clip in clips:
        sound, rate = soundfile.read(io.BytesIO((folder / clip.files["opus"]).read_bytes()), always_2d=True)
        assert rate == SAMPLE_RATE
        assert len(sound) == 5 * SAMPLE_RATE
        assert integrated_lufs(sound.T) == pytest.approx(lufs, abs=0.1)
        assert true_peak_dbtp(sound.T) < 0
        fallback, _ = soundfile.read(io.BytesIO((folder / clip.files["mp3"]).read_bytes()), always_2d=True)
        assert integrated_lufs(fallback.T) == pytest.approx(lufs, abs=0.1)


def test_files_tell_nothing_by_their_names_sizes_or_times(rendered):
    folder, clips, _ = rendered
    assert all(len(clip.id) == 16 and int(clip.id, 16) >= 0 for clip in clips)
    files = list((folder / "audio").iterdir())
    assert len(files) == 6
    for suffix in (".ogg", ".mp3"):
        alike = [path.stat() for path in files if path.suffix == suffix]
        assert len({status.st_size for status in alike}) == 1
        assert len({status.st_mtime_ns for status in alike}) == 1


def test_the_same_piece_gets_another_name_each_time_and_the_same_sound(rendered, tmp_path):
    folder, clips, _ = rendered
    again, _ = render_clips(PIECES, tmp_path, clip_s=CLIP_S)
    assert not {clip.id for clip in again} & {clip.id for clip in clips}
    for one, other in zip(clips, again, strict=True):
        for kind in ("opus", "mp3"):
            assert (tmp_path / other.files[kind]).read_bytes() == (folder / one.files[kind]).read_bytes()


def test_all_are_softer_where_one_has_a_high_peak():
    # The second would have a peak of +5 dB at the target.
    levels = [(-20.0, -10.0), (TARGET_LUFS - 10, -5.0)]
    assert common_lufs(levels[:1]) == TARGET_LUFS
    assert common_lufs(levels) == TARGET_LUFS - 10 + 5 + MAX_PEAK_DBTP
    with pytest.raises(StudyError, match="silent"):
        common_lufs([(-np.inf, -np.inf)])
