"""Reads the command line: one command with its options, or one line that says what is wrong with the words.

tyro makes the options from the dataclasses in launch/commands/. It says what it cannot read as data, in `tyro._errors`,
which its authors may still change: pyproject.toml names the versions that have it.
"""

import dataclasses
import itertools
import os
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NoReturn, Protocol, Union

import tyro
from tyro import _errors as events

from ostinato.configs.errors import UserError
from ostinato.configs.values import similar

PROGRAM = "ostinato"
TAKES_BEAM_OPTIONS = ("prepare", "evaluate")
_LIKE_OURS = ("--runner", "--streaming", "--update", "--label", "--job-server-timeout")
"""Options of Beam that look as if ours had been misspelled; a test looks at all of Beam's."""


class Command(Protocol):
    """A frozen dataclass: its fields are the options."""

    def run(self) -> int | None:
        """Does it; returns an exit code other than 0, if there is one."""


def parse(arguments: Sequence[str], commands: Mapping[str, Any]) -> Command:
    """Returns the command that was typed.

    Options of prepare and evaluate that are not theirs become `beam_options`, what follows -- becomes the `command` of
    launch, `runs FOLDER` is short for `runs list FOLDER`, and `models` for `models list`. A command that has
    `for_words` says what it is for these.

    Raises:
        UserError: the words cannot be understood, in one line; or the values do not go together.
    """
    words = list(arguments)
    if words[:1] == ["launch"] and "--" in words:
        split = words.index("--")
        launch: Any = parse(words[:split], commands)
        parse(words[split + 1 :], commands)  # a mistake is told here once, not by every process
        return dataclasses.replace(launch, command=tuple(words[split + 1 :]))
    if words[:1] == ["runs"] and "runs" in commands:
        words = _runs_in_full(words, [word for word in _spellings(commands["runs"]) if not word.startswith("-")])
    if words[:1] == ["train"]:
        words = _with_first_value(words, "--dataset")
    if words == ["models"]:
        words.append("list")
    if adapted := getattr(commands.get("".join(words[:1])), "for_words", None):
        commands = {**commands, words[0]: adapted(words[1:])}
    kinds: Any = Union[tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in commands.items())]  # noqa: UP007
    options: dict[str, Any] = {
        "args": words,
        "prog": PROGRAM,
        "description": "Prepare a MIDI collection, train an LSTM on it, sample and evaluate new music. --version says "
        "which this is, doctor whether all is there.",
        "config": (tyro.conf.OmitSubcommandPrefixes, tyro.conf.CascadeSubcommandArgs),
    }
    with events.on_parse_error(lambda event: _explain(event, words, commands)):
        if words[:1] and words[0] in TAKES_BEAM_OPTIONS:
            command, beam_options = tyro.cli(kinds, return_unknown_args=True, **options)
            _refuse_what_is_not_beams(words[0], type(command), beam_options)
            return dataclasses.replace(command, beam_options=tuple(beam_options))
        return tyro.cli(kinds, **options)


def _runs_in_full(words: list[str], known: Sequence[str]) -> list[str]:
    """Returns `runs FOLDER` as `runs list FOLDER`."""
    word = "".join(words[1:2])
    if word in (*known, "-h", "--help"):
        return words
    if word and (hint := similar(word, known)) and not os.path.exists(word):
        raise UserError(f"unknown word {word!r}{hint}, and no folder; see '{PROGRAM} runs --help'")
    return ["runs", "list", *words[1:]]


def _with_first_value(words: list[str], option: str) -> list[str]:
    """Returns words in which an option that takes several values is one word with its first.

    A dataset may have the name of a preset.
    """
    pairs = itertools.pairwise([*words, "-"])
    begins = [i for i, (word, after) in enumerate(pairs) if word == option and not after.startswith("-")]
    for i in reversed(begins):
        words = [*words[:i], f"{option}={words[i + 1]}", *words[i + 2 :]]
    return words


def _explain(event: events.ParseErrorEvent, words: Sequence[str], commands: Mapping[str, Any]) -> None:
    """Raises the line for what tyro has found; a kind of event that is not known here is left to tyro."""
    command = words[0] if words and words[0] in commands else ""
    spellings = list(dict.fromkeys(_spellings(commands[command]) if command else commands))
    choices = [word for word in spellings if not word.startswith("-")]
    chosen = [word for word in words[1:] if word in choices][:1]
    program = " ".join([PROGRAM, *([command] if command else ()), *chosen])

    def fail(message: str) -> NoReturn:
        raise UserError(f"{message}; see '{program} --help'")

    match event:
        case events.MissingArgs(unrecognized_tokens=[token, *_]) | events.UnrecognizedArgs(tokens=[token, *_]):
            if not token.startswith("-"):
                hint = "" if chosen or not choices else f": choose one of {', '.join(choices)}"
                fail(f"unknown word {token!r}{similar(token, choices) if hint else ''}{hint}")
            option = token.split("=")[0].replace("_", "-")
            options = [word for word in spellings if word.startswith("-")]
            if option in options:  # of a subcommand that comes later
                fail(f"{option} must come after {' or '.join(chosen or choices)}")
            fail(f"unknown option {option}{similar(option, options)}")
        case events.MissingArgs():
            names = [_name(missing.arg) for missing in event.missing_arguments]
            fail(f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing")
        case events.MissingSubcommand():
            fail(f"a word is missing: choose one of {', '.join(event.subcommand_spec.parser_from_name)}")
        case events.InvalidChoice():
            fail(f"{_name(event.argument)} {event.value!r} must be one of {', '.join(event.choices)}")
        case events.BadValue(reason="too_few_values"):
            number = event.argument.lowered.nargs
            fail(f"{_name(event.argument)} needs {'a value' if number == 1 else f'{number} values'}")
        case events.InstantiationFailure(argument=None):  # what a dataclass says about its own values
            raise UserError(event.message)
        case events.InstantiationFailure(argument=argument):
            assert argument is not None
            message, metavar = event.message.partition(".\n")[0], str(argument.lowered.metavar)
            fail(f"{_name(argument)} takes {metavar}: {message}{_without_comma(message, metavar)}")
        case _:
            return


def _without_comma(message: str, metavar: str) -> str:
    """Returns which number with a comma a person may have meant, as ` (perhaps 72.5)`; nothing where there is none."""
    found = re.search(r"'([+-]?\d*(,\d+)+)'", message)
    written = found[1] if found else ""
    meant = [written.replace(",", "")] if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", written) else []
    if "FLOAT" in metavar and written.count(",") == 1:
        meant.append(written.replace(",", "."))
    return f" (perhaps {' or '.join(meant)})" if meant else ""


def check_beam_options(name: str, command: Any) -> None:
    """Refuses what neither a command nor Beam knows, before any work is done.

    Raises:
        UserError: with the option of the command that is near, if there is one.
    """
    if not command.beam_options:
        return
    from ostinato.beam_pipelines.runners import BeamOptionsError, complete_beam_args

    try:
        complete_beam_args(list(command.beam_options))
    except BeamOptionsError as error:
        if not error.unknown:
            raise
        raise _unknown_option(name, error.unknown[0], type(command)) from error


def _refuse_what_is_not_beams(name: str, kind: type, words: Sequence[str]) -> None:
    """Refuses options that cannot be Beam's without importing it, which takes a second and more.

    Beam's names have underscores where ours have dashes.
    """
    for word in words:
        option = word.split("=")[0]
        if not option.startswith("--") or "_" in option or option in _LIKE_OURS:
            continue
        if "-" in option.strip("-") or similar(option, _options_of(kind)):
            raise _unknown_option(name, word, kind)


def _unknown_option(name: str, word: str, kind: type) -> UserError:
    option = word.split("=")[0]
    hint = similar(option.replace("_", "-"), _options_of(kind))
    return UserError(f"unknown option {option}{hint}; see '{PROGRAM} {name} --help' and Beam's own options")


def _options_of(kind: type) -> list[str]:
    return [word for word in _spellings(kind) if word.startswith("-")]


def _name(argument: Any) -> str:
    name = argument.display_name()
    return name if name.startswith("-") else name.rpartition(".")[2]


def _spellings(hint: Any, prefix: str = "") -> Iterator[str]:
    """Yields the options of a dataclass, and the names of its subcommands, as they are typed."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        for name, inner in typing.get_type_hints(hint, include_extras=True).items():
            # A configuration gives its options its name, unless an annotation takes it away.
            nested = list(_spellings(inner, f"{prefix}{name}." if dataclasses.is_dataclass(inner) else prefix))
            yield from nested
            markers = getattr(inner, "__metadata__", ())
            name = next((marker.name for marker in markers if _is_arg(marker) and marker.name), name)
            if not nested and not {tyro.conf.Positional, tyro.conf.Suppress} & set(markers):
                yield f"--{prefix}{name}".replace("_", "-")
                if inner is bool:
                    yield f"--{prefix}no-{name}".replace("_", "-")
    for part in typing.get_args(hint):
        if _is_arg(part):
            continue
        name = getattr(part, "name", None)  # of tyro.conf.subcommand
        yield from [name] if isinstance(name, str) and name else _spellings(part, prefix)


def _is_arg(marker: Any) -> bool:
    return hasattr(marker, "metavar")  # what tyro.conf.arg returns has no public type
