"""Arrays of numpy from folders that a stranger may have written: `np.load` believes what a file says of itself."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from ostinato.configs.documents import check_inside
from ostinato.configs.errors import UserError


def open_array(
    path: Path,
    dtypes: Sequence[type[np.generic]],
    num_axes: int,
    *,
    folder: Path | None = None,
    error: type[UserError] = UserError,
) -> Shaped[np.ndarray, "..."]:
    """Returns an array of a .npy file, mapped into memory: neither its size nor its type comes as a surprise.

    Args:
        path: of the file.
        dtypes: those that it may have; none of them holds objects, so that nothing is unpickled.
        num_axes: that it has to have.
        folder: in which it has to lie, links followed; that of the file by default.
        error: what is raised.

    Raises:
        UserError: the file cannot be read, holds something else, or not as much as it says; of the type `error`.
    """
    check_inside(folder or path.parent, path, error=error)
    if not path.is_file():
        raise error(f"{path}: is missing, or not a regular file")
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as problem:  # numpy evaluates the header as a literal of Python: the type depends on what is wrong
        raise error(f"{path}: cannot be read ({type(problem).__name__}: {_one_line(problem)})") from problem
    if array.dtype not in dtypes or array.ndim != num_axes or not array.flags.c_contiguous:
        named = " or ".join(np.dtype(kind).name for kind in dtypes)
        raise error(f"{path}: holds an array of {array.ndim} axes of {array.dtype}, not one of {num_axes} of {named}")
    return np.asarray(array)


def _one_line(problem: Exception) -> str:
    return ascii(" ".join(str(problem).split())[:200])[1:-1]
