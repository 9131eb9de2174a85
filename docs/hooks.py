"""What mkdocs does with the pages: it brings in what stands elsewhere in the repository or is made from the code.

Pages are read on GitHub too, so they link to files beside `docs/`; on the site such a link is its text.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from ostinato.docs.commands import commands_reference, exit_codes

ROOT = Path(__file__).resolve().parents[1]
BROUGHT_IN = {
    "machines.md": "launch/README.md",
    "beam.md": "launch/beam/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
"""Pages by their name on the site."""
MADE = {"<!-- commands -->": commands_reference, "<!-- exit codes -->": exit_codes}
CITATION = "<!-- citation -->"


def on_files(files: Files, *, config: Any) -> Files:
    """Adds the pages that lie elsewhere."""
    for name, path in BROUGHT_IN.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Fills in what is made, and makes links that lead out of the site lead to its pages, or be text."""
    for mark, make in MADE.items():
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    markdown = markdown.replace(CITATION, f"```yaml\n{(ROOT / 'CITATION.cff').read_text()}```")
    origin = BROUGHT_IN.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    pages = {path: name for name, path in BROUGHT_IN.items()}

    def on_the_site(found: re.Match[str]) -> str:
        text, address, anchor = found.groups()
        path = (ROOT / origin).parent.joinpath(address).resolve()
        if not path.exists() or not path.is_relative_to(ROOT):
            return found[0]  # mkdocs says that there is no such page
        inner = path.relative_to(ROOT).as_posix()
        if inner.startswith("docs/"):
            return f"[{text}]({inner.removeprefix('docs/')}{anchor or ''})"
        return f"[{text}]({pages[inner]}{anchor or ''})" if inner in pages else text

    return re.sub(r"(?<!!)\[([^\]\n]+)\]\(([\w./-]+)(#[\w-]+)?\)", on_the_site, markdown)
