"""Ostinato: from a collection of MIDI files to a model that composes.

    import ostinato

    ostinato.prepare("midi", "data/mine")
    model = ostinato.train("data/mine", "runs/1", "chorales")  # later: ostinato.load("runs/1")
    for number, piece in enumerate(model.sample(num_pieces=2, bars=16, seed=1)):
        piece.save(f"piece-{number}.mid")

docs/python.md has the rest. Nothing is computed, read or configured by the import; JAX comes with the first model.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.api.model import LogLikelihood, Model, load
    from ostinato.api.piece import Piece, Pieces
    from ostinato.api.stages import evaluate, prepare, train
    from ostinato.configs.errors import UserError

    __version__: str

__all__ = [
    "LogLikelihood", "Model", "Piece", "Pieces", "UserError", "__version__", "evaluate", "load", "prepare", "train",
]  # fmt: skip

_PLACES = {
    "LogLikelihood": "api.model",
    "Model": "api.model",
    "Piece": "api.piece",
    "Pieces": "api.piece",
    "UserError": "configs.errors",
    "evaluate": "api.stages",
    "load": "api.model",
    "prepare": "api.stages",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for, when it is asked for."""
    if name == "__version__":
        return importlib.import_module("ostinato.configs.versions").package_version("ostinato")
    if name not in _PLACES:
        raise AttributeError(f"module 'ostinato' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ostinato.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _CallableFolder(ModuleType):
    """The folder train/, which is the function `ostinato.train` as well: both have the name that one looks for."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return _train_function()(*arguments, **options)

    def __reduce__(self) -> Any:
        return importlib.import_module, (self.__name__,)  # as a module: by its name

    @property
    def __signature__(self) -> Any:
        import inspect

        return inspect.signature(_train_function())

    @property
    def __doc__(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return _train_function().__doc__


def _train_function() -> Any:
    return importlib.import_module("ostinato.api.stages").train


importlib.import_module("ostinato.train")
sys.modules["ostinato.train"].__class__ = _CallableFolder
