"""Prepare on a Flink cluster on this machine; see `flink`."""

import pytest

from tests.cluster.conftest import BEGINS, assert_gave_up, num_read_before, prepare, start_prepare, wait_for_stage
from tests.cluster.flink import num_task_managers, start_flink
from tests.cluster.servers import get_json, servers_in, wait_for_worker_pools
from tests.prepare_process import content


@pytest.fixture(scope="module")
def flink(tmp_path_factory):
    with servers_in(tmp_path_factory.mktemp("flink")) as servers:
        yield start_flink(servers)


def jobs(flink):
    return get_json(f"{flink.rest}/jobs/overview")["jobs"]


@pytest.mark.cluster
@pytest.mark.timeout(600)  # the first run downloads
def test_flink_prepares_the_same_bytes_on_two_task_managers(flink, collection, tmp_path):
    prepare(flink.servers, collection.midi, tmp_path / "dataset", *flink.options)
    assert content(tmp_path / "dataset") == content(collection.dataset)

    (job,) = jobs(flink)
    assert job["state"] == "FINISHED"
    for vertex in get_json(f"{flink.rest}/jobs/{job['jid']}")["vertices"]:
        ran = get_json(f"{flink.rest}/jobs/{job['jid']}/vertices/{vertex['id']}/taskmanagers")["taskmanagers"]
        assert {one["taskmanager-id"] for one in ran} == set(flink.task_managers), vertex["name"]
    for number in (1, 2):
        assert "Starting worker" in flink.servers.log(f"pool-{number}").read_text()


@pytest.mark.cluster
@pytest.mark.timeout(600)  # the first run downloads
def test_the_next_command_goes_on_when_a_task_manager_and_its_pool_die_in_each_stage(flink, collection, tmp_path):
    servers, dataset = flink.servers, tmp_path / "dataset"
    read = []
    for stage in BEGINS:
        start_prepare(servers, collection.midi, dataset, *flink.options)
        number = wait_for_stage(servers, dataset, stage)
        for name in (f"task-manager-{number}", f"pool-{number}"):
            servers.kill(name)
        code, said = servers.finish("prepare", timeout_s=100)
        assert_gave_up(code, said, dataset)
        if stage != "scan":
            read.append(num_read_before(said))
        for name in (f"pool-{number}", f"task-manager-{number}"):
            servers.restart(name)
        wait_for_worker_pools(servers, 2)
        servers.wait_until(lambda: num_task_managers(flink) == 2)
    prepare(servers, collection.midi, dataset, *flink.options)
    read.append(num_read_before(servers.log("prepare").read_text()))
    (some, total), *others = read
    assert 1 <= some < total
    assert others == [(total, total)] * 2
    assert content(dataset) == content(collection.dataset)
