"""Runs `ostinato listen`."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ostinato.configs.errors import UserError
from ostinato.data.records import Dataset
from ostinato.launch.cache import counts_of
from ostinato.launch.commands.listen_options import ListenCreate, ListenExport, ListenResults, ListenServe
from ostinato.launch.commands.show import print_table
from ostinato.launch.commands.stages import cache_compilations
from ostinato.launch.extras import needs_extra
from ostinato.listen.design.study import ANSWERS_FILE, Study


def run_listen(command: ListenCreate | ListenServe | ListenResults | ListenExport) -> None:
    """Does what is asked for.

    Raises:
        UserError: the study, the dataset or the options do not go together; in one line.
    """
    match command:
        case ListenCreate():
            create(command)
        case ListenServe():
            with needs_extra("listen", who="'listen serve'"):
                from ostinato.listen.web.server import serve

            serve(
                command.study,
                host=command.host,
                port=command.port,
                prefix=command.prefix,
                trusted_proxies=command.trusted_proxies,
            )
        case ListenResults():
            report(command)
        case ListenExport():
            export(command)


def create(command: ListenCreate) -> Study:
    """Builds a study and says what it holds."""
    from ostinato.listen.design.create import create_study

    cache_compilations()
    dataset = Dataset.open(command.real)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("")

        def watch(stage: str, done: int, total: int) -> None:
            bars.update(bar, description=stage, completed=done, total=total)

        study = create_study(
            command.out,
            dataset,
            command.model,
            command.config,
            counts=lambda: counts_of(dataset),
            soundfont=command.soundfont,
            watch=watch,
        )
    private = study.private
    _say(
        f"{command.out}: {len(study.clips)} clips of {study.clip_s:g} s, {len(private.prompts) - 1} beginnings, "
        f"conditions {', '.join(private.names)}; about {study.minutes} minutes for {study.num_tasks} tasks of a "
        f"listener. 'ostinato listen serve {command.out}' opens it"
    )
    return study


def report(command: ListenResults) -> None:
    """Prints the results and writes them as files."""
    from ostinato.listen.analysis import report as tables
    from ostinato.listen.analysis.answer_files import read_answer_files
    from ostinato.listen.web.answers import Answers

    with needs_extra("listen", who="'listen results'"):
        from ostinato.listen.analysis.results import summarise
    study = Study.open(command.study)
    listeners, counts = [], {}
    if (study.folder / ANSWERS_FILE).is_file():
        answers = Answers.open(study)
        listeners, counts = answers.listeners(), answers.counts()
        answers.close()
    downloaded, problems = read_answer_files(study, command.answers)
    listeners += downloaded
    if not listeners:
        raise UserError("\n".join([f"{command.study}: nobody has answered yet", *problems]))
    results = summarise(
        study, listeners, power=command.power, effect=command.effect, points=command.points, counts=counts
    )
    output = command.output or command.study
    tables.write_results(output, study, results, listeners, problems)
    for title, rows in {**tables.finding_tables(results), "Listeners": tables.listener_rows(results)}.items():
        print_table(title, *rows)
    if results["main"]["preference"]["strengths"] is None:
        _say(f"no strengths yet: {results['main']['preference']['reason']}")
    for line in (results["rule"], *tables.needed_lines(results), *(f"left out: {problem}" for problem in problems)):
        _say(line)
    _say(f"{output}: {tables.RESULTS_HTML}, {tables.RESULTS_JSON} and {tables.ANSWERS_CSV} (every answer)")


def export(command: ListenExport) -> Path:
    """Writes the static pages."""
    from ostinato.listen.web.pages import write_static

    study = Study.open(command.study)
    write_static(study, command.output)
    _say(
        f"{command.output}: copy it to any web host; 'ostinato listen results {command.study} --answers FILES' reads "
        "the files that listeners send"
    )
    return command.output


def _say(line: str) -> None:
    Console().print(line, highlight=False, markup=False, soft_wrap=True)
