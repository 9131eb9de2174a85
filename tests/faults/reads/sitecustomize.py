"""Notes each MIDI file that is opened in the file OSTINATO_READS, in whatever process finds this folder on its path."""

import os
import sys

_notes = os.open(os.environ["OSTINATO_READS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _hear(event: str, arguments: tuple) -> None:
    if event == "open" and isinstance(arguments[0], str) and arguments[0].endswith(".mid"):
        os.write(_notes, f"{arguments[0]}\n".encode())


sys.addaudithook(_hear)
