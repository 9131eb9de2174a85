"""Imports point one way between folders, and files never import each other; the layout is the same everywhere."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "configs": set(),
    "report": set(),
    "music": {"configs"},
    "model": {"configs", "music"},
    "data": {"configs", "music"},
    "beam_pipelines": {"configs", "music", "data", "report"},
    "train": {"configs", "music", "data", "model"},
    "sample": {"configs", "music", "data", "model", "train", "report"},
    "evaluation": {"configs", "music", "data", "model", "train", "sample", "report"},
    "pretrained": {"configs", "music", "data", "model", "train", "sample", "evaluation", "report"},
    "listen": {"configs", "music", "data", "model", "train", "sample", "evaluation", "report"},
    "studio": {
        "configs", "music", "data", "beam_pipelines", "model", "train", "sample", "listen", "report", "pretrained",
    },
    "benchmarks/rolls": {"configs", "data", "model", "train", "report"},
    "launch": {
        "configs", "music", "data", "model", "beam_pipelines", "train", "sample", "evaluation", "listen", "studio",
        "report", "pretrained", "benchmarks/rolls",
    },
    "api": {"configs", "music", "data", "train", "sample", "evaluation", "studio", "report", "launch"},
    "benchmarks": {
        "configs", "music", "data", "model", "beam_pipelines", "train", "sample", "evaluation", "listen", "studio",
        "report", "pretrained", "benchmarks/rolls", "launch",
    },
    "docs": {"configs", "music", "beam_pipelines", "evaluation", "launch", "api", "benchmarks"},
}  # fmt: skip
MAY_NOT_IMPORT = {
    "configs": {"numpy", "jax", "flax", "apache_beam", "tyro"},
    "report": {"jax", "flax", "apache_beam", "tensorflow"},
    "music": {"jax", "flax", "apache_beam", "tensorflow"},
    "data": {"jax", "flax", "apache_beam", "tensorflow"},
    "beam_pipelines": {"jax", "flax", "tensorflow", "tensorflow_datasets"},
    **{
        folder: {"flax", "tensorflow"}
        for folder in ("train", "sample", "evaluation", "pretrained", "listen", "studio", "launch", "api")
    },
}
FOLDERS = sorted({name.split("/")[0] for name in MAY_IMPORT})
OF_THE_PACKAGE = ("__init__.py", "__main__.py")
"""What lies beside the folders; the first is the one `__init__.py` that is not empty."""
FILES = {
    ".".join(("ostinato", *path.relative_to(ROOT).with_suffix("").parts)): path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def _imports(path: Path, *, only_at_import: bool = False) -> Iterator[str]:
    """Yields the full names of all modules that a file imports, also inside functions."""
    tree = ast.parse(path.read_text())
    for node in tree.body if only_at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(name: str) -> str:
    """Returns the entry of MAY_IMPORT that a module of ostinato belongs to."""
    parts = name.split(".")[1:]
    inner = "/".join(parts[:2])
    return inner if inner in MAY_IMPORT else parts[0]


def _file_of(name: str) -> str | None:
    """Returns the module of ostinato that an imported name is or is in."""
    return next((full for full in (name, name.rpartition(".")[0]) if full in FILES), None)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_point_one_way(folder):
    for module, path in FILES.items():
        if _room(module) != folder:
            continue
        for name in _imports(path):
            top = name.split(".")[0]
            if top == "ostinato":
                assert _room(name) in {folder} | MAY_IMPORT[folder], f"{path.relative_to(ROOT)} imports {name}"
            assert top not in MAY_NOT_IMPORT.get(folder, set()), f"{path.relative_to(ROOT)} imports {name}"


def test_no_files_import_each_other():
    graph = {module: {_file_of(name) for name in _imports(path)} - {None, module} for module, path in FILES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these files import each other: {' <- '.join(error.args[1])}")


def test_no_module_is_longer_than_a_reader_follows():
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in FILES.values()}
    too_long = {str(path): lines for path, lines in lengths.items() if lines > 400}
    assert not too_long, too_long


def test_the_command_line_opens_without_the_stages():
    for file in (ROOT / "launch/cli.py", ROOT / "launch/arguments.py", *(ROOT / "launch/commands").glob("*.py")):
        for name in _imports(file, only_at_import=True):
            if name.startswith("ostinato."):
                allowed = r"ostinato\.(configs|launch\.(commands|arguments|interruption))\b"
                assert re.match(allowed, name), f"{file}: {name}"
            else:
                assert name.split(".")[0] in sys.stdlib_module_names | {"tyro"}, f"{file}: {name}"


def test_the_package_opens_without_the_stages():
    for name in OF_THE_PACKAGE:
        for imported in _imports(ROOT / name, only_at_import=True):
            assert imported.split(".")[0] in sys.stdlib_module_names or imported == "ostinato.launch.cli.run"


def test_every_folder_is_packaged_and_known_to_the_type_checker():
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {path.parent.relative_to(ROOT) for name in FOLDERS for path in (ROOT / name).rglob("__init__.py")}
    assert sorted(packaged) == ["ostinato", *sorted("ostinato." + ".".join(folder.parts) for folder in found)]
    assert {folder.parts[0] for folder in found} == set(FOLDERS)
    links = {link.name: link.resolve() for link in (ROOT / ".types/ostinato").iterdir()}
    assert links == {name: ROOT / name for name in (*FOLDERS, *OF_THE_PACKAGE)}
    assert all((ROOT / folder / "__init__.py").read_text() == "" for folder in found)
