"""What the command line understands, and what it says to words that it does not: one line that names the wrong one."""

import argparse
import dataclasses
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from ostinato.configs.errors import UserError
from ostinato.configs.presets import PRESETS
from ostinato.launch.arguments import parse
from ostinato.launch.cli import COMMANDS
from ostinato.launch.commands.runs import RunsList
from ostinato.launch.commands.train import Train

TRAIN = ["train", "--dataset", "a", "--workdir", "b"]


def refused(arguments):
    with pytest.raises(UserError) as error:
        parse(arguments, COMMANDS)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        # an unknown option, and those that are near
        (
            [*TRAIN, "debug", "--model.hiden-size", "7"],
            "unknown option --model.hiden-size (perhaps --model.hidden-size or --model.head-size); "
            "see 'ostinato train debug --help'",
        ),
        ([*TRAIN, "debug", "--hidden-size=7"], "unknown option --hidden-size (perhaps --model.hidden-size);"),
        (["sample", "--no-adio"], "unknown option --no-adio (perhaps --no-audio or --audio); see"),
        (["studio", "a", "--prot", "8"], "unknown option --prot (perhaps --port); see 'ostinato studio --help'"),
        (["sample", "--seconds", "3"], "unknown option --seconds (perhaps --num-seconds);"),
        (["sample", "--out", "a"], "unknown option --out (perhaps --output);"),
        ([*TRAIN, "debug", "--batch-size", "4"], "unknown option --batch-size (perhaps --data.batch-size);"),
        (["sample", "--frobnicate"], "unknown option --frobnicate; see 'ostinato sample --help'"),
        (["runs", "plot", "--frob"], "unknown option --frob; see 'ostinato runs plot --help'"),
        (["train", "--confg", "a.toml"], "unknown option --confg (perhaps --config);"),
        # a value of another type, too few of them, or none of the choices
        (
            [*TRAIN, "debug", "--num-steps", "many"],
            "--num-steps takes INT: invalid literal for int() with base 10: 'many'",
        ),
        (
            ["sample", "--tempo", "72,5"],
            "--tempo takes FLOAT: could not convert string to float: '72,5' (perhaps 72.5);",
        ),
        (
            ["sample", "--num-seconds=1,000"],
            "--num-seconds takes FLOAT: could not convert string to float: '1,000' (perhaps 1000 or 1.000);",
        ),
        (
            ["sample", "--num-bars", "1,000"],
            "--num-bars takes INT: invalid literal for int() with base 10: '1,000' (perhaps 1000);",
        ),
        (["sample", "--num-bars", "2,5"], "--num-bars takes INT: invalid literal for int() with base 10: '2,5';"),
        (
            ["sample", "--top-p", "0,9"],
            "--top-p takes {None}|FLOAT: no type matching {None}|FLOAT could be instantiated from ['0,9'] "
            "(perhaps 0.9); see 'ostinato sample --help'",
        ),
        (["sample", "--fill-bars", "1", "x"], "--fill-bars takes INT INT: "),
        (["sample", "--fill-bars", "1"], "--fill-bars needs 2 values; see 'ostinato sample --help'"),
        ([*TRAIN, "debug", "--num-steps"], "--num-steps needs a value;"),
        (
            [*TRAIN, "debug", "--model.cell", "lst"],
            "--model.cell 'lst' must be one of lstm, gru, rnn, mlstm, transformer; see 'ostinato train debug --help'",
        ),
        (["bench", "frob", "--data", "a"], "benchmark 'frob' must be one of rolls; see 'ostinato bench --help'"),
        # what is missing
        (["train"], "--dataset and --workdir are missing; see 'ostinato train --help'"),
        (["train", "--dataset", "a", "--wrokdir", "b", "debug"], "unknown option --wrokdir (perhaps --workdir);"),
        (["runs", "show"], "workdir is missing; see 'ostinato runs show --help'"),
        (["import", "a"], "workdir is missing; see 'ostinato import --help'"),
        # an unknown command, subcommand or preset, none, or a word too many
        (["frob"], "unknown word 'frob': choose one of demo, prepare, inspect, "),
        (["sampel"], "unknown word 'sampel' (perhaps sample): choose one of demo, prepare, inspect, "),
        (["runs", "plott"], "unknown word 'plott' (perhaps plot), and no folder; see 'ostinato runs --help'"),
        ([], "a word is missing: choose one of demo, prepare, inspect, "),
        (["listen", "frob"], "unknown word 'frob': choose one of create, serve, results, export; see 'ostinato listen"),
        (["plan", "frob", "--on", "cpu"], "unknown word 'frob': choose one of chorales, debug, paper, lakh; see"),
        (TRAIN, "a word is missing: choose one of chorales, debug, paper, lakh; see 'ostinato train --help'"),
        (["runs", "list", "a", "b"], "unknown word 'b'; see 'ostinato runs list --help'"),
        # what the configurations say of their values
        ([*TRAIN, "debug", "--data.batch-size", "0"], "batch_size 0 must be at least 1"),
        ([*TRAIN, "debug", "--seed", str(2**63)], f"seed {2**63} must be between 0 and {2**63 - 1}"),
        (["sample", "--seed", str(2**70)], f"seed {2**70} must be between 0 and {2**63 - 1}"),
        (["evaluate", *TRAIN[1:], "--output", "c", "--seed", str(2**63)], f"seed {2**63} must be between 0 and"),
        ([*TRAIN, "debug", "--accumulate", "3"], "batch_size 8 cannot be split into accumulate 3 parts"),
        (["evaluate", *TRAIN[1:], "--output", "c", "--num-samples", "2"], "--num-samples 2 must be 0, or at least 4"),
    ],
)
def test_the_wrong_word_is_named_with_what_is_right(arguments, said):
    assert refused(arguments).startswith(said)


def test_a_misspelled_option_of_prepare_is_told_without_beam_and_none_of_beams_is_taken_for_one():
    said = refused(["prepare", "--midi", "a", "--output", "b", "--max-note", "3"])
    assert said.startswith("unknown option --max-note (perhaps --max-notes")
    assert said.endswith("see 'ostinato prepare --help' and Beam's own options")
    assert refused(["evaluate", *TRAIN[1:], "--output", "c", "--sed=1"]).startswith(
        "unknown option --sed (perhaps --seed"
    )
    parser = argparse.ArgumentParser(allow_abbrev=False, conflict_handler="resolve")
    for part in PipelineOptions.__subclasses__():
        getattr(part, "_add_argparse_args", lambda _: None)(parser)
    of_beam = {word for action in parser._actions for word in action.option_strings if word.startswith("--")}
    assert len(of_beam) > 100
    for name, words in (("prepare", ["--midi", "a"]), ("evaluate", TRAIN[1:])):
        theirs = sorted(of_beam - {"--help", "--labels"})
        command = parse([name, *words, "--output", "c", *theirs], COMMANDS)
        assert sorted(command.beam_options) == theirs


def test_options_of_train_may_stand_after_the_preset_but_not_those_of_the_preset_before_it():
    command = parse(["train", "debug", "--num-steps", "7", *TRAIN[1:]], COMMANDS)
    assert isinstance(command, Train)
    assert (command.config.num_steps, command.config.model.hidden_size) == (7, 32)
    assert refused([*TRAIN, "--num-steps", "7", "debug"]).startswith("--num-steps must come after debug;")


@pytest.mark.parametrize("words", [
    ["--dataset", "chorales", "--workdir", "b", "debug"], ["--workdir", "b", "--dataset", "chorales", "debug"],
    ["--dataset=chorales", "--workdir", "b", "debug"], ["debug", "--workdir", "b", "--dataset", "chorales"],
])  # fmt: skip
def test_a_dataset_may_have_the_name_of_a_preset_and_stand_before_one(words):
    command = parse(["train", *words], COMMANDS)
    assert (command.dataset, command.workdir) == (("chorales",), Path("b"))
    assert command.config == PRESETS["debug"]().train


def test_several_datasets_stand_behind_one_option():
    command = parse(["train", "--dataset", "a:0.7", "s3://b/c:0.3", "--workdir", "b", "debug"], COMMANDS)
    assert command.dataset == ("a:0.7", "s3://b/c:0.3")


def test_a_file_gives_train_its_options_and_others_override_it(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('dataset = "a"\ninit_from = "pop"\npreset = "debug"\nseed = 5\n[model]\nnum_layers = 3\n')
    command = parse(["train", f"--config={file}", "--workdir", "b", "--seed", "7", "--model.cell", "gru"], COMMANDS)
    assert (command.dataset, command.workdir, command.init_from) == (("a",), Path("b"), Path("pop"))
    debug = PRESETS["debug"]().train
    model = dataclasses.replace(debug.model, num_layers=3, cell="gru")
    assert command.config == dataclasses.replace(debug, seed=7, model=model)
    words = ["launch", "local", "--processes", "2", "--", "train", "--config", str(file), "--workdir", "b"]
    assert parse(words, COMMANDS).command[0] == "train"
    train = ["train", "--config", str(file)]
    assert refused(train).startswith("--workdir is missing")
    assert refused([*train, "--workdir", "b", "paper"]).startswith("unknown word 'paper'")
    assert refused([*train, "--workdir", "b", "--model.hiden-size", "3"]).startswith(
        "unknown option --model.hiden-size"
    )
    assert refused(["train", "--config"]).startswith("--config needs a value")
    file.write_text("sed = 1")
    assert refused(train) == f"{file}: unknown option sed (perhaps seed)"


def test_what_is_for_others_is_kept_for_them():
    command = parse(["prepare", "--midi", "a", "b", "--runner=FlinkRunner", "--output", "c"], COMMANDS)
    assert (command.midi, command.beam_options) == (("a", "b"), ("--runner=FlinkRunner",))
    command = parse(["launch", "local", "--processes", "3", "--", *TRAIN, "debug"], COMMANDS)
    assert (command.processes, command.command) == (3, (*TRAIN, "debug"))


def test_runs_alone_lists_them():
    for words in (["runs"], ["runs", "."], ["runs", "list", "."]):
        assert isinstance(parse(words, COMMANDS).command, RunsList)
