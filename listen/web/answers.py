"""What listeners answered, in SQLite; safe for many threads, and for several processes.

    answers = Answers.open(study)                  # study/answers.sqlite; made if it is not there
    token, number = answers.begin()                # consent was given; the token goes into the listener's cookie
    answers.refuse()                               # consent was not given: a count, nothing else
    answers.train(token, parse_training(data))     # musical training
    answers.record(token, "3", parse_answer(task, data))
    answers.progress(token)                        # Progress: what is done, what comes next
    answers.finish(token)                          # all tasks are answered
    answers.withdraw(token)                        # the listener wants it all deleted

Every call that writes has committed when it returns: WAL with synchronous=FULL, so the answer is on disk, and is there
after kill -9 or loss of power. What is stored cannot be changed: the same answer once more is fine (a page that heard
nothing asks again), another one is an AnswerError. Tasks are answered in their order. Of a token only its SHA-256 is
stored, so nobody who reads the file can continue a session. No address, no browser, no name is stored.

All methods raise AnswerError for a token that is not known (or whose listener has withdrawn).
"""

import hashlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ostinato.listen.design.study import ANSWERS_FILE, Study, StudyError, Task
from ostinato.listen.web.answer import (
    Answer,
    AnswerError,
    Comparison,
    Listener,
    Training,
    parse_answer,
    parse_training,
    says_the_same,
    to_json,
)

_BUSY_TIMEOUT_S = 30.0
_CHANGED = "this was answered before and cannot be changed"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value ANY) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    number INTEGER PRIMARY KEY,
    token_sha256 BLOB NOT NULL UNIQUE,
    begun TEXT NOT NULL,
    training TEXT,
    finished TEXT,
    withdrawn TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER NOT NULL REFERENCES sessions (number),
    task TEXT NOT NULL,
    answer TEXT NOT NULL,
    answered TEXT NOT NULL,
    PRIMARY KEY (number, task)
) STRICT, WITHOUT ROWID;
"""


class Session(NamedTuple):
    """A listener who has just begun."""

    token: str
    """Secret; 43 characters that are fine in a cookie and in an address."""
    number: int
    """From 0; decides the order of tasks (`Study.tasks_of`). Not secret, and no way in."""


@dataclass(frozen=True)
class Progress:
    """How far a listener is."""

    number: int
    answered: int
    """How many tasks, from the first on."""
    tasks: tuple[Task, ...]
    has_training: bool
    finished: bool

    @property
    def next_task(self) -> Task | None:
        """The first task without an answer; None when all are answered."""
        return self.tasks[self.answered] if self.answered < len(self.tasks) else None


class Answers:
    """The answers of a study. One object serves all threads of a process."""

    def __init__(self, study: Study, connection: sqlite3.Connection) -> None:
        """Use `Answers.open`."""
        self._study, self._connection, self._lock = study, connection, threading.Lock()

    @classmethod
    def open(cls, study: Study, path: Path | None = None) -> "Answers":
        """Opens the answers of a study, or begins them; another path than the study's own is for tests.

        Raises:
            StudyError: the file holds answers of another study, or is no such file.
        """
        path = path or study.folder / ANSWERS_FILE
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # what is withdrawn is overwritten
            connection.executescript(_SCHEMA)
            connection.execute("INSERT OR IGNORE INTO about VALUES ('study', ?)", (study.id,))
            (found,) = connection.execute("SELECT value FROM about WHERE name = 'study'").fetchone()
        except sqlite3.DatabaseError as error:
            connection.close()
            raise StudyError(f"{path}: cannot be used as a file of answers ({error})") from error
        path.chmod(0o600)
        if found != study.id:
            connection.close()
            raise StudyError(f"{path}: holds answers of study {found}, this is study {study.id}")
        return cls(study, connection)

    def close(self) -> None:
        """Closes the file; nothing is lost without it."""
        with self._lock:
            self._connection.close()

    def begin(self) -> Session:
        """Begins the session of a listener who has given consent."""
        token = secrets.token_urlsafe(32)
        with self._writing() as connection:
            (number,) = connection.execute(
                "INSERT INTO sessions (number, token_sha256, begun)"
                " SELECT coalesce(max(number) + 1, 0), ?, ? FROM sessions RETURNING number",
                (_hash(token), _now()),
            ).fetchone()
        return Session(token, number)

    def refuse(self) -> None:
        """Counts a listener who did not give consent; nothing else is stored."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO about VALUES ('refused', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
            )

    def train(self, token: str, training: Training) -> None:
        """Stores the musical training of a listener.

        Raises:
            AnswerError: another one is stored already.
        """
        with self._writing() as connection:
            number, stored, _ = _session(connection, token)
            if stored is not None and parse_training(json.loads(stored)) != training:
                raise AnswerError(_CHANGED)
            said = json.dumps(to_json(training))
            connection.execute("UPDATE sessions SET training = ? WHERE number = ?", (said, number))

    def record(self, token: str, task_id: str, answer: Answer) -> None:
        """Stores an answer.

        Raises:
            AnswerError: another one is stored already, the task is not one of this session or of another kind, or one
                before it is not answered yet.
        """
        with self._writing() as connection:
            number, _, _ = _session(connection, token)
            tasks = self._study.tasks_of(number)
            place = next((place for place, task in enumerate(tasks) if task.id == task_id), None)
            if place is None or (tasks[place].kind == "compare") != isinstance(answer, Comparison):
                raise AnswerError("there is no such task in this session")
            if len(answer.played_ms) != len(tasks[place].clips):
                raise AnswerError("played_ms must have one number for each clip")
            stored = connection.execute(
                "SELECT answer FROM answers WHERE number = ? AND task = ?", (number, task_id)
            ).fetchone()
            if stored is not None:
                if not says_the_same(parse_answer(tasks[place], json.loads(stored[0])), answer):
                    raise AnswerError(_CHANGED)
                return
            answered = _count(connection, number)
            if place > answered:
                raise AnswerError(f"task {tasks[answered].id} comes before this one")
            row = number, task_id, json.dumps(to_json(answer)), _now()
            connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", row)

    def progress(self, token: str) -> Progress:
        """Returns how far a listener is."""
        with self._reading() as connection:
            number, training, finished = _session(connection, token)
            answered = _count(connection, number)
        return Progress(number, answered, self._study.tasks_of(number), training is not None, finished is not None)

    def finish(self, token: str) -> None:
        """Says that a listener is done; once more changes nothing.

        Raises:
            AnswerError: a task is not answered yet.
        """
        with self._writing() as connection:
            number, _, _ = _session(connection, token)
            answered, tasks = _count(connection, number), self._study.tasks_of(number)
            if answered < len(tasks):
                raise AnswerError(f"task {tasks[answered].id} is not answered yet")
            connection.execute(
                "UPDATE sessions SET finished = coalesce(finished, ?) WHERE number = ?", (_now(), number)
            )

    def withdraw(self, token: str) -> None:
        """Deletes all that a listener said. The number stays used, so that nobody else gets the same tasks."""
        with self._writing() as connection:
            number, _, _ = _session(connection, token)
            connection.execute("DELETE FROM answers WHERE number = ?", (number,))
            connection.execute(
                "UPDATE sessions SET training = NULL, finished = NULL, withdrawn = ? WHERE number = ?", (_now(), number)
            )
        with self._lock:  # else what was deleted would stay in the log until much more was written
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def counts(self) -> dict[str, int]:
        """Returns how many listeners have `begun`, `finished`, `refused` consent and `withdrawn`."""
        with self._reading() as connection:
            begun, finished, withdrawn = connection.execute(
                "SELECT count(*), count(finished), count(withdrawn) FROM sessions"
            ).fetchone()
            refused = connection.execute("SELECT value FROM about WHERE name = 'refused'").fetchone()
        number = refused[0] if refused else 0
        return {"begun": begun, "finished": finished, "refused": number, "withdrawn": withdrawn}

    def listeners(self) -> list[Listener]:
        """Returns all answers, by listeners who have not withdrawn."""
        with self._reading() as connection:
            sessions = connection.execute(
                "SELECT number, begun, training, finished FROM sessions WHERE withdrawn IS NULL ORDER BY number"
            ).fetchall()
            rows = connection.execute("SELECT number, task, answer FROM answers").fetchall()
        stored = {(number, task): json.loads(answer) for number, task, answer in rows}
        found = []
        for number, begun, training, finished in sessions:
            answers = {
                task.id: parse_answer(task, stored[number, task.id])
                for task in self._study.tasks_of(number)
                if (number, task.id) in stored
            }
            trained = parse_training(json.loads(training)) if training else None
            found.append(Listener(str(number), number, begun, finished is not None, trained, answers))
        return found

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection for a transaction that is on disk afterwards, or has changed nothing."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection for reads that see one state of the file."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")


def _session(connection: sqlite3.Connection, token: str) -> tuple[int, str | None, str | None]:
    """Returns the number, the training and the end of a session."""
    row = connection.execute(
        "SELECT number, training, finished FROM sessions WHERE token_sha256 = ? AND withdrawn IS NULL", (_hash(token),)
    ).fetchone()
    if row is None:
        raise AnswerError("this session is not known")
    return row


def _count(connection: sqlite3.Connection, number: int) -> int:
    return connection.execute("SELECT count(*) FROM answers WHERE number = ?", (number,)).fetchone()[0]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
