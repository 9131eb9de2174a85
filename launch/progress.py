"""Shows how far a prepare job is: bars on a terminal, a line now and then elsewhere, or lines of JSON."""

import contextlib
import dataclasses
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Literal

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from ostinato.beam_pipelines.progress import Progress

logger = logging.getLogger(__name__)

LINE_PERIOD_S = 30.0
JSON_PERIOD_S = 5.0
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))

Kind = Literal["auto", "json"]


@contextlib.contextmanager
def shown(kind: Kind) -> Iterator[Callable[[Progress], None]]:
    """Yields what prepare calls with its progress."""
    console = Console(stderr=True)
    if kind == "json":
        yield _now_and_then(
            lambda progress: print(json_line(progress), file=sys.stderr, flush=True), JSON_PERIOD_S, each_stage=True
        )
        return
    if not console.is_terminal:
        yield _now_and_then(lambda progress: logger.info("%s", text(progress)), LINE_PERIOD_S)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),  # all of it shall fit into 80 columns
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with _Bars(*columns, console=console, transient=True) as bars:
        scan = bars.add_task("reading", total=None, note="")
        write = bars.add_task("writing", total=None, note="", visible=False)

        def watch(progress: Progress) -> None:
            bars.below = progress.reading[0] if progress.reading else ""
            if progress.num_shards is None:
                bars.update(scan, total=progress.total, completed=progress.inputs, note=_note(progress))
            else:
                bars.update(scan, total=progress.total, completed=progress.inputs, note=_usable(progress))
                note = _left(progress.left_s)
                bars.update(write, total=progress.num_shards, completed=progress.shards, note=note, visible=True)

        yield watch


def json_line(progress: Progress, **more: bool) -> str:
    """Returns a progress as a line of JSON: the fields of `Progress`, and what else is known."""
    return json.dumps({**dataclasses.asdict(progress), **more})


def text(progress: Progress) -> str:
    """Returns a progress as a line for people."""
    if progress.num_shards is not None:
        left = _left(progress.left_s)
        return f"{progress.shards:,} of {progress.num_shards:,} shards written{f', {left}' if left else ''}"
    of_all = f" of {progress.total:,}" if progress.total is not None else ""
    where = f"; in {progress.reading[0]}" if progress.reading else ""
    parts = [f"{progress.inputs:,}{of_all} files read", _usable(progress), _note(progress)]
    return ", ".join(filter(None, parts)) + where


class _Bars(Bars):
    """Bars with a line below them."""

    below = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        if self.below:
            yield Text(f"in {self.below}", overflow="ellipsis", no_wrap=True)


def _now_and_then(
    show: Callable[[Progress], None], period_s: float, *, each_stage: bool = False
) -> Callable[[Progress], None]:
    """Returns what shows a progress when a period has passed, with `each_stage` also where a stage begins."""
    last_s, stage = time.monotonic(), ""

    def watch(progress: Progress) -> None:
        nonlocal last_s, stage
        is_new = each_stage and progress.stage != stage
        if not is_new and time.monotonic() - last_s < period_s:
            return
        last_s, stage = time.monotonic(), progress.stage
        show(progress)

    return watch


def _note(progress: Progress) -> str:
    """Returns rates and the time left."""
    rates = ""
    if progress.inputs_per_s is not None and progress.notes_per_s is not None:
        rates = f"{progress.inputs_per_s:,.0f} files/s, {progress.notes_per_s:,.0f} notes/s"
    return ", ".join(filter(None, (rates, _left(progress.left_s))))


def _usable(progress: Progress) -> str:
    return f"{progress.inputs - progress.rejected:,} usable, {progress.rejected:,} rejected"


def _left(left_s: float | None) -> str:
    return "" if left_s is None else f"{_span(left_s)} left"


def _span(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{seconds / size:.0f} {unit}"
