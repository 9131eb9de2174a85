"""A training run as a TOML file: `ostinato train --config run.toml`, which `ostinato runs config RUN` writes.

    dataset = "data/mine"
    preset = "chorales"
    num_steps = 500

    [model]
    hidden_size = 512

Keys are those of OPTIONS, all optional (`dataset` and `track` may be lists, `["a:0.7", "b:0.3"]`), `preset`, and the
fields of `TrainConfig`; what is not named is as the preset says, or, without one, as `TrainConfig` has it. Paths are
meant as on the command line: from where one is.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ostinato.configs.errors import UserError
from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import TrainConfig
from ostinato.configs.values import as_type, similar, with_values

TrackerName = Literal["wandb", "mlflow"]
"""Of `train --track`."""
OPTIONS: dict[str, Any] = {
    "dataset": tuple[str, ...],
    "workdir": Path,
    "init_from": Path,
    "old_dataset": Path,
    "track": tuple[TrackerName, ...],
}
"""Those of `ostinato train` that a file may hold beside a configuration, and their types."""
PRESET = "preset"


class RunFile(NamedTuple):
    """What a file says."""

    options: dict[str, Any]
    """Those of OPTIONS that it has."""
    config: TrainConfig


def read_run_file(path: Path) -> RunFile:
    """Returns what a file says.

    Raises:
        UserError: it cannot be read, a key is not known, or a value cannot be; with the file and the key.
    """
    # Imported here: --help knows this module, and opens at once.
    from ostinato.configs.documents import ANYWHERE, parse_toml, read_bounded

    values = parse_toml(read_bounded(path, folder=ANYWHERE), where=path)
    where = f"{path}: "
    try:
        options = {name: as_type(kind, values.pop(name), name) for name, kind in OPTIONS.items() if name in values}
    except UserError as error:
        raise UserError(f"{where}{error}") from error
    preset = values.pop(PRESET, None)
    if preset is not None and preset not in PRESETS:
        hint = similar(preset, [*PRESETS]) if isinstance(preset, str) else ""
        raise UserError(f"{where}{PRESET} {preset!r}{hint} must be one of {', '.join(PRESETS)}")
    base = TrainConfig() if preset is None else PRESETS[preset]().train
    return RunFile(options, with_values(base, values, where=where, also=(*OPTIONS, PRESET)))


def run_file_text(config: TrainConfig, options: Mapping[str, str | Sequence[str]], *, comment: str) -> str:
    """Returns the text of a file that says the same: every option, so that it does not depend on presets and defaults.

    Args:
        config: of the run.
        options: those of OPTIONS.
        comment: the first line.
    """
    return "\n".join([f"# {' '.join(comment.split())}", *_lines({**options, **dataclasses.asdict(config)})]) + "\n"


def _lines(values: Mapping[str, Any]) -> list[str]:
    """Returns the lines of a table; tables in it come after all other values, as TOML wants it. None is left out."""
    lines = [f"{name} = {_value(value)}" for name, value in values.items() if not isinstance(value, dict | None)]
    for name, value in values.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *_lines(value)]
    return lines


def _value(value: Any) -> str:
    """Returns a value as TOML writes it: as JSON does, but for a control character that JSON lets stand."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return repr(value)  # every bit
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
