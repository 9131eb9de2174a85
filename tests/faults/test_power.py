"""The power goes: what says that it is whole is whole, and the same command ends with the same bits.

Each job runs once on a disk of its own, of which twenty images are taken while it runs and after it has ended: a real
ext4, where this machine can mount one, and a simulated disk that loses and tears all that was not synced.
"""

import contextlib
import hashlib
import random
import shutil
import time

import pytest

from ostinato.data.records import Dataset
from ostinato.train.metrics import FILE, read_lines
from ostinato.train.recovery import check_checkpoint, list_steps, read_description
from tests.faults.conftest import outcome, train
from tests.faults.power import RealDisk, copy_tree, memory
from tests.midi_files import write_tunes
from tests.prepare_process import content

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

IMAGES = 20
AFTER = 4
"""Of these are taken after the job has ended: at once, and within a second."""
RESUMED = 5


@pytest.fixture(params=["simulated", "real"])
def lose_power(request, forker, tmp_path):
    """Returns the function that runs a command on a disk, and yields its root as found after each loss of power."""
    seed = random.randrange(2**32)
    print(f"{seed=}")

    def simulated(command, *, every, expected_s):
        del expected_s
        root = tmp_path / "root"
        root.mkdir()
        ended = forker.run(*command(root), images=(str(root), str(tmp_path / "images"), every, seed))
        assert ended.code() == 0, ended.said
        *during, last = sorted((tmp_path / "images").iterdir())
        chosen = random.Random(seed).sample(during, min(IMAGES - 1, len(during)))
        yield from ((path, False) for path in sorted(chosen))
        yield last, True

    def real(command, *, every, expected_s):
        del every
        with contextlib.ExitStack() as stack:
            try:
                disk = RealDisk(stack.enter_context(memory(tmp_path / "memory")))
                root = stack.enter_context(disk.mounted())
            except OSError as error:
                pytest.skip(f"cannot mount an ext4 here ({error})")
            chance, copies = random.Random(seed), []
            running = forker.start(*command(root))
            while running.code() is None:
                time.sleep(chance.uniform(0, 2 * expected_s / (IMAGES - AFTER)))
                copies.append((disk.copy(), False))
            assert running.wait() == 0, running.said
            copies = chance.sample([one for one in copies if not one[1]], min(IMAGES - AFTER, len(copies)))
            for _ in range(AFTER):
                copies.append((disk.copy(), True))
                time.sleep(chance.uniform(0, 0.3))
            for number, (copy, has_ended) in enumerate(copies):
                with disk.restored(copy) as found:
                    yield copy_tree(found, tmp_path / f"copy-{number}"), has_ended

    return {"simulated": simulated, "real": real}[request.param]


@pytest.fixture(scope="module")
def undisturbed(forker, data, tmp_path_factory):
    """The folder of a run that has kept all its checkpoints."""
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    ended = forker.run(*train(data, workdir, "--keep-checkpoints", 99))
    assert ended.code() == 0, ended.said
    return workdir


def state_of(workdir, step):
    """Returns what a run that is resumed begins with: the digests of its checkpoint, and the log up to it."""
    said = read_description(workdir / "checkpoints" / str(step))
    records = [record for record in read_lines(workdir / FILE) if record["step"] <= step]
    log = [{name: value for name, value in record.items() if not name.endswith("_s")} for record in records]
    return {name: value for name, value in said.items() if name.endswith("_sha256")}, said["progress"], log


def test_a_run_that_lost_power_resumes_from_a_whole_checkpoint_to_the_same_bits(
    lose_power, forker, data, straight, undisturbed
):
    """All that has the name of a checkpoint is whole, and holds the state of a run that was never disturbed.

    So each image would resume alike; some, each with another newest step, do.
    """
    resumed = set()
    for root, has_ended in lose_power(lambda root: train(data, root / "run"), every=18, expected_s=4):
        workdir = root / "run"
        steps = list_steps(workdir)
        for step in steps:
            check_checkpoint(workdir / "checkpoints" / str(step))
            assert state_of(workdir, step) == state_of(undisturbed, step)
        if has_ended:
            assert outcome(workdir) == outcome(straight)
        newest = max(steps, default=0)
        if newest not in resumed and len(resumed) < RESUMED:
            resumed.add(newest)
            again = forker.run(*train(data, workdir))
            assert again.code() == 0, again.said
            assert "set-aside" not in again.said
            assert outcome(workdir) == outcome(straight), newest
        shutil.rmtree(root)
    assert len(resumed) >= 3, resumed


def test_a_dataset_that_has_its_name_after_a_loss_of_power_is_whole_and_prepared_again_it_has_the_same_bytes(
    lose_power, forker, tmp_path
):
    write_tunes(tmp_path / "midi", 24)

    def command(root):
        return ["prepare", "--midi", tmp_path / "midi", "--output", root / "tunes", "--num-shards", 3, "--parsers", 1]

    unfinished, finished = [], []
    for root, has_ended in lose_power(command, every=2, expected_s=1):
        if (root / "tunes").exists():
            assert_whole(root / "tunes")
            found = content(root / "tunes")
            left = {name for name in found if name.startswith("work/")}
            assert not (left and has_ended)
            finished.append({name: data for name, data in found.items() if name not in left})
        else:
            assert not has_ended
            unfinished.append(root)
    assert all(found == finished[0] for found in finished)
    assert len(unfinished) > 3
    for root in {unfinished[0], unfinished[-1]}:
        again = forker.run(*command(root))
        assert again.code() == 0, again.said
        assert content(root / "tunes") == finished[0]


def assert_whole(folder):
    """Reads all of a dataset."""
    dataset = Dataset.open(folder)
    for split, about in dataset.manifest["splits"].items():
        for shard in about["shards"]:
            assert hashlib.sha256((folder / shard["file"]).read_bytes()).hexdigest() == shard["sha256"]
        source = dataset.source(split)
        assert len([source[i] for i in range(len(source))]) == about["pieces"]
