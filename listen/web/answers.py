"""What listeners answered, in SQLite; safe for many threads, and for several processes.

    answers = Answers.open(study)                  # study/answers.sqlite; made if it is not there
    token, number = answers.begin()                # consent was given; the token goes into the listener's cookie
    answers.refuse()                               # consent was not given: a count, nothing else
    answers.train(token, parse_training(data))     # musical training
    answers.record(token, "3", parse_answer(task, data))
    answers.progress(token)                        # Progress: what is done, what comes next
    answers.withdraw(token)                        # the listener wants it all deleted

Every call that writes has committed when it returns: WAL with synchronous=FULL, so the answer is on disk, and is there
after kill -9 or loss of power. What is stored cannot be changed: the same answer once more is fine (a page that heard
nothing asks again), another one is an AnswerError. Tasks are answered in their order. Of a token only its SHA-256 is
stored, so nobody who reads the file can continue a session. No address, no browser, no name is stored.

The file and its `-wal` and `-shm` can be read by their owner only, from the moment they are made: SQLite gives the two
the rights of the first one, which therefore is made, or mended, before SQLite opens it.

All methods raise AnswerError for a token that is not known (or whose listener has withdrawn).
"""

import hashlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ostinato.configs.errors import UserError
from ostinato.listen.design.study import ANSWERS_FILE, Study, StudyError, Task
from ostinato.listen.private import make_private
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
from ostinato.report.text import printable

_BUSY_TIMEOUT_S = 30.0
_CHANGED = "this was answered before and cannot be changed"
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA secure_delete = ON; -- what is withdrawn is overwritten
PRAGMA trusted_schema = OFF; -- a study may come from a stranger: what its file defines calls nothing
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


def utc_now() -> datetime:
    """Returns the time by this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Progress:
    """How far a listener is."""

    token: str
    """Secret; 43 characters that are fine in a cookie and in an address."""
    number: int
    """From 0; decides the order of tasks (`Study.tasks_of`). Not secret, and no way in."""
    answered: int
    """How many tasks, from the first on."""
    tasks: tuple[Task, ...]
    has_training: bool

    @property
    def next_task(self) -> Task | None:
        """The first task without an answer; None when all are answered."""
        return self.tasks[self.answered] if self.answered < len(self.tasks) else None


class Answers:
    """The answers of a study. One object serves all threads of a process."""

    def __init__(self, study: Study, connection: sqlite3.Connection, now: Callable[[], datetime]) -> None:
        """Use `Answers.open`."""
        self._study, self._connection, self._lock, self._clock = study, connection, threading.Lock(), now

    @classmethod
    def open(cls, study: Study, path: Path | None = None, *, now: Callable[[], datetime] = utc_now) -> "Answers":
        """Opens the answers of a study, or begins them; another path than the study's own is for tests.

        `now` is the clock by which answers are stored.

        Raises:
            UserError: the file holds answers of another study, or is no such file, or is somebody else's.
        """
        path = path or study.folder / ANSWERS_FILE
        make_private(path)
        for suffix in ("-wal", "-shm"):
            if (left := path.with_name(path.name + suffix)).exists():  # by a server that was killed, of any version
                make_private(left)
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None)
        try:
            connection.executescript(_SCHEMA)
            connection.execute("INSERT OR IGNORE INTO about VALUES ('study', ?)", (study.id,))
            (found,) = connection.execute("SELECT value FROM about WHERE name = 'study'").fetchone()
        except sqlite3.DatabaseError as error:
            connection.close()
            raise StudyError(f"{path}: cannot be used as a file of answers ({error})") from error
        if found != study.id:
            connection.close()
            raise StudyError(f"{path}: holds answers of study {found}, this is study {study.id}")
        return cls(study, connection, now)

    def close(self) -> None:
        """Closes the file; nothing is lost without it."""
        with self._lock:
            self._connection.close()

    def begin(self) -> tuple[str, int]:
        """Begins the session of a listener who has given consent; returns its token and number (see `Progress`)."""
        token = secrets.token_urlsafe(32)
        with self._transaction("IMMEDIATE") as connection:
            (number,) = connection.execute(
                "INSERT INTO sessions (number, token_sha256, begun)"
                " SELECT coalesce(max(number) + 1, 0), ?, ? FROM sessions RETURNING number",
                (_hash(token), self._now()),
            ).fetchone()
        return token, number

    def refuse(self) -> None:
        """Counts a listener who did not give consent; nothing else is stored."""
        with self._transaction("IMMEDIATE") as connection:
            connection.execute(
                "INSERT INTO about VALUES ('refused', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
            )

    def train(self, token: str, training: Training) -> None:
        """Stores the musical training of a listener.

        Raises:
            AnswerError: another one is stored already.
        """
        with self._transaction("IMMEDIATE") as connection:
            number, stored = _session(connection, token)
            if stored is not None and parse_training(json.loads(stored)) != training:
                raise AnswerError(_CHANGED)
            said = json.dumps(to_json(training))
            connection.execute("UPDATE sessions SET training = ? WHERE number = ?", (said, number))

    def record(self, token: str, task_id: str, answer: Answer) -> None:
        """Stores an answer; with the last one the session is finished.

        Raises:
            AnswerError: another one is stored already, the task is not one of this session or of another kind, or one
                before it is not answered yet.
        """
        with self._transaction("IMMEDIATE") as connection:
            number, _ = _session(connection, token)
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
            row = number, task_id, json.dumps(to_json(answer)), self._now()
            connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", row)
            if place == len(tasks) - 1:
                connection.execute("UPDATE sessions SET finished = ? WHERE number = ?", (self._now(), number))

    def progress(self, token: str) -> Progress:
        """Returns how far a listener is."""
        with self._transaction("DEFERRED") as connection:
            number, training = _session(connection, token)
            answered = _count(connection, number)
        return Progress(token, number, answered, self._study.tasks_of(number), training is not None)

    def withdraw(self, token: str) -> None:
        """Deletes all that a listener said. The number stays used, so that nobody else gets the same tasks."""
        with self._transaction("IMMEDIATE") as connection:
            number, _ = _session(connection, token)
            connection.execute("DELETE FROM answers WHERE number = ?", (number,))
            connection.execute(
                "UPDATE sessions SET training = NULL, finished = NULL, withdrawn = ? WHERE number = ?",
                (self._now(), number),
            )
        with self._lock:  # else what was deleted would stay in the log until much more was written
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def counts(self) -> dict[str, int]:
        """Returns how many listeners have `begun`, `finished`, `refused` consent and `withdrawn`."""
        with self._transaction("DEFERRED") as connection:
            begun, finished, withdrawn = connection.execute(
                "SELECT count(*), count(finished), count(withdrawn) FROM sessions"
            ).fetchone()
            refused = connection.execute("SELECT value FROM about WHERE name = 'refused'").fetchone()
        counts = {"begun": begun, "finished": finished, "withdrawn": withdrawn}
        return counts | {"refused": refused[0] if refused else 0}

    def listeners(self) -> list[Listener]:
        """Returns all answers, by listeners who have not withdrawn.

        Raises:
            UserError: the file was damaged, or written by somebody else.
        """
        try:
            return self._read_listeners()
        except (sqlite3.DatabaseError, ValueError, TypeError, RecursionError) as error:
            file = self._study.folder / ANSWERS_FILE
            raise UserError(f"{file}: damaged ({type(error).__name__}: {printable(str(error))})") from error

    def _read_listeners(self) -> list[Listener]:
        with self._transaction("DEFERRED") as connection:
            sessions = connection.execute(
                "SELECT number, begun, training, finished FROM sessions WHERE withdrawn IS NULL ORDER BY number"
            ).fetchall()
            rows = connection.execute("SELECT number, task, answer, answered FROM answers").fetchall()
        stored = {(number, task): (json.loads(answer), answered) for number, task, answer, answered in rows}
        found = []
        for number, begun, training, finished in sessions:
            answers, took_s, before = {}, {}, datetime.fromisoformat(begun)
            for task in self._study.tasks_of(number):
                if (number, task.id) in stored:
                    said, answered = stored[number, task.id]
                    answers[task.id] = parse_answer(task, said)
                    after = datetime.fromisoformat(answered)
                    took_s[task.id], before = (after - before).total_seconds(), after
            trained = parse_training(json.loads(training)) if training else None
            found.append(Listener(str(number), number, begun, finished is not None, trained, answers, took_s))
        return found

    def _now(self) -> str:
        return self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @contextmanager
    def _transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[sqlite3.Connection]:
        """Yields the connection: what is read is one state of the file; what is written is on disk afterwards, or not.

        Whatever writes asks for an IMMEDIATE one.
        """
        with self._lock:
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _session(connection: sqlite3.Connection, token: str) -> tuple[int, str | None]:
    """Returns the number and the training of a session."""
    row = connection.execute(
        "SELECT number, training FROM sessions WHERE token_sha256 = ? AND withdrawn IS NULL", (_hash(token),)
    ).fetchone()
    if row is None:
        raise AnswerError("this session is not known")
    return row


def _count(connection: sqlite3.Connection, number: int) -> int:
    return connection.execute("SELECT count(*) FROM answers WHERE number = ?", (number,)).fetchone()[0]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
