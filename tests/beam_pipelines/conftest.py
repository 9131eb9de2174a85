import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def children_import_tests():
    """Child processes, which get our sys.path, can import what stands in tests/."""
    root = str(Path(__file__).parents[2])
    sys.path.append(root)
    yield
    sys.path.remove(root)
