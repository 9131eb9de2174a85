"""`ostinato listen`: create, serve, results, export."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ostinato.configs.errors import Lines, UserError, file_errors
from ostinato.configs.listen import ServeConfig, StudyConfig
from ostinato.launch.commands.show import print_table, say, starting

_Study = tyro.conf.Positional[Path]


@dataclass(frozen=True, kw_only=True)
class ListenCreate:
    """Builds a study: clips of all conditions, equally long and loud, under names that say nothing."""

    real: Path
    """A folder that `ostinato prepare` wrote: its held-out pieces are the human music, and begin all clips."""
    model: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A condition, beside the human one: the folder of a run, a model that `ostinato models` lists, markov:1 to
    markov:4, or rules; or NAME=one of them. May be given several times."""
    out: Path
    """Folder for the study; it must not exist yet."""
    soundfont: Path | None = None
    """A SoundFont (.sf2) for the sound; the small TimGM6mb by default."""
    config: Annotated[StudyConfig, tyro.conf.arg(name="")] = field(default_factory=StudyConfig)

    def run(self) -> None:
        """Builds the study and says what it holds."""
        starting("building a study in %s: each model composes, then all is made sound; minutes", self.out)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from ostinato.data.records import Dataset
        from ostinato.launch.cache import cache_compilations, counts_of
        from ostinato.listen.design.create import create_study

        cache_compilations()
        dataset = Dataset.open(self.real)
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
            bar = bars.add_task("")
            study = create_study(
                self.out,
                dataset,
                [_with_folder(model) for model in self.model],
                self.config,
                counts=lambda: counts_of(dataset),
                soundfont=self.soundfont,
                watch=lambda stage, done, total: bars.update(bar, description=stage, completed=done, total=total),
            )
        private = study.private
        say(
            f"{self.out}: {len(study.clips)} clips of {study.clip_s:g} s, {len(private.prompts)} beginnings "
            f"in {len(private.sheets)} sets of tasks, conditions {', '.join(private.names)}; about "
            f"{study.minutes} minutes for {study.num_tasks} tasks of a listener. "
            f"'ostinato listen serve {self.out}' opens it"
        )


def _with_folder(model: str) -> str:
    """Returns a condition with the folder that a run or a model is in."""
    from ostinato.listen.design.conditions import is_folder
    from ostinato.pretrained.find import find_source

    name, equals, source = model.partition("=") if "=" in model else ("", "", model)
    if not is_folder(source):
        return model
    folder = find_source(source)
    return f"{name}={folder}" if equals else f"{Path(source).resolve().name}={folder}"


@dataclass(frozen=True, kw_only=True)
class ListenServe:
    """Opens a study to listeners."""

    study: _Study
    """A folder that `ostinato listen create` wrote."""
    config: Annotated[ServeConfig, tyro.conf.arg(name="")] = field(default_factory=ServeConfig)

    def run(self) -> None:
        """Serves the study until Ctrl-C or SIGTERM."""
        from ostinato.launch.extras import needs_extra

        with needs_extra("listen", who="'listen serve'"):
            from ostinato.listen.web.server import serve
        serve(self.study, self.config)


@dataclass(frozen=True, kw_only=True)
class ListenResults:
    """Reports what listeners said: preference, ratings, agreement, checks, and how many more are needed."""

    study: _Study
    """A folder that `ostinato listen create` wrote."""
    answers: tuple[Path, ...] = ()
    """Files that listeners of the exported study downloaded, or folders of them; beside the server's own answers."""
    output: Path | None = None
    """Folder for results.html, results.json and answers.csv; that of the study by default."""
    power: float = 0.8
    """The chance of seeing an effect that is there, for the number of listeners that are needed."""
    effect: float = 0.65
    """Share of the answers, without ties, that prefer the better of two conditions."""
    points: float = 0.5
    """Difference between two conditions in a rating from 1 to 5."""

    def run(self) -> None:
        """Prints the results and writes them as files.

        Raises:
            UserError: nobody has answered, or an answer file is damaged and nothing else is there.
        """
        starting("reading the answers of %s", self.study)
        from ostinato.launch.extras import needs_extra
        from ostinato.listen.analysis import report
        from ostinato.listen.analysis.answer_files import read_answer_files
        from ostinato.listen.analysis.verdict import verdict
        from ostinato.listen.design.study import ANSWERS_FILE, Study
        from ostinato.listen.web.answers import Answers

        with needs_extra("listen", who="'listen results'"):
            from ostinato.listen.analysis.results import summarise
        study = Study.open(self.study)
        listeners, counts = [], {}
        if (study.folder / ANSWERS_FILE).is_file():
            answers = Answers.open(study)
            listeners, counts = answers.listeners(), answers.counts()
            answers.close()
        downloaded, problems = read_answer_files(study, self.answers)
        listeners += downloaded
        if not listeners:
            raise UserError(Lines.of(f"{self.study}: nobody has answered yet", *problems))
        results = summarise(study, listeners, power=self.power, effect=self.effect, points=self.points, counts=counts)
        output = self.output or self.study
        report.write_results(output, study, results, listeners, problems)
        for title, rows in {**report.finding_tables(results), "Listeners": report.listener_rows(results)}.items():
            print_table(title, *rows)
        for line in verdict(results):
            say(line)
        for line in (results["rule"], *report.needed_lines(results), *(f"left out: {problem}" for problem in problems)):
            say(line)
        say(f"{output}: {report.RESULTS_HTML}, {report.RESULTS_JSON} and {report.ANSWERS_CSV} (every answer)")


@dataclass(frozen=True, kw_only=True)
class ListenExport:
    """Writes a study as files for any web host; listeners download their answers and send them."""

    study: _Study
    """A folder that `ostinato listen create` wrote."""
    output: tyro.conf.Positional[Path]
    """A new folder for the pages and the clips; nothing in it tells a condition."""

    def run(self) -> None:
        """Writes the static pages."""
        from ostinato.listen.design.study import Study
        from ostinato.listen.web.pages import write_static

        study = Study.open(self.study)
        with file_errors(self.output):
            write_static(study, self.output)
        say(
            f"{self.output}: copy it to any web host; 'ostinato listen results {self.study} --answers FILES' reads "
            "the files that listeners send"
        )


@dataclass(frozen=True, kw_only=True)
class Listen:
    """A blind listening test: create a study, open it to listeners, read the results."""

    command: (
        Annotated[ListenCreate, tyro.conf.subcommand("create")]
        | Annotated[ListenServe, tyro.conf.subcommand("serve")]
        | Annotated[ListenResults, tyro.conf.subcommand("results")]
        | Annotated[ListenExport, tyro.conf.subcommand("export")]
    )

    def run(self) -> None:
        """Does what is asked for."""
        self.command.run()
