"""The studio without a model: all models to choose from, each loaded when it is chosen."""

import json
import os
import signal
import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from ostinato.configs.studio import StudioConfig
from ostinato.launch.cli import main
from ostinato.pretrained import models
from ostinato.studio.app import Studio
from ostinato.studio.choice import choice_application
from ostinato.studio.serve import choose_folder
from ostinato.train.checkpoint import load_params
from ostinato.train.model_folder import write_model
from tests.sample.runs import untrained
from tests.sample.tiny_models import CONFIG, MLSTM
from tests.studio.studios import ADDRESS

HOSTILE = "A <b>loud</b> one"


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Which models were loaded, and a client of the page that offers two, an LSTM and an mLSTM."""
    monkeypatch.setattr(models, "BOX", tmp_path / "box")
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "cache"))
    offered = {"box/loud": (HOSTILE, CONFIG), "cache/models/ann/soft@v1": ("", MLSTM)}
    for name, (summary, config) in offered.items():
        run = untrained(config=config)
        write_model(run, tmp_path / name, about={"name": name, "summary": summary, "licence": "MIT"})
    loaded = []

    def open_studio(model):
        loaded.append(model.name)
        run = load_params(model.folder)
        folder = choose_folder(model.folder, run, models.cache_folder())
        return Studio(run, model.name, folder, None, is_one_of_many=True)

    app = choice_application(models.list_models(), open_studio, StudioConfig(prefix="/music"))
    with TestClient(app, base_url=ADDRESS) as client:
        yield loaded, client


def test_the_list_names_all_models_and_loads_none(opened):
    loaded, client = opened
    for prefix in ("", "/music"):
        page = client.get(f"{prefix}/").text
        assert '<a href="models/loud/">loud</a>' in page
        assert '<a href="models/ann_2Fsoft_40v1/">ann/soft@v1</a>' in page
        assert "<b>" not in page
        assert client.get(f"{prefix}/static/studio.css").status_code == 200
        assert "Piano roll" in client.get(f"{prefix}/models/loud/").text
        assert client.get(f"{prefix}/models/loud/static/studio.js").status_code == 200
    assert loaded == []


def test_a_model_is_loaded_once_when_its_page_asks(opened):
    loaded, client = opened
    for _ in range(2):
        said = client.get("/music/models/ann_2Fsoft_40v1/api/model").json()
    assert loaded == ["ann/soft@v1"]
    assert (said["name"], said["is_one_of_many"]) == ("ann/soft@v1", True)


@pytest.mark.parametrize(
    "path", ["/models/quiet/", "/models/quiet/api/model", "/models/..%2Fbox/api/model", "/models/"]
)
def test_what_is_not_on_the_list_is_not_there(opened, path):
    loaded, client = opened
    assert client.get(path).status_code == 404
    assert loaded == []


def test_a_damaged_model_is_one_line(opened, tmp_path):
    _, client = opened
    (tmp_path / "box/loud/model.safetensors").write_bytes(b"x")
    answer = client.get("/models/loud/api/model")
    assert answer.status_code == 422
    assert "has the SHA-256" in answer.json()["message"]


@pytest.mark.slow
def test_pieces_of_a_model_are_kept_beside_it_in_the_cache_and_made_again(opened, tmp_path):
    _, client = opened
    client.base_url = f"{ADDRESS}/models/loud"
    answer = client.post("/api/pieces", json={"options": {"num_notes": 8, "seed": 1}}).raise_for_status()
    (piece,) = json.loads(answer.text.splitlines()[-1])["pieces"]
    (folder,) = (tmp_path / "cache/studio").glob("loud-*")
    file = folder / f"{piece['id']}.mid"
    assert json.loads(file.with_suffix(".json").read_text())["found"] == {"model": "loud"}
    assert client.get(f"/files/{piece['id']}.mid").content == file.read_bytes()
    assert main(["sample", "--again", str(file), "--output", str(tmp_path / "again"), "--no-audio"]) == 0
    assert (tmp_path / "again/piece-000.mid").read_bytes() == file.read_bytes()
    assert [path.name for path in (tmp_path / "box/loud").iterdir()] == ["model.safetensors", "config.json"]
    client.base_url = f"{ADDRESS}/models/ann_2Fsoft_40v1"
    assert client.get("/api/pieces").json() == {"pieces": []}


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"viewport": {"width": 375, "height": 720}, "color_scheme": "dark"}])
def test_a_model_is_chosen_in_a_browser_and_plays(visit, pictures, tmp_path, options):
    for seed, name in enumerate(("jigs", "reels")):
        about = {"name": name, "summary": f"All the {name} of Ann", "licence": "MIT"}
        write_model(untrained(seed=seed), tmp_path / "models/ann" / name, about=about)
    command = [sys.executable, "-m", "ostinato.launch.cli", "studio", "--port", "0", "--prefix", "/music"]
    environment = {**os.environ, "OSTINATO_CACHE": str(tmp_path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        with process.stdout as said:
            address = said.readline().split()[0]
            with visit(address, **options) as page:
                page.set_default_timeout(120_000)
                page.goto(address)
                assert not page.evaluate("document.scrollingElement.scrollWidth > document.documentElement.clientWidth")
                page.screenshot(path=pictures / f"studio-choice-{len(options)}.png", full_page=True)
                page.get_by_role("link", name="ann/jigs").click()
                page.locator("#status", has_text="Ready").wait_for()
                assert page.locator("#model").inner_text() == "with the model ann/jigs"
                page.locator("#unit").select_option("num_notes")
                page.locator("#length").fill("8")
                page.get_by_role("button", name="Generate", exact=True).click()
                page.locator("#after:not([hidden])").wait_for()
                page.screenshot(path=pictures / f"studio-of-many-{len(options)}.png")
                page.get_by_role("link", name="Other models").click()
                page.get_by_role("link", name="ann/reels").wait_for()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
