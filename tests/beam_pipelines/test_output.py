"""A job's folder after a loss of power: what has a manifest is whole, under whatever name."""

import json

from ostinato.beam_pipelines.output import LISTS, open_output
from tests.faults.power import each_image

FILES = {"tunes-train.tfrecord-00000-of-00001": "shard", "index/train.npy": "index", "statistics.json": "{}"}
MANIFEST = json.dumps({"splits": {"train": {"shards": [{"file": next(iter(FILES))}]}}})
AT_THE_END = 16


def test_a_folder_with_a_manifest_is_whole_after_any_loss_of_power_and_has_its_name_when_the_job_has_ended(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    with each_image(root, tmp_path / "images") as images, open_output(str(root / "tunes")) as place:
        shard, *described = FILES
        for name in (shard, *LISTS):
            (root / "tunes.partial" / name).write_text(FILES.get(name, "list"))
        with place.completed() as folder:
            (folder / "index").mkdir()
            for name in described:
                (folder / name).write_text(FILES[name])
            (folder / "manifest.json").write_text(MANIFEST)
        place.publish()
    whole = {**FILES, **dict.fromkeys(LISTS, "list"), "manifest.json": MANIFEST}
    for number, image in enumerate(images):
        for folder in (image / "tunes", image / "tunes.partial"):
            if (folder / "manifest.json").exists():
                found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
                assert {name: found[name].read_text() for name in whole} == whole
        if number >= len(images) - AT_THE_END:
            assert (image / "tunes/manifest.json").exists()
            assert not (image / "tunes/work").exists()
