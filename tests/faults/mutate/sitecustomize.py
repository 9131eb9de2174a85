"""Takes one defence out of Ostinato in whatever process finds this folder on its path: see `tests/faults/mutants.toml`.

OSTINATO_MUTANT is a JSON object: the file, the text that stands there once, what stands there instead, and a file that
is written when that has been done.
"""

import json
import os
from importlib.machinery import SourceFileLoader
from types import CodeType

_mutant = json.loads(os.environ["OSTINATO_MUTANT"])
_get_code = SourceFileLoader.get_code


def _mutated(self: SourceFileLoader, fullname: str) -> CodeType | None:
    path = self.get_filename(fullname)
    if not os.path.samefile(path, _mutant["file"]):
        return _get_code(self, fullname)
    source = self.get_data(path).decode()
    assert source.count(_mutant["defence"]) == 1, path
    with open(_mutant["done"], "a"):
        pass
    return compile(source.replace(_mutant["defence"], _mutant["instead"]), path, "exec", dont_inherit=True)


SourceFileLoader.get_code = _mutated
