"""The reference of commands and of exit codes, in Markdown, from the code that `--help` is made from."""

import ast
import inspect
import re
import warnings
from collections.abc import Iterator
from typing import Any

import tyro

from ostinato.configs.errors import ExitCode
from ostinato.launch.arguments import PROGRAM
from ostinato.launch.cli import COMMANDS

_CONFIG = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.CascadeSubcommandArgs)
_TAKES_OPTIONS_OF = {"plan": "train"}


def commands_reference() -> str:
    """Returns every command with its words and options."""
    parsers = {name: _parser(name, command) for name, command in COMMANDS.items()}
    lines: list[str] = []
    for name, parser in parsers.items():
        other = _TAKES_OPTIONS_OF.get(name, "")
        told = {action.dest for action in _all_actions(parsers[other])} if other else set()
        lines += _command(parser, "##", told)
        if other:
            lines += [
                f"It also takes the options of [{PROGRAM} {other}](#{PROGRAM}-{other}) that change the preset.",
                "",
            ]
    return "\n".join(lines)


def exit_codes() -> str:
    """Returns the exit codes as a table, each with the docstring that follows it in `ExitCode`."""
    body = ast.parse(inspect.getsource(ExitCode)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = [one.value.value for one in body.body if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)]
    codes = [f"| {code.value} | {text} |" for code, text in zip(ExitCode, found[1:], strict=True)]
    return "\n".join(["| code | meaning |", "| ---: | --- |", *codes])


def _parser(name: str, command: type) -> Any:
    """Returns what parses a command; of tyro's own kind of argparse, in which presets are subparsers."""
    with warnings.catch_warnings():
        # Deprecated without a successor; pyproject.toml names the versions that have it.
        warnings.filterwarnings("ignore", "get_parser", DeprecationWarning)
        return tyro.extras.get_parser(command, prog=f"{PROGRAM} {name}", config=_CONFIG)


def _subparsers(parser: Any) -> dict[str, Any]:
    return next((action.choices for action in parser._actions if isinstance(action.choices, dict)), {})


def _all_actions(parser: Any) -> Iterator[Any]:
    yield from parser._actions
    for inner in _subparsers(parser).values():
        yield from _all_actions(inner)


def _command(parser: Any, heading: str, told: set[str]) -> Iterator[str]:
    """Yields a command, or a word of one, with its options but for those that were told elsewhere."""
    yield from (f"{heading} {re.sub(r'[^ ]+:', '', parser.prog)}", "", _text(parser.description or ""), "")
    for action in parser._actions:
        if action.dest not in {"help", *told} and not isinstance(action.choices, dict):
            yield from _option(action)
    words = _subparsers(parser)
    if len(words) > 1 and len({tuple(action.dest for action in one._actions) for one in words.values()}) == 1:
        yield from (f"Then one of {', '.join(f'`{word}`' for word in words)}, which differ in their defaults:", "")
        words = {word: words[word] for word in list(words)[:1]}
    for word in words.values():
        yield from _command(word, heading + "#", told)


def _option(action: Any) -> Iterator[str]:
    metavar = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ())
    # A switch has two words, of which one is the default.
    words = ", ".join(word for word in action.option_strings if word.startswith("--") and "_" not in word)
    spelling = f"{words} {metavar.removeprefix('{None}|')}"
    yield from (f"`{spelling.strip()}`", f":   {_text(action.help or '')}", "")


def _text(written: str) -> str:
    """Returns a docstring as one paragraph of Markdown."""
    text = " ".join(written.replace("<", "&lt;").replace("*", r"\*").split())
    text = re.sub(r" \(default: (None|'')?\)$", "", text)
    return re.sub(r"(?<![\w`=-])(--[a-z][\w-]*(?:\.\w[\w-]*)*(=\w+)?)(?![\w`])", r"`\1`", text)
