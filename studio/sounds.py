"""The sound of pieces, rendered when it is first asked for, by a process of its own.

    python -m ostinato.studio.sounds PIECE.mid SOUND.wav [SOUNDFONT]

The renderer holds Python's lock for seconds: in the server it would stop the stream of another piece.
"""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from ostinato.configs.errors import UserError

SUFFIXES = ("wav", "flac", "ogg")
CACHE_FILES = 24
"""Files of sound that stay on disk; any other is rendered again."""

_logger = logging.getLogger(__name__)


class Sounds:
    """A cache of rendered sound, of which the files that were heard last stay."""

    def __init__(self, folder: Path, soundfont: Path | None) -> None:
        self._folder, self._soundfont = folder, soundfont
        self._one_at_a_time = asyncio.Lock()

    async def find(self, midi_file: Path, suffix: str) -> Path:
        """Returns the sound of a MIDI file.

        Raises:
            UserError: it cannot be rendered; in one line.
        """
        path = self._folder / f"{midi_file.stem}.{suffix}"
        async with self._one_at_a_time:
            if path.is_file():
                path.touch()
            else:  # a thread waits: event loops that fork by themselves run into the hooks that JAX has put there
                await run_in_threadpool(self._render, midi_file, path)
        return path

    def delete(self, name: str) -> None:
        """Deletes the sound of a piece."""
        for suffix in SUFFIXES:
            (self._folder / f"{name}.{suffix}").unlink(missing_ok=True)

    def _render(self, midi_file: Path, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        arguments = [str(midi_file), str(path), *([str(self._soundfont)] if self._soundfont else [])]
        done = subprocess.run(
            [sys.executable, "-m", __name__, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
            _logger.warning("%s: no sound: %s", midi_file, "\n".join(lines))
            raise UserError(f"the sound cannot be rendered: {lines[-1]}")
        files = [path for suffix in SUFFIXES for path in self._folder.glob(f"*.{suffix}")]
        for old in sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)[CACHE_FILES:]:
            old.unlink(missing_ok=True)


def main(midi_file: str, output: str, soundfont: str = "") -> int:
    """Renders one file; returns 2 for what is no fault of the program, in one line."""
    from ostinato.music import midi
    from ostinato.sample.output.audio import write_audio

    try:
        piece = midi.read(Path(midi_file).read_bytes())
        write_audio(piece, Path(output), soundfont=Path(soundfont) if soundfont else None)
    except (ValueError, OSError) as error:  # of the system too: the piece was deleted meanwhile
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
