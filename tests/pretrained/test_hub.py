"""Models go to a Hub and come back, over HTTP."""

import json

import huggingface_hub.constants
import pytest

from ostinato.launch.cli import main
from ostinato.pretrained.find import find_source
from ostinato.pretrained.hub import HubError, fetch, upload
from ostinato.pretrained.models import list_models
from ostinato.train.folders import CONFIG, FILES, PARAMETERS, ModelFolderError
from ostinato.train.model_folder import read_model, write_model
from tests.pretrained.hub_server import TOKEN, running_hub
from tests.sample.runs import untrained, write_run

# huggingface_hub 2.4.0 gives httpx2 the bytes of an upload in a way that is going out of use.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

ABOUT = {"name": "jigs", "summary": "Jigs", "licence": "CC0-1.0"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub on this machine to which a person may write, and a cache folder of their own."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)  # its own storage, not HTTP
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def folder(tmp_path):
    write_model(untrained(), tmp_path / "jigs", about=ABOUT)
    (tmp_path / "jigs/README.md").write_text("---\nlibrary_name: ostinato\n---\n# jigs\n")
    (tmp_path / "jigs/secret.txt").write_text("not for others")
    return tmp_path / "jigs"


def test_a_model_comes_back_from_the_hub(hub, folder, tmp_path):
    assert upload(folder, "hub:ann/jigs") == f"{hub.address}/ann/jigs"
    (_, files) = hub.find("ann/jigs", "main")
    assert set(files) == {*FILES, ".gitattributes"}
    assert "library_name: ostinato" in hub.checked[0]
    there = find_source("hub:ann/jigs")
    assert there == tmp_path / "cache/models/ann/jigs"
    assert sorted(path.name for path in there.iterdir()) == sorted(FILES)
    assert read_model(there).params_sha256 == read_model(folder).params_sha256
    assert [model.name for model in list_models() if not model.is_in_box] == ["ann/jigs"]


def test_what_was_fetched_is_used_until_it_is_fetched_again(hub, folder):
    upload(folder, "hub:ann/jigs")
    first = read_model(find_source("hub:ann/jigs")).params_sha256
    write_model(untrained(seed=2), folder, about=ABOUT)
    upload(folder, "hub:ann/jigs")
    assert read_model(find_source("hub:ann/jigs")).params_sha256 == first
    assert read_model(fetch("hub:ann/jigs")).params_sha256 == read_model(folder).params_sha256 != first


def test_a_revision_stays_what_it_was(hub, folder, tmp_path):
    upload(folder, "hub:ann/jigs")
    old, _ = hub.find("ann/jigs", "main")
    hub.revisions["ann/jigs"]["v1"] = old
    first = read_model(folder).params_sha256
    write_model(untrained(seed=2), folder, about=ABOUT)
    upload(folder, "hub:ann/jigs")
    for revision in ("v1", old):
        assert find_source(f"hub:ann/jigs@{revision}") == tmp_path / f"cache/models/ann/jigs@{revision}"
        assert read_model(find_source(f"hub:ann/jigs@{revision}")).params_sha256 == first
    assert read_model(find_source("hub:ann/jigs")).params_sha256 != first
    with pytest.raises(HubError, match=r"hub:ann/jigs@v9: 404.*Revision Not Found"):
        fetch("hub:ann/jigs@v9")


def test_what_the_hub_has_not_got_is_said_in_one_line(hub, folder, monkeypatch):
    with pytest.raises(HubError, match=r"hub:ann/reels: .*Repository Not Found"):
        find_source("hub:ann/reels")
    upload(folder, "hub:ann/jigs")
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(HubError, match=r"hub:ann/polkas: .*401"):
        upload(folder, "hub:ann/polkas")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(HubError, match="hub:ann/jigs: the Hub cannot be asked") as caught:
        fetch("hub:ann/jigs")
    assert "\n" not in str(caught.value)


def test_a_damaged_model_does_not_take_the_place_of_a_good_one(hub, folder):
    upload(folder, "hub:ann/jigs")
    there = find_source("hub:ann/jigs")
    good = (there / PARAMETERS).read_bytes()
    hub.commit("ann/jigs", {PARAMETERS: good[:-1] + b"x"})
    with pytest.raises(ModelFolderError, match="has the SHA-256"):
        fetch("hub:ann/jigs")
    assert (there / PARAMETERS).read_bytes() == good
    hub.commits["ann/jigs"][hub.revisions["ann/jigs"]["main"]].pop(CONFIG)
    with pytest.raises(HubError, match="Entry Not Found"):
        fetch("hub:ann/jigs")


@pytest.mark.slow
def test_the_commands_speak_with_the_hub(hub, tmp_path, capsys):
    write_run(tmp_path / "run", untrained())
    assert main(["export", str(tmp_path / "run"), "hub:ann/reels", "--stored", "float16"]) == 0
    assert f"{hub.address}/ann/reels: ostinato sample --model hub:ann/reels" in capsys.readouterr().out
    assert json.loads(hub.find("ann/reels", "main")[1][CONFIG])["name"] == "reels"
    music = ["--output", str(tmp_path / "music"), "--num-pieces", "1", "--num-notes", "8", "--no-audio"]
    assert main(["sample", "--model", "hub:ann/reels", *music]) == 0
    assert json.loads((tmp_path / "music/piece-000.json").read_text())["found"] == {"model": "hub:ann/reels"}
    assert main(["models"]) == 0
    assert "ann/reels" in capsys.readouterr().out
    assert main(["models", "remove", "ann/reels"]) == 0
    assert main(["sample", "--again", str(tmp_path / "music/piece-000.mid"), "--no-audio"]) == 0  # fetched again
    assert main(["models", "fetch", "hub:ann/reels"]) == 0
