"""Somebody who wants to know which clip is whose: has our source and all files that are public, and hears nothing.

An attack takes a folder that `ostinato listen export` wrote, as it lies on a host, and how many conditions the study
has, and returns a condition for each clip that it says something about: 0 is the human one, the models follow in the
order in which `create` had them, BROKEN is the attention check. Clips are named by their files.
"""

import functools
import io
import itertools
import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ostinato.listen.design.earlier_order import Shape, plan_tasks
from ostinato.listen.design.order import CHECK, HUMAN, draw_sheets, williams
from ostinato.listen.design.study import SUFFIXES

BROKEN = -1
Guess = dict[str, int]
Attack = Callable[[Path, int], Guess]


@functools.cache
def read_page(folder: Path) -> dict[str, Any]:
    """Returns what the page of an exported study hands to its script, with clips named by their files."""
    page = (folder / "index.html").read_text()
    data = json.loads(re.search(r'<script type="application/json" id="study">(.*?)</script>', page, re.DOTALL)[1])
    data["clips"] = [Path(clip["sources"][0][0]).stem for clip in data["clips"]]
    data["orders"] = [[[data["clips"][clip] for clip in clips] for clips in order] for order in data["orders"]]
    return data


def by_earlier_orders(folder: Path, num_conditions: int) -> Guess:
    return guess_of_orders(read_page(folder)["orders"], num_conditions)


def guess_of_orders(orders: list[list[list[str]]], num_conditions: int) -> Guess:
    """What listeners' numbers say by the orders of format 1, which no seed changes but for the checks."""
    num_compared = sum(len(clips) == 2 for clips in orders[0])
    num_rated = len(orders[0]) - num_compared
    heard_by_all = set.intersection(*({clip for clips in order for clip in clips} for order in orders))
    rated = {clips[0] for order in orders for clips in order[num_compared:]}
    names = [HUMAN, *(f"model {number}" for number in range(1, num_conditions))]
    shape = Shape(names, 97, max(1, num_compared - 2), max(1, num_rated - 2), seed=0)
    votes: dict[str, Counter[int]] = {}
    for number, order in enumerate(orders):
        planned = [task for task in plan_tasks(number, shape) if task.role == "test"]
        # The last of each kind is asked again, and what everybody hears is a check: the rest are the tests, in turn.
        heard = [
            clips for clips in (*order[: num_compared - 1], *order[num_compared:-1]) if not {*clips} <= heard_by_all
        ]
        for task, clips in zip(planned, heard, strict=False):
            for name, clip in zip(task.conditions, clips, strict=False):
                votes.setdefault(clip, Counter())[names.index(name)] += 1
    checks = {clip: BROKEN if clip in rated else 0 for clip in heard_by_all}
    return {clip: count.most_common(1)[0][0] for clip, count in votes.items()} | checks


def sheets_of(orders: list[list[list[str]]]) -> list[list[tuple[str, ...]]]:
    """Returns what is heard together, sheet by sheet, each in the order in which its first listener hears it."""
    sheets: dict[frozenset[tuple[str, ...]], list[tuple[str, ...]]] = {}
    for order in orders:
        unturned = [tuple(sorted(clips)) for clips in order]
        sheets.setdefault(frozenset(unturned), list(dict.fromkeys(unturned)))
    return list(sheets.values())


def by_a_secret_that_can_be_guessed(folder: Path, num_conditions: int) -> Guess:
    """As if sheets were drawn from something public: the id of the study, a seed, nothing."""
    page = read_page(folder)
    names = [HUMAN, *(f"model {number}" for number in range(1, num_conditions))]
    found = sheets_of(page["orders"])
    counts = [sum(len(item) == size for item in found[0]) - 1 for size in (2, 1)]
    votes: dict[str, Counter[int]] = {}
    for secret in ("", "0", 0, page["id"], page["title"]):
        drawn = draw_sheets(
            names, num_sheets=len(found), num_comparisons=counts[0], num_ratings=counts[1], secret=secret
        )
        for sheet, heard in zip(drawn, found, strict=True):
            unzigzagged: dict[int, dict[int, tuple[str, ...]]] = {}
            for size in (1, 2):
                items = [item for item in heard if len(item) == size]
                unzigzagged[size] = dict(zip(williams(len(items))[0], items, strict=True))
            places = {size: itertools.count() for size in (1, 2)}
            for item in sheet:
                size = len(item.conditions)
                for name, clip in zip(item.conditions, unzigzagged[size][next(places[size])], strict=True):
                    label = BROKEN if name == CHECK else names.index(name)
                    votes.setdefault(clip, Counter())[label] += 1
    return {clip: count.most_common(1)[0][0] for clip, count in votes.items()}


def _by_rank(rank: Callable[[Path], dict[str, object]]) -> Attack:
    """An attack by something that puts files in an order: that in which they were made, humans first."""

    def attack(folder: Path, num_conditions: int) -> Guess:
        rank_of = rank(folder)
        guess: Guess = {}
        for sheet in sheets_of(read_page(folder)["orders"]):
            for one, other in [item for item in sheet if len(item) == 2]:
                if rank_of[one] != rank_of[other]:
                    first, second = sorted((one, other), key=rank_of.__getitem__)
                    guess |= {first: 0, second: 1}
            rated = sorted((item[0] for item in sheet if len(item) == 1), key=rank_of.__getitem__)
            if len({rank_of[clip] for clip in rated}) > 1:
                guess |= {clip: place * num_conditions // len(rated) for place, clip in enumerate(rated)}
        return guess

    return attack


def _status(name: str) -> Callable[[Path], dict[str, object]]:
    return lambda folder: {
        path.stem: getattr(path.stat(), name)
        for path in (folder / "audio").iterdir()
        if path.suffix == SUFFIXES["opus"]
    }


def _listed(folder: Path) -> dict[str, object]:
    return {Path(name).stem: place for place, name in enumerate(os.listdir(folder / "audio"))}


def _zipped(folder: Path) -> dict[str, object]:
    with zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
        return {
            Path(info.filename).stem: (info.date_time, info.compress_size, info.header_offset)
            for info in archive.filelist
        }


def _asked(measure: Callable[[list[list[list[str]]], tuple[str, ...]], float]) -> Attack:
    """An attack that takes the item of a sheet which is asked in the least usual way for the attention check."""

    def attack(folder: Path, num_conditions: int) -> Guess:
        orders = read_page(folder)["orders"]
        guess: Guess = {}
        for sheet in sheets_of(orders):
            of_sheet = [[tuple(sorted(c)) for c in order] for order in orders]
            of_sheet = [order for order in of_sheet if {*order} == {*sheet}]
            for size in (2, 1):
                items = [item for item in sheet if len(item) == size]
                check = min(items, key=lambda item: measure(of_sheet, item))
                guess |= {check[0]: BROKEN} if size == 1 else {check[0]: 0, check[1]: BROKEN}
        return guess

    return attack


def _on_the_left(folder: Path, num_conditions: int) -> Guess:
    """In earlier orders one of two conditions was the first by the source; here whoever is more often on the left."""
    orders = read_page(folder)["orders"]
    left = Counter(clips[0] for order in orders for clips in order if len(clips) == 2)
    pairs = {tuple(sorted(clips)) for order in orders for clips in order if len(clips) == 2}
    guess: Guess = {}
    for one, other in pairs:
        first, second = (one, other) if left[one] >= left[other] else (other, one)
        guess |= {first: 0, second: 1}
    return guess


ATTACKS: dict[str, Attack] = {
    "the orders of format 1": by_earlier_orders,
    "a secret that can be guessed": by_a_secret_that_can_be_guessed,
    "names in order": _by_rank(lambda folder: {clip: clip for clip in read_page(folder)["clips"]}),
    "numbers of clips on the page": _by_rank(
        lambda folder: {clip: place for place, clip in enumerate(read_page(folder)["clips"])}
    ),
    "the first who hears it": _by_rank(
        lambda folder: {
            clip: (number, place)  # the first of several is written last
            for number, order in reversed([*enumerate(read_page(folder)["orders"])])
            for place, clips in reversed([*enumerate(order)])
            for clip in clips
        }
    ),
    "sizes": _by_rank(_status("st_size")),
    "times": _by_rank(_status("st_mtime_ns")),
    "times of change": _by_rank(_status("st_ctime_ns")),
    "numbers of files": _by_rank(_status("st_ino")),
    "order in the folder": _by_rank(_listed),
    "order and sizes in an archive": _by_rank(_zipped),
    "never asked first": _asked(lambda orders, item: sum(order[0] == item for order in orders)),
    "never asked again": _asked(lambda orders, item: sum(order.count(item) > 1 for order in orders)),
    "asked early": _asked(lambda orders, item: sum(order.index(item) for order in orders)),
    "on the left": _on_the_left,
}
