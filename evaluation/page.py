"""report.html: what an evaluation found, as one page that needs no network.

Names of runs, folders, styles and pieces come from outside: they go through `as_html`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostinato.evaluation import plots, tables
from ostinato.evaluation.baselines.simple import STRONGEST
from ostinato.evaluation.page_examples import choose_examples, example_html
from ostinato.evaluation.page_listening import Listening, listening_section
from ostinato.evaluation.page_parts import figure, table
from ostinato.evaluation.page_style import STYLE
from ostinato.evaluation.samples import Music
from ostinato.evaluation.summary import percent, percent_interval, summary
from ostinato.evaluation.transfer import transfer_rows
from ostinato.report.text import as_html
from ostinato.sample.output.gallery_style import SCRIPT


def report_page(
    report: dict[str, Any],
    music: Music,
    *,
    names: Mapping[str, str],
    with_audio: bool,
    listening: Listening | None = None,
) -> str:
    """Returns the page.

    Args:
        report: the content of report.json.
        music: the pieces that it speaks of, of which some are shown.
        names: what pieces of the dataset are called, by id, as far as it is known.
        with_audio: whether the pieces can be heard too.
        listening: what people said of them.
    """
    sections = [
        _opening(report),
        _likelihood(report),
        listening_section(listening),
        _transfer(report),
        _statistics(report),
        _originality(report, names),
        _examples(music, names, with_audio=with_audio),
        _training(report),
        _making(report),
    ]
    title = f"{as_html(report['runs'][0]['name'])} on {as_html(Path(report['dataset']['path']).name)}: evaluation"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
{"".join(sections)}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _opening(report: dict[str, Any]) -> str:
    split = report["held_out"]
    score = report["splits"][split][0]
    against = next(row for row in report["comparisons"][split] if row["against"] == STRONGEST)
    figures = [
        (f"nats per note, {split}", f"{score['nats_per_note']:.3f}", _said(score["nats_per_note_interval"], ".3f")),
        (
            f"less than {STRONGEST}",
            percent(against["share_less"], 1),
            f"95 %: {percent_interval(bounds)}" if (bounds := against["share_less_interval"]) else "",
        ),
    ]
    if report["statistics"] and "generated" in (frechet := report["statistics"][0]["frechet"]):
        figures.append(("Fréchet distance", f"{frechet['generated']:.1f}", f"{frechet['control']:.1f} real from real"))
    if report["originality"]:
        found = report["originality"][0]
        figures.append(("copy more than human music", percent(found["beyond_human"]), "5 % is ordinary"))
    cells = "".join(
        f"<div><dt>{as_html(name)}</dt><dd>{value} <small>{as_html(note)}</small></dd></div>"
        for name, value, note in figures
    )
    warnings = "".join(
        f'<p class="note warning" role="alert">Warning: {as_html(warning)}</p>' for warning in report["warnings"]
    )
    sentences = "".join(f'<p class="lead">{as_html(line)}</p>' for line in summary(report))
    name = as_html(Path(report["dataset"]["path"]).name)
    return f"""<h1>{as_html(report["runs"][0]["name"])} on {name}</h1>
<p class="lead soft">An evaluation by Ostinato.</p>
{warnings}<dl class="figures">{cells}</dl>
<div style="margin-top:2rem">{sentences}</div>
"""


def _said(bounds: list[float] | None, style: str) -> str:
    return f"95 %: {tables.interval(bounds, style)}" if bounds else ""


def _likelihood(report: dict[str, Any]) -> str:
    split = report["held_out"]
    runs = {run["name"] for run in report["runs"]}
    transposed = report["options"]["transpose_baselines"]
    counted = (
        f"The baselines have counted each training piece in all keys up to {transposed} semitones higher and lower."
        if transposed
        else "The baselines have counted the training pieces in their own keys."
    )
    others = "".join(
        f"<details><summary>{as_html(other)} split</summary>"
        f"{table(tables.score_rows(report, other), ours=runs)}"
        f"{table(tables.comparison_rows(report, other))}</details>"
        for other in report["splits"]
        if other != split
    )
    fields = table(
        tables.field_rows(report, split),
        ours=runs,
        caption="Of each field: nats per note, how often the likeliest value was right, "
        "and how often one of the five likeliest.",
    )
    rules = table(
        tables.rule_rows(report),
        caption="What a composer that puts beats of the training pieces together anew could have written, all in C: "
        "beats whose notes it knows, and moves from one beat to the next that it could make.",
    )
    styles = table(tables.style_rows(report, split))
    return f"""<h2>Likelihood</h2>
<p>What each predictor makes of the same notes of the {as_html(split)} split. Nats per note: everything that a piece
costs, rows without a note included, over its notes; perplexity is exp of it. Rows: share predicted whole. A field is
predicted from the true fields before it; a beat is a quarter note. 95 %: bootstrap over pieces,
{report["bootstrap"]["resamples"]:,} resamples. {counted}</p>
{figure(plots.likelihood_plot(report, split), "Lines are 95 % intervals; most are about as short as their dot.")}
{table(tables.score_rows(report, split), ours=runs)}
<h3>How much less {as_html(report["runs"][0]["name"])} needs <span class="soft">paired over pieces</span></h3>
{table(tables.comparison_rows(report, split))}
<h3>Field by field</h3>
{fields}
{f"<h3>Style by style</h3>{styles}" if styles else ""}
{others}
{f"<h3>Coverage by rules</h3>{rules}" if rules else ""}
"""


def _transfer(report: dict[str, Any]) -> str:
    rows = transfer_rows(report)
    if not rows[1]:
        return ""
    return f"""<h2>Fine-tuning</h2>
<p>Nats per note on held-out pieces before and after, of the checkpoint that the run began with and of its own. A change
below zero is a gain.</p>
{table(rows, words=(0,))}
"""


def _statistics(report: dict[str, Any]) -> str:
    if not report["statistics"]:
        return ""
    samples, found = report["samples"], report["statistics"][0]
    details = "".join(
        f"<details{' open' if number == 0 else ''}><summary>{as_html(one['name'])}, figure by figure</summary>"
        + "".join(
            f"<h3>{group}</h3>{table(tables.feature_rows(one, names))}"
            for group, names in tables.groups_of(list(one["features"])).items()
        )
        + "</details>"
        for number, one in enumerate(report["statistics"])
    )
    caption = (
        "Dot and thin line: pieces that were written; broad line: real pieces with other real ones, 5 % to 95 % of "
        f"{found['splits']} random halves. A dot inside its broad line is as good as it gets."
    )
    return f"""<h2>Musical statistics</h2>
<p>{len(samples["num_notes"])} pieces by each writer, without primers, as long as held-out ones
({min(samples["num_notes"])} to {max(samples["num_notes"])} notes), beside {samples["held_out"]} pieces of the
{as_html(samples["split"])} split. The columns called real are the control: the same distance between halves of the real
pieces. Farther: in how many of the {found["splits"]} random halves the written pieces were farther off than real ones;
half is nothing found.</p>
{table(tables.distance_rows(report), ours={run["name"] for run in report["runs"]}, words=(0, 6))}
{figure(plots.overlap_plot(found), caption)}
{details}
"""


def _originality(report: dict[str, Any], names: Mapping[str, str]) -> str:
    if not report["originality"]:
        return ""
    corpus = report["originality"][0]["corpus"]
    runs = {run["name"] for run in report["runs"]}
    figures = "".join(figure(plot) for plot in plots.ngram_plots(report))
    copies = "".join(
        f"<h3>Most telling runs of {as_html(found['name'])}</h3>"
        f"{table(tables.copy_rows(found['generated'], names), words=(4,))}"
        for found in report["originality"]
        if found["name"] in runs and found["generated"]["copies"]
    )
    checkpoints = ""
    if report["checkpoints"]:
        curve = "".join(figure(plot) for plot in plots.checkpoint_plots(report))
        checkpoints = (
            "<h3>Along the run</h3><p>Likelihood that gets better while sharing stays at the level of held-out music "
            f'is learning; sharing that leaves it is learning by heart.</p><div class="two">{curve}</div>'
            f"{table(tables.checkpoint_rows(report))}"
        )
    return f"""<h2>Originality</h2>
<p>What the pieces share with the {corpus["pieces"]:,} pieces of the training split, in any key and at any tempo,
beside what held-out human music shares with it. Longest run: in notes, mean over the pieces. Bits: how unlikely a
shared run is as such. Texture: share of the runs of 8 and of 16 notes that are found there, all notes in their order;
melody: highest and lowest notes, and those of each instrument. Beyond human: pieces whose most telling
run has more bits than those of 95 % of the human pieces; 5 % is ordinary.</p>
{table(tables.originality_rows(report), ours=runs, human="held-out music")}
<div class="two">{figures}</div>
{copies}
{checkpoints}
"""


def _examples(music: Music, names: Mapping[str, str], *, with_audio: bool) -> str:
    pairs = choose_examples(music, names)
    if not pairs:
        return ""
    body = "".join(
        f'<div class="two">{"".join(example_html(one, with_audio=with_audio) for one in pair)}</div>' for pair in pairs
    )
    return f"""<h2>Side by side</h2>
<p>The first pieces of each writer beside held-out ones; nobody has chosen. Click on a roll to hear that place.</p>
{body}
"""


def _training(report: dict[str, Any]) -> str:
    runs = [(run["name"], Path(run["workdir"])) for run in report["runs"]]
    if not report["paper_table"]:
        return ""
    return f"""<h2>Training</h2>
<p>The table of the paper for this run, from what the run itself has written down; losses in nats per row.</p>
{table(tables.paper_rows(report))}
{figure(plots.loss_plot(runs), "Validation is measured without dropout, training with it.")}
"""


def _making(report: dict[str, Any]) -> str:
    rows = [
        *(
            (
                "run" if number == 0 else "beside it",
                f"{run['workdir']}: step {run['step']:,}, parameters {run['params_sha256'][:16]} ({run['name']})",
            )
            for number, run in enumerate(report["runs"])
        ),
        ("dataset", f"{report['dataset']['path']}: fingerprint {report['dataset']['fingerprint'][:16]}"),
        *((name.replace("_", " "), str(value)) for name, value in report["options"].items()),
        ("made by", f"ostinato {report['version']}"),
        *((name, version) for name, version in report["libraries"].items()),
    ]
    body = "".join(f"<tr><td>{as_html(name)}</td><td>{as_html(value)}</td></tr>" for name, value in rows)
    command = f"<pre><code>{as_html(report['command'])}</code></pre>" if report["command"] else ""
    again = ""
    if report["samples"]:
        again = (
            f"<p>All of the run's pieces, before they were cut:</p>"
            f"<pre><code>{as_html(report['samples']['sample_command'])}</code></pre>"
        )
    return f"""<h2>How it was made</h2>
{command}
{again}
<div class="scroll"><table class="made"><tbody>{body}</tbody></table></div>
<p class="soft">report.json, beside this page, holds all of it and more.</p>
"""
