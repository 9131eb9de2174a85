"""The `ostinato` command: reads the flags and hands over to the stage that they name.

A stage is imported only when its subcommand runs, so that `--help` opens without JAX or Beam. Exit codes: 0 when the
work is whole, 2 for a mistake that the user can mend (one line says how), 130 after Ctrl-C, 1 for anything else; those
of training are explained in configs/errors.py.
"""

import contextlib
import dataclasses
import io
import json
import logging
import math
import os
import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import tyro

from ostinato.configs.errors import UserError
from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import PrepareConfig, SampleConfig, TrainConfig
from ostinato.configs.studio import StudioConfig
from ostinato.launch.commands.listen_options import Listen

_NO_PREFIX = tyro.conf.arg(name="")

_TrainPreset = tyro.extras.subcommand_type_from_defaults(
    {name: preset().train for name, preset in PRESETS.items()},
    {name: (preset.__doc__ or "").split("\n\n")[0] for name, preset in PRESETS.items()},
)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Runs everything on real music: prepare, train, sample and evaluate; starts where an earlier demo stopped."""

    output: Path = Path("demo")
    """Folder for all that the demo makes."""
    midi: tuple[str, ...] = ()
    """Your own files, folders, globs or zip archives instead of the Bach chorales."""
    preset: Literal["chorales", "debug", "paper", "lakh"] = "chorales"
    """The configuration of prepare and train."""
    num_pieces: int = 8
    """Pieces to write."""
    num_notes: int = 256
    """Notes in each piece; 0 lets the model end it."""
    temperature: float = 0.95
    """Below 1 is safer, above 1 is bolder."""
    seed: int = 0
    """Seed of the new pieces."""


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Turns a collection of MIDI files into a dataset. Options of Apache Beam (--runner=FlinkRunner) go to it."""

    midi: tuple[str, ...]
    """Files, folders (searched through), globs, archives (.zip, .tar, .tar.gz, .tar.zst), lists (.txt, one path or URL
    a line); also in any store that Beam reads (s3://, gs://, hdfs://)."""
    output: str
    """The dataset's folder, here or in such a store; it must not exist yet."""
    labels: str = ""
    """A .csv or .jsonl file with the columns path, style, split (both optional) and any further ones, which are kept as
    metadata."""
    parsers: int = 0
    """Parser processes of each worker; 0 is one for each core here, one on a cluster. Changes the speed only."""
    config: Annotated[PrepareConfig, _NO_PREFIX] = field(default_factory=PrepareConfig)


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Shows what a dataset holds, and one of its pieces decoded."""

    dataset: tyro.conf.Positional[Path]
    """A folder that `ostinato prepare` wrote."""
    split: str = "train"
    """Which split the piece is taken from."""
    piece: int = 0
    """Number of the piece within the split."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Trains a model on a dataset, or goes on where an earlier run in the same workdir stopped."""

    dataset: Path
    """A folder that `ostinato prepare` wrote."""
    workdir: Path
    """Folder for checkpoints and metrics."""
    coordinator: str = ""
    """HOST:PORT of process 0, where several processes train together. With the next two it says who this process is;
    launchers (`ostinato launch local`, Slurm, Open MPI, TPU pods, the files in launch/) say it by themselves."""
    num_processes: int = 0
    """How many processes train together."""
    process_id: int = -1
    """The number of this process; the first is 0."""
    start_timeout_s: float = 300.0
    """Seconds until a process that does not come is given up."""
    from_step: int = -1
    """Go on from the checkpoint of this step instead of the latest; later ones are set aside. To be given once."""
    init_from: Path | None = None
    """Begin with the best checkpoint of another run of the same codec and network: fine-tuning."""
    old_dataset: Path | None = None
    """Music that shall not be forgotten: --data.old-share of each batch is read from here."""
    profile: str = ""
    """Steps, such as 100-105, of which a JAX trace is written to the folder profile/ of the run."""
    config: Annotated[_TrainPreset, _NO_PREFIX]  # pyright: ignore[reportInvalidTypeForm]  # made at run time
    """The preset, and options that change it."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Trains with several processes of this machine: ostinato launch local --processes 2 -- train ...

    The GPUs, or the cores where there are none, are divided among them. When a process dies, all go on from the last
    checkpoint.
    """

    where: tyro.conf.Positional[Literal["local"]]
    """This machine. launch/README.md shows how clusters start the same command."""
    processes: int = 2
    """How many."""
    devices_per_process: int = 0
    """CPU devices of each process; 0 is one."""
    max_restarts: int = 3
    """How often all processes are started again, after one was killed, was preempted or lost another."""
    grace_s: float = 60.0
    """Seconds between Ctrl-C or SIGTERM, which is passed on, and the end of processes that have not saved by then."""

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise UserError(f"--processes {self.processes} must be at least 1")
        if self.devices_per_process < 0 or self.max_restarts < 0 or self.grace_s < 0:
            raise UserError("--devices-per-process, --max-restarts and --grace-s must not be negative")


@dataclass(frozen=True, kw_only=True)
class RunsShow:
    """Shows how far a run is."""

    workdir: tyro.conf.Positional[Path]
    """The folder of a training run."""
    json: bool = False
    """Print one line of JSON instead of a table."""


@dataclass(frozen=True, kw_only=True)
class RunsList:
    """Lists the runs in a folder: state, best loss, speed and last checkpoint (short: ostinato runs FOLDER)."""

    folder: tyro.conf.Positional[Path] = Path()
    """Where to look, at any depth."""


@dataclass(frozen=True, kw_only=True)
class RunsPlot:
    """Draws the losses of the runs in a folder, in the terminal and as a picture."""

    folder: tyro.conf.Positional[Path] = Path()
    """Where to look, at any depth."""
    output: Path | None = None
    """The PNG; curves.png in the folder by default."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Looks at training runs."""

    command: (
        Annotated[RunsShow, tyro.conf.subcommand("show")]
        | Annotated[RunsList, tyro.conf.subcommand("list")]
        | Annotated[RunsPlot, tyro.conf.subcommand("plot")]
    )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Writes new pieces with a trained model: MIDI, sound and piano roll, and a page to hear and see them."""

    workdir: Path | None = None
    """The folder of a training run; with --again, where the run is now, if it was moved."""
    model: str = ""
    """Instead of --workdir, a simpler composer for comparison: markov:1 to markov:4 (Markov chains over rows of the
    music), or rules (puts beats of the training pieces together anew). It learns from --dataset."""
    dataset: Path | None = None
    """With --model: a folder that `ostinato prepare` wrote."""
    output: Path | None = None
    """Folder for the new pieces; with --again a folder `again` beside the file, if it is not given."""
    again: Path | None = None
    """A MIDI file that this command wrote, or its .json: makes that piece again, to the same bytes. All options of the
    music come from the file."""
    primer: str = ""
    """What the pieces begin with: a MIDI file, a folder of them, or a dataset (its training split, as in the paper)."""
    harmonise: str = ""
    """A MIDI file whose notes (or those of --melody) are kept, while other instruments are written around them."""
    fill: str = ""
    """A MIDI file of which --fill-bars are written anew."""
    stream: str = ""
    """Instead of --output, music without end: to a .mid file that can be opened at any moment, '-' or a named pipe or
    device (raw MIDI messages in time), or port:NAME, a live MIDI port (port: is the first; needs the extra `live`)."""
    checkpoint: Literal["best", "latest"] = "best"
    """best (lowest validation loss) or latest."""
    audio: bool = True
    """Write the sound of each piece."""
    audio_format: Literal["wav", "flac", "ogg"] = "wav"
    """How sound is written: wav, flac (the same sound, half of the size) or ogg (Vorbis, a tenth)."""
    soundfont: Path | None = None
    """A SoundFont (.sf2) for the sound; the small TimGM6mb by default."""
    config: Annotated[SampleConfig, _NO_PREFIX] = field(default_factory=SampleConfig)


@dataclass(frozen=True, kw_only=True)
class Studio:
    """Opens a page on which a musician plays with a trained model: wishes, piano roll, sound, and what was written."""

    workdir: tyro.conf.Positional[Path]
    """The folder of a training run."""
    config: Annotated[StudioConfig, _NO_PREFIX] = field(default_factory=StudioConfig)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measures a trained model on held-out music beside baselines on the same notes.

    What the baselines count is counted by Apache Beam; its options (--runner=FlinkRunner) go to it.
    """

    workdir: Path
    """The folder of a training run."""
    dataset: Path
    """The dataset that it was trained on, or another with the same codec."""
    output: Path
    """Folder for report.json and report.html."""
    runs: tuple[Path, ...] = ()
    """Folders of other runs on the same dataset, to be measured beside it."""
    checkpoint: Literal["best", "latest"] = "best"
    """best (lowest validation loss) or latest."""
    batch_size: int = 32
    """Pieces measured at the same time; changes the speed only."""
    max_train_pieces: int = 200
    """Of the training split at most this many pieces are measured, evenly spread; 0 is all. Others are always whole."""
    transpose_baselines: int = 0
    """The baselines count each training piece in all keys up to this many semitones higher and lower too, as a model
    that was trained with --data.max-transpose has seen it. Takes 2 n + 1 times as long."""
    num_samples: int = 32
    """Pieces that the run, each of --runs, and the baselines markov:3 and rules write, for musical statistics and
    originality beside held-out pieces; 0 leaves both out."""
    seed: int = 0
    """Seed of these pieces."""
    temperature: float = 1.0
    """Of these pieces: below 1 is safer, above 1 is bolder. The baselines have none."""
    by_checkpoint: bool = False
    """Show likelihood and originality of each checkpoint that the run still has; each writes as many pieces."""
    old_dataset: Path | None = None
    """For a fine-tuned run: what its first run was trained on, if it is no longer where it was."""
    audio: bool = True
    """Let the page be heard; without sound it is a few MB smaller."""
    listening: Path | None = None
    """The folder that 'ostinato listen results' wrote to: what people said becomes a part of the report."""

    def __post_init__(self) -> None:
        if self.num_samples < 0 or 0 < self.num_samples < 4:
            raise UserError(f"--num-samples {self.num_samples} must be 0, or at least 4 pieces to be compared")
        if self.seed < 0 or self.batch_size < 1 or self.max_train_pieces < 0 or self.transpose_baselines < 0:
            raise UserError("--seed, --max-train-pieces and --transpose-baselines are from 0 on, --batch-size from 1")
        if not 0 < self.temperature < math.inf:
            raise UserError(f"--temperature {self.temperature} must be above 0")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Trains our LSTM on published benchmarks and shows it beside published models: ostinato bench rolls --data FOLDER.

    All of it takes hours on a CPU. What is done is kept: the same command goes on from there.
    """

    benchmark: tyro.conf.Positional[Literal["rolls"]]
    """rolls: the piano rolls of Boulanger-Lewandowski et al. (2012), nats per frame."""
    data: Path
    """The folder of JSB_Chorales.mat, Nottingham.mat, Piano_midi.mat and MuseData.mat."""
    output: Path = Path("rolls")
    """Folder for rolls.json and rolls.md."""
    datasets: tuple[Literal["jsb", "nottingham", "piano-midi", "musedata"], ...] = ()
    """Only these; all by default."""
    columns: tuple[Literal["frame", "chord"], ...] = ()
    """Only frame (A, independent keys) or chord (B, the keys of a frame one after the other); both by default."""
    seeds: int = 3
    """Models of each kind; their scores' mean and spread are shown."""
    smoke: bool = False
    """Train small models on JSB for two epochs, in less than a minute, to see that it runs. The scores mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Tells what training a preset takes on machines that are not here: memory, seconds a step, hours an epoch.

    The real training step is compiled for each of them (TPUs: pip install 'ostinato[plan-tpu]', GPUs: plan-cuda).
    """

    config: Annotated[_TrainPreset, _NO_PREFIX]  # pyright: ignore[reportInvalidTypeForm]  # made at run time
    """The preset, and options that change it."""
    on: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A machine and how many of it: v5e:4x4, v5p:2x2x2, v6e:4x4 (TPU slices), h100:8, a100:16 (GPUs), cpu (this one,
    measured; cpu:1 is one core). May be given several times."""
    dataset: Path | None = None
    """A folder that `ostinato prepare` wrote, for the length of an epoch."""
    num_notes: int = 10**9
    """Notes in an epoch, where no dataset is given."""
    search: bool = True
    """Look for the largest batch that fits, which takes one to four more compilations for each machine."""
    json: Path | None = None
    """File for the plan, with more figures than the tables show."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Writes a trained model for other programs: parameters as torch.nn has them, the sampling step as StableHLO."""

    workdir: tyro.conf.Positional[Path]
    """The folder of a training run."""
    output: tyro.conf.Positional[Path]
    """Folder for parameters.safetensors, step.stablehlo, start.safetensors and description.json."""
    checkpoint: Literal["best", "latest"] = "best"
    """best (lowest validation loss) or latest."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """Makes a run out of an exported model, to be sampled and trained further."""

    file: tyro.conf.Positional[Path]
    """The parameters.safetensors that `ostinato export` wrote, or its folder."""
    workdir: tyro.conf.Positional[Path]
    """Folder for the new run."""


_COMMANDS = {
    "demo": Demo,
    "prepare": Prepare,
    "inspect": Inspect,
    "plan": tyro.conf.CascadeSubcommandArgs[Plan],
    "train": tyro.conf.CascadeSubcommandArgs[Train],
    "launch": Launch,
    "runs": Runs,
    "sample": Sample,
    "studio": Studio,
    "evaluate": Evaluate,
    "bench": Bench,
    "listen": Listen,
    "export": Export,
    "import": Import,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        code = _main(arguments)
    except Exception:
        if _has_peers():
            traceback.print_exc()
            _exit_at_once(1)
        raise
    # A normal exit waits for the other processes of a run, which it may be in vain to wait for.
    if code not in (0, 75) and _has_peers():
        _exit_at_once(code)
    return code


def _has_peers() -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def _exit_at_once(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _main(arguments: Sequence[str] | None) -> int:
    from ostinato.configs.errors import StoppedError

    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # Errors only from others: apache_beam warns at every import about clouds that nobody asked for.
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    logging.getLogger("ostinato").setLevel(logging.INFO)
    if not os.environ.get("OSTINATO_TRACEBACK"):
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # it logs each error that it raises, at length
    try:
        command, rest = _parse(arguments)
        return _run(command, rest)
    except (ValueError, OSError) as error:
        if os.environ.get("OSTINATO_TRACEBACK"):
            raise
        print(f"ostinato: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except StoppedError as error:
        print(f"ostinato: {error}", file=sys.stderr)
        return error.exit_code
    except FloatingPointError as error:
        print(f"ostinato: {error}", file=sys.stderr)
        return 77
    except KeyboardInterrupt:
        print("ostinato: interrupted; give the same command again", file=sys.stderr)
        return 130


def _parse(arguments: list[str]) -> tuple[Any, list[str]]:
    """Returns the command and what is not for it: of prepare and evaluate options for Beam, of launch what follows --.

    Raises:
        UserError: the flags are wrong; in one line.
    """
    launched: list[str] = []
    if arguments[:1] == ["launch"] and "--" in arguments:
        split = arguments.index("--")
        arguments, launched = arguments[:split], arguments[split + 1 :]
    if arguments[:1] == ["runs"] and not {"show", "list", "plot", "-h", "--help"} & set(arguments[1:2]):
        arguments = ["runs", "list", *arguments[1:]]
    union: Any = None
    for name, kind in _COMMANDS.items():
        member = Annotated[kind, tyro.conf.subcommand(name)]
        union = member if union is None else union | member
    options: dict[str, Any] = {
        "args": arguments,
        "prog": "ostinato",
        "description": "Prepare a MIDI collection, train an LSTM on it, sample and evaluate new music.",
        "config": (tyro.conf.OmitSubcommandPrefixes,),
    }
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            if arguments[:1] in (["prepare"], ["evaluate"]):
                return tyro.cli(union, return_unknown_args=True, **options)
            return tyro.cli(union, **options), launched
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_one_line(message.getvalue())) from None


def _one_line(box: str) -> str:
    """Returns what tyro's box says, without its frame and the part that repeats the help."""
    lines = [re.sub(r"[╭╮╰╯│]", " ", line).strip() for line in box.splitlines()]
    said, _, rest = "\n".join(line for line in lines[1:]).partition("────")
    hint = re.search(r"ostinato[a-z -]* --help", rest + said)
    choices = re.search(r"Available subcommands: .*", rest)
    if choices:
        said = f"{said.rstrip()}. {choices.group(0)}"
    said = " ".join(said.replace("For full helptext, see", "").split())
    return f"{said}; see '{hint.group(0) if hint else 'ostinato --help'}'"


def _run(command: Any, rest: list[str]) -> int:
    match command:
        case Prepare():
            from ostinato.beam_pipelines.prepare import prepare
            from ostinato.launch.commands.show import show_prepared
            from ostinato.launch.progress import shown

            with shown() as watch:
                manifest = prepare(
                    list(command.midi),
                    command.output,
                    command.config,
                    rest,
                    labels=command.labels,
                    num_parsers=command.parsers,
                    watch=watch,
                )
            show_prepared(command.output, manifest)
        case Inspect():
            from ostinato.launch.commands.show import show_dataset

            show_dataset(command.dataset, command.split, command.piece)
        case Train():
            from ostinato.launch.commands.stages import run_training

            assert isinstance(command.config, TrainConfig)
            run_training(
                command.config,
                command.dataset,
                command.workdir,
                coordinator=command.coordinator,
                num_processes=command.num_processes,
                process_id=command.process_id,
                start_timeout_s=command.start_timeout_s,
                from_step=None if command.from_step < 0 else command.from_step,
                profile=command.profile,
                init_from=command.init_from,
                old_dataset=command.old_dataset,
            )
        case Launch():
            from ostinato.launch.local import launch_local

            if not rest or not isinstance(_parse(rest)[0], Train):
                raise UserError("what is to be launched? ostinato launch local --processes 2 -- train ...")
            return launch_local(
                rest,
                num_processes=command.processes,
                devices_per_process=command.devices_per_process,
                max_restarts=command.max_restarts,
                grace_s=command.grace_s,
            )
        case Plan():
            from ostinato.launch.plan.command import plan
            from ostinato.launch.plan.tables import show_plan

            assert isinstance(command.config, TrainConfig)
            found = plan(
                command.config,
                command.on,
                dataset=command.dataset,
                num_notes=command.num_notes,
                search=command.search,
            )
            show_plan(found)
            if command.json is not None:
                command.json.write_text(json.dumps(found, indent=1) + "\n")
            return 0 if all(target["compiles"] for target in found["targets"]) else 1
        case Runs():
            from ostinato.launch.commands import runs

            match command.command:
                case RunsShow(workdir=workdir, json=as_json):
                    runs.show_run(workdir, as_json=as_json)
                case RunsPlot(folder=folder, output=output):
                    runs.plot_runs(folder, output)
                case _:
                    runs.show_runs(command.command.folder)
        case Sample():
            _run_sample(command)
        case Studio():
            from ostinato.launch.commands.studio import run_studio

            run_studio(command.workdir, command.config)
        case Evaluate():
            from ostinato.launch.commands.evaluate import run_evaluation

            run_evaluation(**vars(command), command=_line_of("evaluate", command, rest), beam_args=rest)
        case Bench():
            from ostinato.launch.commands.stages import run_rolls_benchmark

            run_rolls_benchmark(
                command.data,
                command.output,
                datasets=command.datasets,
                columns=command.columns,
                num_seeds=command.seeds,
                smoke=command.smoke,
            )
        case Listen():
            from ostinato.launch.commands.listen import run_listen

            run_listen(command.command)
        case Export():
            from ostinato.launch.commands.stages import run_export

            run_export(command.workdir, command.output, checkpoint=command.checkpoint)
        case Import():
            from ostinato.launch.commands.stages import run_import

            run_import(command.file, command.workdir)
        case Demo():
            from ostinato.launch.commands.demo import demo

            options = dataclasses.asdict(command)
            demo(options.pop("output"), **options)
        case _:
            raise AssertionError(command)
    return 0


def _line_of(name: str, options: Any, rest: Sequence[str]) -> str:
    """Returns the command line that does the same: all options that are not as they are by default."""
    words = ["ostinato", name]
    for option in dataclasses.fields(options):
        value = getattr(options, option.name)
        if value == option.default:
            continue
        flag = option.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else [value])]
    return shlex.join([*words, *rest])


def _run_sample(command: Sample) -> None:
    """Writes new pieces, or one piece again.

    Raises:
        UserError: flags that do not go together.
    """
    from ostinato.launch.commands.evaluate import run_composing
    from ostinato.launch.commands.stages import run_sampling, run_sampling_again, run_stream

    if command.model or command.dataset:
        if not command.model or command.workdir or command.again or command.stream or command.primer:
            raise UserError("--model and --dataset go together, with --output, and not with --workdir or its options")
        audio = command.audio_format if command.audio else None
        options = command.config, command.dataset, command.output
        run_composing(command.model, *options, audio=audio, soundfont=command.soundfont)
        return
    inputs = {"primer": command.primer, "harmonise": command.harmonise, "fill": command.fill}
    if sum(map(bool, inputs.values())) > 1:
        raise UserError("--primer, --harmonise and --fill exclude each other; give one of them")
    if command.stream:
        if command.workdir is None or command.output or command.again or command.harmonise or command.fill:
            raise UserError(
                "--stream goes with --workdir and --primer, not with --output, --again, --harmonise, --fill"
            )
        run_stream(command.config, command.workdir, command.stream, inputs=inputs, checkpoint=command.checkpoint)
        return
    audio = command.audio_format if command.audio else None
    if command.again:
        if command.config != SampleConfig():
            raise UserError("--again takes the options of the music from its file; leave the others out")
        run_sampling_again(
            command.again,
            command.output,
            workdir=command.workdir,
            inputs=inputs,
            audio=audio,
            soundfont=command.soundfont,
        )
        return
    if command.workdir is None or command.output is None:
        missing = "--workdir" if command.workdir is None else "--output"
        raise UserError(f"{missing} is missing; see 'ostinato sample --help'")
    run_sampling(
        command.config,
        command.workdir,
        command.output,
        inputs=inputs,
        checkpoint=command.checkpoint,
        audio=audio,
        soundfont=command.soundfont,
    )


if __name__ == "__main__":
    sys.exit(main())
