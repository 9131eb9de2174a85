"""Shows how far a prepare job is: bars on a terminal, a line now and then elsewhere."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ostinato.beam_pipelines.progress import Progress

logger = logging.getLogger(__name__)

LINE_PERIOD_S = 30.0


@contextlib.contextmanager
def shown() -> Iterator[Callable[[Progress], None]]:
    """Yields what prepare calls with its progress."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),  # all of it shall fit into 80 columns
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        scan = bars.add_task("reading", total=None, note="")
        write = bars.add_task("writing", total=None, note="", visible=False)

        def watch(progress: Progress) -> None:
            bars.update(
                scan, total=progress.total, completed=progress.inputs, note=_note(progress, bars.tasks[0].elapsed)
            )
            if progress.num_shards is not None:
                bars.update(write, total=progress.num_shards, completed=progress.shards, visible=True)

        yield watch


class _Lines:
    """A log line now and then, with the time left."""

    def __init__(self) -> None:
        self._start_s = self._last_s = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s < LINE_PERIOD_S:
            return
        self._last_s = now_s
        elapsed_s = now_s - self._start_s
        if progress.num_shards is not None:
            logger.info("%d of %d shards written", progress.shards, progress.num_shards)
            return
        of_all = f" of {progress.total:,}" if progress.total else ""
        left = ""
        if progress.total and progress.inputs:
            left = f", {(progress.total - progress.inputs) * elapsed_s / progress.inputs:.0f} s left"
        logger.info("%s%s read, %s%s", f"{progress.inputs:,}", of_all, _note(progress, elapsed_s), left)


def _note(progress: Progress, elapsed_s: float | None) -> str:
    rate = f"{progress.inputs / elapsed_s:,.0f} files/s, " if elapsed_s else ""
    return f"{rate}{progress.inputs - progress.rejected:,} usable, {progress.rejected:,} rejected"
