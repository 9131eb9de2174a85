"""The report of `benchmarks.gpu`: tables in Markdown, of whatever results there are."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ostinato.benchmarks.gpu.results import read

Record = dict[str, Any]

TORCH = "torch.nn.LSTM"


def write_report(output: Path) -> None:
    """Writes report.md beside the results."""
    records = read(output)
    lines = ["# What was found on this machine", ""]
    for title, kind, section in SECTIONS:
        found = [one for one in records if one["kind"] == kind]
        lines += [
            f"## {title}",
            "",
            *(section(found, records) if found else ["Nothing was found: see the stages."]),
            "",
        ]
    (output / "report.md").write_text("\n".join(lines))


def table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Returns the lines of a table."""
    cells = [heading, ["---"] * len(heading), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in row) + " |" for row in cells]


def _stages(found: list[Record], records: list[Record]) -> list[str]:
    del records
    rows = [
        (one["name"], "done" if one["code"] == 0 else f"code {one['code']}", f"{one['seconds']:.0f}") for one in found
    ]
    return [*table(("stage", "", "seconds"), rows), "", "A negative code is a signal: -9 that its time was up."]


def _machine(found: list[Record], records: list[Record]) -> list[str]:
    one = found[-1]
    names = ("device_kind", "nvidia_smi", "platform_version", "num_devices", "cores", "python")
    rows: list[tuple[object, ...]] = [(name, one[name]) for name in names]
    rows += [(package, version or "not there") for package, version in one["versions"].items()]
    rates = [(rate["name"], f"{rate['value']:.4g} {rate['unit']}") for rate in records if rate["kind"] == "rate"]
    return table(("", ""), rows + rates)


def _equality(found: list[Record], records: list[Record]) -> list[str]:
    del records
    heading = ("cell", "computed by", "precision", "equal", "loss", "gradient", "memory", "tolerances")
    rows = []
    for one in found:
        named = one["cell"], one["way"], one["precision"]
        if "error" in one:
            rows.append((*named, "did not run", one["error"], "", "", ""))
            continue
        distances = (f"{one[name]:.1e}" for name in ("loss", "gradient", "carry"))
        tolerances = " and ".join(f"{one:.0e}" for one in one["tolerances"])
        rows.append((*named, "yes" if one["equal"] else "**NO**", *distances, tolerances))
    return table(heading, rows)


def _steps(found: list[Record], records: list[Record]) -> list[str]:
    rates = {one["name"]: one["value"] for one in records if one["kind"] == "rate"}
    lines = []
    for shape in dict.fromkeys(tuple(one["shape"]) for one in found):
        here = [one for one in found if tuple(one["shape"]) == shape]
        layers, units, rows, length = shape
        lines += [f"### {layers} x {units}, batch {rows:,}, t = {length}", "", *_shape(here, rates), ""]
    return [
        *lines,
        "Shares are of the measured rate of a large matmul in the same precision, and of the measured bandwidth. What",
        "is counted as traffic is what XLA's operations read and write, also where it comes from the cache. The last",
        "column is the speed as a multiple of torch's in the same precision.",
    ]


def _shape(here: list[Record], rates: dict[str, float]) -> list[str]:
    speeds = {one["label"]: one["rows_per_s"] for one in here if "rows_per_s" in one}
    # All cells of a shape do about the same work as the scanned LSTM, whose operations are counted; cuDNN's are not.
    counted = {_precision(one): one["flops"] for one in here if one["label"].startswith("lstm") and "flops" in one}
    rows = []
    for one in sorted(here, key=lambda one: -one.get("rows_per_s", 0.0)):
        if "error" in one:
            rows.append((one["label"], "did not run", one["error"], "", "", "", ""))
            continue
        precision, step_s = _precision(one), one["step_s"]
        flops = one.get("flops") or counted.get(precision) or counted.get("tf32")
        rate, torch = rates.get(f"matmul {precision}"), speeds.get(f"{TORCH}, {precision}")
        traffic = one.get("bytes")
        rows.append(
            (
                one["label"], f"{one['rows_per_s']:,.0f}", f"{step_s * 1e3:.2f}",
                f"{flops / step_s / rate:.1%}" if flops and rate else "",
                f"{traffic / step_s / rates['memory']:.1%}" if traffic and "memory" in rates else "",
                f"{one['compile_s']:.0f}" if "compile_s" in one else "",
                f"{one['rows_per_s'] / torch:.2f}" if torch else "",
            )
        )  # fmt: skip
    heading = ("", "notes/s", "ms a step", "of the matmul rate", "of the bandwidth", "compiled in s", "times torch")
    return table(heading, rows)


def _precision(one: Record) -> str:
    return one["label"].rpartition(", ")[2]


def _resume(found: list[Record], records: list[Record]) -> list[str]:
    del records
    rows = [("yes" if one["equal"] else "**NO**", one["killed"], one["environment"] or "none") for one in found]
    return table(("to the same bits", "killed while there was", "XLA_FLAGS"), rows)


def _sampling(found: list[Record], records: list[Record]) -> list[str]:
    del records
    rows = [(f"{one['pieces']:,}", one["label"], f"{one['rows_per_s']:,.0f}") for one in found]
    return table(("pieces", "", "notes/s"), rows)


def _feeding(found: list[Record], records: list[Record]) -> list[str]:
    del records
    rows = [
        (f"{one['shape'][0]} x {one['shape'][1]}, batch {one['shape'][2]}", one["steps"], f"{one['loop_s']:.2f}",
         f"{one['share']:.2%}")
        for one in found
    ]  # fmt: skip
    return table(("", "steps", "seconds", "waiting for batches"), rows)


def _plan(found: list[Record], records: list[Record]) -> list[str]:
    del records
    rows = [
        (f"{one['shape'][0]} x {one['shape'][1]}, batch {one['shape'][2]}", one["precision"], one["by"],
         f"{one['predicted_s'] * 1e3:.2f}", f"{one['measured_s'] * 1e3:.2f}", f"{one['ratio']:.2f}", one["bound"])
        for one in found
    ]  # fmt: skip
    return table(("scan", "precision", "by", "predicted ms", "measured ms", "ratio", "bound by"), rows)


def _sharing(found: list[Record], records: list[Record]) -> list[str]:
    del records
    rows = [
        (one["platform"], one["processes"], one["codes"], f"{one['seconds']:.0f}", one.get("params_sha256", "")[:12],
         "; ".join(one["said"]))
        for one in found
    ]  # fmt: skip
    return table(("platform", "processes", "exit codes", "seconds", "parameters", "said"), rows)


def _lines(found: list[Record], records: list[Record]) -> list[str]:
    del records
    return [f"- {one['stage']}: {one.get('text') or one}" for one in found]


SECTIONS: tuple[tuple[str, str, Callable[[list[Record], list[Record]], list[str]]], ...] = (
    ("Stages", "ended", _stages),
    ("Machine", "machine", _machine),
    ("Equality with the CPU", "equality", _equality),
    ("The training step", "step", _steps),
    ("Killed in a save, and resumed", "resume", _resume),
    ("Sampling", "sampling", _sampling),
    ("Waiting for batches", "feeding", _feeding),
    ("Predicted and measured", "plan", _plan),
    ("Several processes on one device", "sharing", _sharing),
    ("Remarks", "note", _lines),
    ("Music", "music", _lines),
)
