"""docs/reliability.md lists every injected fault with the test that shows what is promised; docs/resume.md helps."""

import ast
import re

from tests.faults.command import ROOT

FOLDER = ROOT / "tests/faults"


def test_the_table_names_each_test_of_this_folder_once():
    found = [
        f"{path.name}::{node.name}"
        for path in sorted(FOLDER.glob("test_*.py"))
        if path.name != "test_table.py"
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    page = (ROOT / "docs/reliability.md").read_text()
    rows = [line.split("|")[1:-1] for line in page.splitlines() if re.search(r"`test_\w+\.py::", line)]
    assert sorted(row[2].strip(" `") for row in rows) == sorted(found)
    assert len(rows) >= 20
    assert all(cell.strip() for row in rows for cell in row)


def test_the_page_knows_every_setting_that_may_change_and_every_exit_code():
    page = (ROOT / "docs/resume.md").read_text()
    for name in ("skip_limit", "rollbacks", "rollback_factor", "peer_timeout_s", "keep_checkpoints", "MAY_CHANGE"):
        assert f"`{name}`" in page
    for code in (0, 2, 75, 76, 77, 130):
        assert f"| exit code {code} " in page
