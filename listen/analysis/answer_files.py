"""Answers that listeners of a static study downloaded and sent in; `answer.py` says what such a file holds."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ostinato.configs.documents import read_document
from ostinato.listen.design.study import Study
from ostinato.listen.web.answer import AnswerError, Listener, parse_answer, parse_training

FILE_FORMAT = "ostinato-listen-1"
MAX_FILE_BYTES = MAX_NUMBER = 1_000_000

_SESSION = re.compile(r"[0-9a-f]{32}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_KEYS = {"format", "study", "session", "number", "begun", "finished", "training", "answers"}


def read_answer_files(study: Study, paths: Sequence[Path]) -> tuple[list[Listener], list[str]]:
    """Returns the listeners whose answers the files hold, and a line for each file that was left out.

    A file that is there twice, and an earlier state of a later one, counts once. Of two files of one session that
    contradict each other the first counts. Of folders all .json files are read.
    """
    found: dict[str, tuple[Listener, Path]] = {}
    problems: list[str] = []
    for path in (file for given in paths for file in (sorted(given.glob("*.json")) if given.is_dir() else [given])):
        try:
            listener = _read(study, path)
        except AnswerError as error:
            problems.append(f"{path}: {error}")
            continue
        before = found.get(listener.name)
        if before is None or _is_continued_by(before[0], listener):
            found[listener.name] = (listener, path)
        elif not _is_continued_by(listener, before[0]):
            problems.append(f"{path}: other answers of the same session than in {before[1]}, which counts")
    return [listener for listener, _ in found.values()], problems


def _read(study: Study, path: Path) -> Listener:
    try:
        document = read_document(path, dict[str, Any], error=AnswerError, max_bytes=MAX_FILE_BYTES)
    except AnswerError as error:
        raise AnswerError(str(error).removeprefix(f"{path}: ")) from error
    if document.get("format") != FILE_FORMAT:
        raise AnswerError("not a file of answers to a listening study")
    if document.get("study") != study.id:
        raise AnswerError(f"answers to another study ({str(document.get('study'))[:16]}, this is {study.id})")
    try:
        return _listener(study, document)
    except AnswerError as error:
        raise AnswerError(f"damaged: {error}") from error


def _listener(study: Study, document: Mapping[str, Any]) -> Listener:
    if set(document) != _KEYS:
        raise AnswerError(f"its keys must be {', '.join(sorted(_KEYS))}")
    session, number, begun, finished = (document[name] for name in ("session", "number", "begun", "finished"))
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise AnswerError("session must be 32 hexadecimal digits")
    if type(number) is not int or not 0 <= number < MAX_NUMBER:
        raise AnswerError(f"number must be a whole number from 0 to {MAX_NUMBER - 1}")
    for time in (begun, finished):
        if time is not None and (not isinstance(time, str) or not _TIME.fullmatch(time)):
            raise AnswerError("begun and finished must be times such as 2026-11-23T10:00:00Z")
    if begun is None or not isinstance(document["answers"], list):
        raise AnswerError("begun or the list of answers is missing")
    training = None if document["training"] is None else parse_training(document["training"])
    tasks = {task.id: task for task in study.tasks_of(number)}
    answers = {}
    for entry in document["answers"]:
        place = entry.get("task") if isinstance(entry, dict) else None
        task = tasks.get(place) if isinstance(place, str) else None
        if task is None or entry.get("kind") != task.kind or task.id in answers:
            raise AnswerError("an answer is to no task of its listener, or to one that was answered before")
        try:
            data = {name: value for name, value in entry.items() if name not in ("task", "kind")}
            answers[task.id] = parse_answer(task, data)
        except AnswerError as error:
            raise AnswerError(f"task {task.id}: {error}") from error
    return Listener(session, number, begun, finished is not None, training, answers)


def _is_continued_by(earlier: Listener, later: Listener) -> bool:
    """Tells whether a file holds all that another one holds, and perhaps more."""
    return (
        earlier.number == later.number
        and earlier.training in (None, later.training)
        and earlier.answers.items() <= later.answers.items()
    )
