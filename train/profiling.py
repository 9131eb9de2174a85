"""Writes what the devices did in some steps, for TensorBoard's or Perfetto's viewer."""

import re
from pathlib import Path

import jax

from ostinato.configs.errors import UserError

FOLDER = "profile"


def steps_to_profile(text: str) -> range:
    """Returns the steps that `--profile 100-105` names; none for an empty text.

    Raises:
        UserError: it is neither a step nor two with a hyphen.
    """
    if not text:
        return range(0)
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last:
        raise UserError(f"--profile '{text}' must be a step, or the first and the last of some, such as 100-105")
    return range(first, last + 1)


class Profile:
    """A trace of chosen steps in `workdir/profile`, by process 0."""

    def __init__(self, workdir: Path, steps: range) -> None:
        """Takes the steps, counted from 1."""
        self._folder = workdir / FOLDER
        self._steps = steps if jax.process_index() == 0 else range(0)
        self._is_on = False

    def begin(self, step: int) -> None:
        """Starts the trace if the step that is about to begin is among those chosen."""
        if step in self._steps and not self._is_on:
            jax.profiler.start_trace(str(self._folder))
            self._is_on = True

    def ends_with(self, step: int) -> bool:
        """Returns whether a step that is dispatched is the last one; its results have to be waited for."""
        return self._is_on and step == self._steps[-1]

    def close(self) -> None:
        """Writes the trace, if there is one."""
        if self._is_on:
            self._is_on = False
            jax.profiler.stop_trace()
