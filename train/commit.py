"""How a checkpoint gets its name: on disk before it has it, and removed only when another one is."""

import asyncio
import shutil
from pathlib import Path

from orbax.checkpoint.path import atomicity

from ostinato.data import durable
from ostinato.train.metrics import EVENTS, FILE

DELETED = "todelete"
"""Where checkpoints are moved that are to be removed: one that is half removed must not have its name any more."""


class DurablePath(atomicity.AtomicRenameTemporaryPath):
    """What Orbax writes a checkpoint to, as `data.durable` has it; Orbax itself syncs the arrays and nothing else.

    It is called in the thread that writes the checkpoint, and the thread removes older ones after it. Two small files
    that Orbax would add between are left out: the time of the commit, which it takes from the file system where it is
    missing, and commit_success.txt, which nobody reads.
    """

    async def finalize(self) -> None:
        """Gives the checkpoint its name; the parts in it only get theirs, they are on disk when the checkpoint is."""
        partial, path = Path(self.get()), Path(self.get_final())
        if not path.name.isdecimal():
            await asyncio.to_thread(partial.rename, path)
            return
        if self._checkpoint_metadata_store:
            await asyncio.to_thread(self._checkpoint_metadata_store.wait_until_finished)
        await asyncio.to_thread(_publish, partial, path)


def _publish(partial: Path, path: Path) -> None:
    """Gives a checkpoint its name when it is on disk, and with it the lines of the log about the steps before it.

    What is to be removed are checkpoints before the last one. That they have their names no more is on disk by then.
    """
    workdir = path.parent.parent
    for log in (workdir / FILE, workdir / EVENTS):
        if log.exists():  # an imported run has none
            durable.sync_file(log)
    durable.sync_folder(workdir)
    durable.publish(partial, path)
    shutil.rmtree(path.parent / DELETED, ignore_errors=True)  # what stays is removed the next time
