"""Imports point one way (DESIGN 2); the layout on disk, in pyproject.toml and in .types/ is the same."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "configs": set(),
    "music": {"configs"},
    "model": {"configs"},
    "beam_pipelines": {"configs", "music"},
    "train": {"configs", "music", "model"},
    "sample": {"configs", "music", "model", "train"},
    "evaluation": {"configs", "music", "model", "train", "sample"},
    "listen": {"configs", "music", "model", "train", "sample", "evaluation"},
    "launch": {"configs", "music", "model", "beam_pipelines", "train", "sample", "evaluation", "listen"},
    "benchmarks": {"configs", "music", "model", "beam_pipelines", "train", "sample", "evaluation", "listen", "launch"},
}
MAY_NOT_IMPORT = {
    "configs": {"numpy", "jax", "flax", "apache_beam", "tyro"},
    "music": {"jax", "flax", "apache_beam", "tensorflow"},
    "beam_pipelines": {"jax", "flax", "tensorflow", "tensorflow_datasets"},
    **{folder: {"flax", "tensorflow"} for folder in ("train", "sample", "evaluation", "listen", "launch")},
}


def _imports(path, *, only_at_import=False):
    """Returns the full names of all modules that a file imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if only_at_import else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_point_one_way(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        for name in _imports(path):
            top, _, rest = name.partition(".")
            if top == "ostinato":
                imported = rest.split(".")[0]
                assert imported == folder or imported in MAY_IMPORT[folder], f"{path.name} imports {name}"
            assert top not in MAY_NOT_IMPORT.get(folder, set()), f"{path.name} imports {name}"


def test_the_command_line_opens_without_the_stages():
    for file in (ROOT / "launch/cli.py", *sorted((ROOT / "launch").glob("*_options.py"))):
        for name in _imports(file, only_at_import=True):
            if name.startswith("ostinato."):
                assert re.match(r"ostinato\.(configs|launch\.[a-z]+_options)\.", name), name
            assert name.split(".")[0] not in {"jax", "numpy", "apache_beam", "flax", "matplotlib", "rich"}, name


def test_every_folder_is_packaged_and_known_to_the_type_checker():
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {path.parent.relative_to(ROOT) for name in MAY_IMPORT for path in (ROOT / name).rglob("__init__.py")}
    assert sorted(packaged) == sorted("ostinato." + ".".join(folder.parts) for folder in found)
    assert {folder.parts[0] for folder in found} == set(MAY_IMPORT)
    links = {link.name: link.resolve() for link in (ROOT / ".types/ostinato").iterdir()}
    assert links == {name: ROOT / name for name in MAY_IMPORT}
    assert all((ROOT / folder / "__init__.py").read_text() == "" for folder in found)
