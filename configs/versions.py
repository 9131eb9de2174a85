"""Which version of a package this is, ours too where it is a checkout that nobody has installed."""

import importlib.metadata
import tomllib
from pathlib import Path


def package_version(name: str) -> str:
    """Returns the version of an installed package; of ostinato in a plain checkout, what its pyproject.toml says.

    Raises:
        PackageNotFoundError: it is another package, and not installed.
    """
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[1] / "pyproject.toml"
        if name != "ostinato" or not project.is_file():
            raise
    return str(tomllib.loads(project.read_text())["project"]["version"])
