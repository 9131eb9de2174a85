"""What only some users need is an extra of the package."""

from collections.abc import Iterator
from contextlib import contextmanager

from ostinato.configs.errors import UserError


@contextmanager
def needs_extra(name: str, *, who: str) -> Iterator[None]:
    """Turns a library that is not installed into one line that says how to get it.

    Args:
        name: of the extra.
        who: needs it.

    Raises:
        UserError: a module of another package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ostinato"):
            raise
        raise UserError(f"{who} needs {error.name}: pip install 'ostinato[{name}]'") from error
