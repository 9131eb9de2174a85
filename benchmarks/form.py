"""The form table of docs/quality.md: likelihood and form of runs beside real music, from a report of `evaluate`.

    ostinato train --dataset DATASET --workdir runs/new chorales
    ostinato train --dataset DATASET --workdir runs/old chorales --model.norm none --model.no-copy --data.misheard 0
    ostinato evaluate --workdir runs/new --runs runs/old --dataset DATASET --num-samples 64 --no-audio --output report
    python -m ostinato.benchmarks.form report/report.json

Every run is sampled with the defaults of `ostinato sample`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

FIGURES = (
    *(f"repetition at {quarters} quarters" for quarters in (4, 8, 16, 32)),
    "distinct bars",
    "most cycles in a row",
    "block coherence",
    "repetition density",
    "off-diagonal similarity",
    "pitch-class transition",
    "pitch",
    "pitch class",
)
"""Whose overlap with real music is shown."""


def rows(report: dict[str, Any]) -> list[list[str]]:
    """Returns a row for each run and one for real music with itself."""
    nats = {score["name"]: score["nats_per_note"] for score in report["splits"]["test"]}
    copied = {found["name"]: found["generated"]["longest_notes"] for found in report["originality"]}
    human = report["originality"][0]["held_out"]["longest_notes"]
    runs = [run["name"] for run in report["runs"]]
    shown = [found for found in report["statistics"] if found["name"] in runs]
    table = [["", "nats per note", "Fréchet", *FIGURES, "pieces that loop", "longest shared run"]]
    for found in shown:
        features, longest = found["features"], copied[found["name"]]
        table.append([
            found["name"], f"{nats[found['name']]:.3f}", f"{found['frechet']['generated']:.1f}",
            *(_overlap(features[name], "generated") for name in FIGURES),
            f"{features['pieces that loop']['generated']['mean']:.0%}",
            f"{longest['mean']:.0f}, at most {longest['largest']}",
        ])  # fmt: skip
    features = shown[0]["features"]
    real = f"{features['pieces that loop']['real']['mean']:.0%}"
    control = [_overlap(features[name], "control") for name in FIGURES]
    longest = f"{human['mean']:.0f}, at most {human['largest']}"
    return [*table, ["real music", "", f"{shown[0]['frechet']['control']:.1f}", *control, real, longest]]


def _overlap(feature: dict[str, Any], of: str) -> str:
    return f"{feature['overlap'][of]:.2f}" if feature.get("overlap") else "-"


def main() -> None:
    """Reads a report and prints the table, a figure in each line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="report.json of ostinato evaluate")
    columns = rows(json.loads(parser.parse_args().report.read_text()))
    head, *lines = zip(*columns, strict=True)
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for line in lines:
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
