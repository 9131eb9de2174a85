"""Folders from a stranger: whatever a document in one says, it is read, or refused in one line that names the file."""

import contextlib
import dataclasses
import io
import json
import math
import os
import pickle
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import jax
import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.beam_pipelines import summary
from ostinato.beam_pipelines.base import open_base
from ostinato.beam_pipelines.progress import Progress, read_status
from ostinato.beam_pipelines.report import _left_out
from ostinato.configs.errors import UserError
from ostinato.configs.run_file import read_run_file
from ostinato.configs.schema import SampleConfig
from ostinato.data import tfrecord
from ostinato.data.manifest import read_manifest
from ostinato.data.ngram_files import open_counts
from ostinato.data.records import Dataset
from ostinato.evaluation.held_out import one_of_each_group
from ostinato.evaluation.memorization.index import CopyIndex, open_index
from ostinato.evaluation.paper_table import paper_table
from ostinato.evaluation.report import piece_names
from ostinato.listen.analysis.answer_files import read_answer_files
from ostinato.listen.analysis.results_file import read_listening
from ostinato.listen.design.study import Study
from ostinato.model.judge import init_judge
from ostinato.music import midi
from ostinato.pretrained.card import _understood, read_report
from ostinato.pretrained.facts import read_facts
from ostinato.pretrained.models import BOX
from ostinato.sample.export.exchange import read_parameters
from ostinato.sample.output.provenance import config_of, describe_edited, origin_text, read_origin, read_recipe
from ostinato.sample.output.write import _earlier_files
from ostinato.studio.pieces import Pieces
from ostinato.train.checkpoint import load_params
from ostinato.train.fingerprint import json_sha256
from ostinato.train.folders import read_config
from ostinato.train.judge.file import read_judge, write_judge
from ostinato.train.judge.training import JUDGE, TrainedJudge
from ostinato.train.lock import holder, is_locked, run_lock
from ostinato.train.model_folder import read_model
from ostinato.train.run_metadata import config_from_json
from ostinato.train.runs import show, summarise_run, training_seconds
from ostinato.train.trackers import trackers_of
from tests.midi_files import tune
from tests.pretrained.test_card import _report
from tests.test_compatibility import EXPECTED, FIXTURES

GOOD: dict[Path, bytes] = {}
"""Each file as it was."""
OPENED: list[str] = []
"""Paths that Python opened since it was cleared; an audit hook stays as long as the process."""
_DEEP = "as deep as said"


def _note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str):
        OPENED.append(arguments[0])


sys.addaudithook(_note_opened)


class Reader(NamedTuple):
    """A file of a folder, and those who read it."""

    file: str
    read: Callable[[Path], object]
    """Takes the folder of all folders."""
    kind: str = "json"
    """json; lines (of JSON); seal (JSON with its own digest); midi and safetensors (JSON in such a file)."""


def _dataset(root: Path) -> None:
    dataset = Dataset.open(root / "dataset-score")
    for split in dataset.splits:
        source = dataset.source(split)
        if len(source):
            dataset.codec.decode(source[0].steps)
    _tables(root)


def _tables(root: Path) -> None:
    """What `inspect` and the page of a dataset show, but for the drawings, which take time."""
    folder = root / "dataset-score"
    found = summary.summarise(folder, read_manifest(folder))
    summary.split_table(found), summary.counts_line(found), summary.note_table(found)
    if found.splits:
        summary.style_table(found), summary.music_table(found), summary.program_table(found)
    for key in summary.COUNTED:
        summary.count_table(found, key)
    list(_left_out(found, "rejected_by_reason", "rejects.jsonl", "reason", ("path", "stage", "detail")))


def _run(root: Path) -> None:
    state = show(root / "run-score")
    config_from_json(state["config"], where="run-score/checkpoints/6")


def _metrics(root: Path) -> None:
    summarise_run(root / "run-score")
    paper_table(root / "run-score")


def _export(root: Path) -> None:
    read_parameters(root / "export/parameters.safetensors")


def _pieces(root: Path) -> None:
    dataset = Dataset.open(root / "dataset-score")
    piece_names(dataset, {"x"})
    one_of_each_group(dataset, ["x"])


def _study(root: Path) -> None:
    study = Study.open(root / "study")
    assert [len(study.tasks_of(number)) for number in range(3)]


def _card(root: Path) -> None:
    config = json.loads((BOX / "chorales/config.json").read_text())
    report = read_report(root / "report.json")
    _understood(config, report)


def _answers(root: Path) -> None:
    _, problems = read_answer_files(Study.open(root / "study"), [root / "answers.json"])
    if problems:
        raise UserError(*problems)


READERS = (
    Reader("dataset-score/manifest.json", _dataset),
    Reader("dataset-score/statistics.json", _tables),
    Reader("dataset-score/rejects.jsonl", _tables, "lines"),
    Reader("dataset-score/pieces.jsonl", _pieces, "lines"),
    Reader("new.partial/work/progress/job.json", lambda root: read_status(str(root / "new"))),
    Reader("dataset-notes/manifest.json", lambda root: Dataset.open(root / "dataset-notes").source("train")[0]),
    Reader("run-score/checkpoints/6/run/metadata", _run, "seal"),
    Reader("run-score/checkpoints/6/metrics/metrics", _run),
    Reader("run-score/metrics.jsonl", _metrics, "lines"),
    Reader("run-score/events.jsonl", lambda root: training_seconds(root / "run-score"), "lines"),
    Reader("run-score/trackers.json", lambda root: trackers_of(root / "run-score")),
    Reader("run-score/run.lock", lambda root: holder(root / "run-score")),
    Reader("model/config.json", lambda root: (read_config(root / "model"), read_model(root / "model"))),
    Reader("export/parameters.safetensors", _export, "safetensors"),
    Reader("judge.safetensors", lambda root: read_judge(root / "judge.safetensors"), "safetensors"),
    Reader("piece.json", lambda root: config_of(read_recipe(root / "piece.json"))),
    Reader("other.mid", lambda root: config_of(read_recipe(root / "other.mid")), "midi"),
    Reader("edited.mid", lambda root: read_origin(root / "edited.mid"), "midi"),
    Reader("samples/pieces.json", lambda root: _earlier_files(root / "samples")),
    Reader("report.json", _card),
    Reader("results.json", lambda root: read_listening(root)),
    Reader("study/study.json", _study),
    Reader("study/conditions.json", _study),
    Reader("answers.json", _answers),
    Reader("ngrams/ngrams.json", lambda root: open_counts(root / "ngrams", "f")),
    Reader("base/scan/job.json", lambda root: open_base(str(root / "base"), "0.1.0", [])),
    Reader("copies/index.json", lambda root: open_index(root / "copies", "f")),
    Reader("studio/20261201-101500-0123abcd.studio.json", lambda root: Pieces(root / "studio").newest()),
)  # fmt: skip


LINKED = (
    "model/config.json",
    "export/parameters.safetensors",
    "judge.safetensors",
    "piece.json",
    "other.mid",
    "run-score/checkpoints/6/run/metadata",
)
"""Files that users name one by one, the cache of a Hub links to, or Orbax reads."""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder with one of everything, and beside it, in outside/, what nobody may read."""
    root = tmp_path_factory.mktemp("strangers") / "root"
    for archive in FIXTURES.glob("*.zip"):
        shutil.unpack_archive(archive, root / archive.stem)
    (root.parent / "outside").mkdir()
    (root.parent / "outside/secret").write_text('{"secret": 1}')
    for folder in (root, *root.glob("*/"), root / "study/audio"):
        (folder / "link").symlink_to(root.parent / "outside/secret")
    (root / "new.partial/work/progress").mkdir(parents=True)
    progress = dataclasses.asdict(Progress(total=9, left_s=2.5, reading=["a.tar"], inputs=4))
    (root / "new.partial/work/progress/job.json").write_text(json.dumps(progress))
    (root / "run-score/trackers.json").write_text('{"mlflow": "0123"}')
    (root / "run-score/run.lock").write_text('{"pid": 1, "host": "here"}')
    shutil.copytree(BOX / "drums", root / "model")
    options = dataclasses.asdict(SampleConfig())
    origin = {
        "generator": "ostinato", "version": "0.1.0", "params_sha256": "0" * 64, "step": 6, "seed": options.pop("seed"),
        "piece": 0, "options": options, "inputs": {"primer": {"name": "a.mid", "sha256": "1" * 64}},
    }  # fmt: skip
    (root / "piece.json").write_text(json.dumps({**origin, "found": {"workdir": "run"}, "midi_sha256": ""}))
    (root / "other.mid").write_bytes(midi.write(tune(0), text=origin_text(origin)))
    (root / "edited.mid").write_bytes(midi.write(tune(0), text=origin_text(describe_edited("Take 1", "0" * 64))))
    write_judge(TrainedJudge(init_judge(JUDGE, jax.random.key(0)), 16, 0), root / "judge.safetensors")
    (root / "samples").mkdir()
    (root / "samples/pieces.json").write_text(json.dumps({"pieces": [{"file": "a.mid"}]}))
    params_sha256 = json.loads((BOX / "chorales/config.json").read_text())["params_sha256"]
    (root / "report.json").write_text(json.dumps(_report(params_sha256)))
    (root / "results.json").write_text(json.dumps({"rule": "", **EXPECTED["results"]}))
    study = Study.open(root / "study")
    answers = [
        {"task": task.id, "kind": "compare", "choice": "a", "comment": "", "played_ms": [1, 1]}
        for task in study.tasks_of(0)
        if task.kind == "compare"
    ]
    (root / "answers.json").write_text(
        json.dumps({
            "format": "ostinato-listen-1", "study": study.id, "session": "0" * 32, "number": 0, "training": None,
            "begun": "2026-11-23T10:00:00Z", "finished": None, "answers": answers,
        })
    )  # fmt: skip
    dataset = Dataset.open(root / "dataset-score")
    _write_ngrams(root / "ngrams", dataset)
    pieces = [("a", tune(0)), ("b", tune(1))]
    CopyIndex.build(pieces, fingerprint="f").save(root / "copies")
    shutil.copytree(root / "dataset-score", root / "base", symlinks=True)
    (root / "base/scan/units").mkdir(parents=True)
    (root / "base/scan/units/00000000.json").write_text("[]")
    kept = {"format": 2, "ostinato": "0.1.0", "settings": "", "removed": [["a/*", 0]], "settings_by_unit": {"0": ""}}
    (root / "base/scan/job.json").write_text(json.dumps(kept))
    (root / "studio").mkdir()
    note = {"id": "20261201-101500-0123abcd", "sha256": "0" * 64, "made": "", "options": {}}
    (root / "studio/20261201-101500-0123abcd.studio.json").write_text(json.dumps(note))
    return root


def _write_ngrams(folder: Path, dataset: Dataset) -> None:
    from ostinato.data import ngram_files, ngrams

    pairs = ngrams.count_pairs([dataset.source("train")[0].steps])
    folder.mkdir()
    ngram_files.write_part(folder, 0, *ngrams.tabulate(pairs))
    ngram_files.finish(folder, 1, fingerprint="f", num_fields=len(dataset.codec.fields))


def _document(path: Path, kind: str) -> Any:
    if kind == "lines":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if kind == "midi":
        return read_origin(path)
    if kind == "safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return json.loads(file.metadata()["ostinato"])
    return json.loads(path.read_bytes())


def _bytes(path: Path, kind: str, document: Any, depth: int) -> bytes:
    """Returns the file with another document in it."""

    def text(values: Any) -> str:
        return json.dumps(values).replace(f'"{_DEEP}"', "[" * depth + "]" * depth)

    if kind == "lines":
        return "".join(f"{text(line)}\n" for line in (document if isinstance(document, list) else [document])).encode()
    if kind == "seal" and isinstance(document, dict):
        document = {name: value for name, value in document.items() if name != "sha256"}
        return text({**document, "sha256": json_sha256(document)}).encode()
    if kind == "midi":
        return midi.write(tune(0), text=text(document))
    if kind == "safetensors":
        from safetensors.numpy import load_file, save

        return save(load_file(path), {"ostinato": text(document)})
    return text(document).encode()


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, part in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from _places(part, (*path, key))


def _replaced(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = _replaced(copy[path[0]], path[1:], value)
    return copy


def _without(node: Any, path: tuple[Any, ...]) -> Any:
    copy = dict(node) if isinstance(node, dict) else list(node)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _without(copy[path[0]], path[1:])
    return copy


NOTHING = object()
VALUES = st.one_of(
    st.sampled_from([
        None, True, False, 0, 1, -1, 2**31, 2**53, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e300, math.nan, math.inf, "",
        "x", "\0", "a\0b", "\ud800", "\x1b[2J\u202e", "..", ".", "link", "../link", "../outside/secret", "link/x",
        "x" * 5000, [], {}, [1], [[]], {"": 0}, {"..": {}}, _DEEP,
    ]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
        max_leaves=6,
    ),
    st.just(NOTHING),
)  # fmt: skip


def _try(reader: Reader, root: Path, content: bytes) -> str | None:
    """Reads a folder with another file; returns what it is refused with."""
    path = root / reader.file
    good = GOOD.setdefault(path, path.read_bytes() if path.exists() else b"")
    path.write_bytes(content)
    OPENED.clear()
    try:
        reader.read(root)
    except UserError as error:
        return str(error)
    finally:
        path.write_bytes(good)
        outside = str(root.parent / "outside")
        assert not [name for name in OPENED if os.path.realpath(name).startswith(outside)]
    return None


def _is_named(reader: Reader, said: str) -> bool:
    """Tells whether a message names the file, another of the folder that does not fit it, or its option."""
    folder = Path(reader.file).parts[0]
    return folder in said or "--report" in said


def _mutated(reader: Reader, root: Path, data: st.DataObject) -> None:
    path = root / reader.file
    document = _document(path, reader.kind)
    place = data.draw(st.sampled_from(list(_places(document))), label="place")
    value = data.draw(VALUES, label="value")
    if value == "../outside/secret" and data.draw(st.booleans()):
        value = str(root.parent / "outside/secret")
    changed = _replaced(document, place, value) if value is not NOTHING else _without(document, place) if place else []
    depth = data.draw(st.sampled_from([40, 500, 100_000])) if value == _DEEP else 0
    said = _try(reader, root, _bytes(path, reader.kind, changed, depth))
    if said is not None:
        assert _is_named(reader, said), said
        assert all(line.startswith("  ") for line in said.split("\n")[1:]), said


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.file)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_document_with_any_value_at_any_place_is_read_or_refused_by_name(root, reader, data):
    _mutated(reader, root, data)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.file)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_document_with_any_value_at_any_place_is_read_or_refused_by_name_often(root, reader, data):
    _mutated(reader, root, data)


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self._path, "w")


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.file)
def test_nothing_is_executed_and_what_is_no_document_is_refused(root, tmp_path, reader):
    objects = io.BytesIO()
    np.save(objects, np.array([Touch(str(tmp_path / "ran"))]), allow_pickle=True)
    assert _try(reader, root, GOOD.get(root / reader.file) or (root / reader.file).read_bytes()) is None
    for content in (
        pickle.dumps(Touch(str(tmp_path / "ran"))),
        objects.getvalue(),
        b"",
        b"\xff" * 100,
        b"[1]\n",
        b"7\n",
    ):
        said = _try(reader, root, content)
        assert said is None or _is_named(reader, said), said
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader.file not in LINKED], ids=lambda r: r.file)
def test_a_file_that_leads_out_of_its_folder_or_is_no_file_is_not_read(root, reader):
    path = root / reader.file
    good = GOOD.setdefault(path, path.read_bytes() if path.exists() else b"")
    for make in (lambda: path.symlink_to(root.parent / "outside/secret"), lambda: os.mkfifo(path), path.mkdir):
        path.unlink(missing_ok=True)
        make()
        OPENED.clear()
        with contextlib.suppress(UserError):
            reader.read(root)
        path.rmdir() if path.is_dir() else path.unlink()
        assert not [name for name in OPENED if Path(name).name == "secret"]
    path.write_bytes(good)


def test_the_list_of_an_earlier_call_removes_nothing_in_another_folder(root):
    victim = root.parent / "outside/victim.mid"
    for name in ("../../outside/victim", str(victim.with_suffix(""))):
        victim.write_bytes(b"")
        (root / "samples/pieces.json").write_text(json.dumps({"pieces": [{"file": name}]}))
        with pytest.raises(UserError, match=r"pieces\.json: damaged \(pieces\[0\]\.file: expected a name"):
            _earlier_files(root / "samples")
        assert victim.exists()


def test_the_lock_of_a_folder_that_is_a_link_empties_no_other_file(root, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.lock").symlink_to(victim)
    with pytest.raises(UserError, match=r"run\.lock"), run_lock(tmp_path / "run"):
        pass
    assert victim.read_text() == "mine"
    (tmp_path / "run/run.lock").unlink()
    os.mkfifo(tmp_path / "run/run.lock")
    assert holder(tmp_path / "run") is None
    assert not is_locked(tmp_path / "run")


def test_a_checkpoint_of_another_step_than_its_folder_says_is_refused(root, tmp_path):
    shutil.copytree(root / "run-score", tmp_path / "run")
    (tmp_path / "run/checkpoints/6").rename(tmp_path / "run/checkpoints/9999")
    for read in (show, load_params):
        with pytest.raises(UserError, match=r"checkpoints/9999.* of step 6"):
            read(tmp_path / "run")


def _unpacked(data: bytes) -> tuple[bytes, bytes]:
    """Returns head (magic, version and kind of compression) and content of a file of OCDBT."""
    content = data[14:-4]
    return data[:4] + data[12:14], zstandard.ZstdDecompressor().decompressobj().decompress(content)


def _packed(head: bytes, content: bytes) -> bytes:
    content = zstandard.compress(content)
    data = head[:4] + struct.pack("<Q", 18 + len(content)) + head[4:] + content
    return data + struct.pack("<I", google_crc32c.value(data))


def _varint(number: int) -> bytes:
    return bytes([number & 127 | 128, number >> 7])


@pytest.mark.parametrize("where", ["ocdbt.process_X/", "../../../../out/"])
def test_a_checkpoint_reads_no_file_outside_of_its_folder(root, tmp_path, where):
    shutil.copytree(root / "run-score", tmp_path / "run")
    params = tmp_path / "run/checkpoints/6/params"
    target = params / where
    target.mkdir(parents=True)
    (params / "ocdbt.process_0/d").rename(target / "d")
    (node,) = (params / "d").iterdir()  # it names the files of the arrays
    head, content = _unpacked(node.read_bytes())
    earlier, changed = len(node.read_bytes()), _packed(head, content.replace(b"ocdbt.process_0/", where.encode()))
    node.write_bytes(changed)
    head, content = _unpacked((params / "manifest.ocdbt").read_bytes())
    assert content.count(_varint(earlier)) == 2
    manifest = _packed(head, content.replace(_varint(earlier), _varint(len(changed))))
    (params / "manifest.ocdbt").write_bytes(manifest)
    if where.startswith(".."):
        with pytest.raises(UserError, match="checkpoints/6"):
            load_params(tmp_path / "run", 6)
    else:  # the same change within the folder is read: it is the place that is refused
        assert load_params(tmp_path / "run", 6).params_sha256 == EXPECTED["params_sha256"]["score"]["6"]


def test_the_tables_of_a_dataset_that_its_numbers_do_not_fit_are_refused(root, tmp_path):
    shutil.copytree(root / "dataset-score", tmp_path / "dataset", symlinks=True)
    index = tmp_path / "dataset/index/train.npy"
    good = np.load(index)
    for column, value in ((0, -1), (0, 1), (0, 2**62), (1, -8), (1, 2**62), (1, -(2**63)), (2, -1), (2, 2**40)):
        rows = good.copy()
        rows[3, column] = value
        np.save(index, rows)
        with pytest.raises(UserError, match=r"train\.npy: record 3 is said to lie"):
            Dataset.open(tmp_path / "dataset").source("train")
    np.save(index, good)
    assert len(Dataset.open(tmp_path / "dataset").source("train")) == 16


@pytest.mark.parametrize("data", [
    {}, {"x": b""}, {"id": b"\xff", "style": b"", "steps": b""}, {"id": b"", "style": b"", "steps": b"abc"},
    {"id": b"", "style": b"", "steps": b"\xff" * 10},
])  # fmt: skip
def test_a_record_of_other_fields_or_values_is_refused_though_its_checksums_are_right(root, tmp_path, data):
    shutil.copytree(root / "dataset-score", tmp_path / "dataset", symlinks=True)
    shard = tmp_path / "dataset/dataset_score-train.tfrecord-00000-of-00001"
    size = shard.stat().st_size
    shard.write_bytes(tfrecord.frame(tfrecord.encode_example(data)).ljust(size, b"\0"))
    with pytest.raises(UserError, match=r"tfrecord-00000"):
        Dataset.open(tmp_path / "dataset").source("train")[0]


def test_toml_as_deep_as_the_stack_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text("a = " + "[" * 5000 + "]" * 5000)
    for read in (read_run_file, read_facts):
        with pytest.raises(UserError, match=r"a\.toml: cannot be read as TOML \(too deep\)"):
            read(tmp_path / "a.toml")
