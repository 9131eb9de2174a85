"""Models are found by name, by folder and by fingerprint; what is in the box stays there."""

import pytest

from ostinato.pretrained import models
from ostinato.pretrained.find import find_source
from ostinato.pretrained.models import ModelNameError, find_by_parameters, find_model, parse_hub
from ostinato.train.folders import CONFIG
from ostinato.train.model_folder import write_model
from tests.sample.runs import untrained

MAX_BOX_BYTES = 25_000_000


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A box with two models and a cache with a fetched one; all with other parameters."""
    monkeypatch.setattr(models, "BOX", tmp_path / "box")
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("box/loud", "box/soft", "cache/models/ann/jigs@v1")):
        about = {"name": name, "summary": "", "licence": ""}
        write_model(untrained(seed=seed), tmp_path / name, about=about)
    return tmp_path


def test_the_box_is_small_enough_for_the_wheel():
    assert sum(file.stat().st_size for file in models.BOX.rglob("*") if file.is_file()) <= MAX_BOX_BYTES
    assert all(model.num_bytes > 0 for model in models.list_models() if model.is_in_box)


def test_models_are_listed_with_those_in_the_box_first(box):
    found = [(model.name, model.is_in_box) for model in models.list_models()]
    assert found == [("loud", True), ("soft", True), ("ann/jigs@v1", False)]


def test_a_damaged_model_hides_no_other(box, caplog):
    (box / "box/loud" / CONFIG).write_text("{")
    assert [model.name for model in models.list_models()] == ["soft", "ann/jigs@v1"]
    assert "damaged" in caplog.text


def test_names_paths_and_the_hub_lead_to_folders(box):
    fetched = box / "cache/models/ann/jigs@v1"
    assert find_source("loud") == box / "box/loud"
    assert find_source("ann/jigs@v1") == find_source("hub:ann/jigs@v1") == fetched
    assert find_source(fetched) == fetched
    assert find_model("hub:ann/jigs@v1").folder == fetched
    with pytest.raises(ModelNameError, match="no model of this name, only loud, soft, ann/jigs@v1"):
        find_source("lout")
    with pytest.raises(ModelNameError, match="no model of this name is here"):
        find_model("lout")


def test_a_run_or_model_in_this_folder_comes_before_a_name(box):
    (box / "loud/checkpoints").mkdir(parents=True)
    assert str(find_source("loud")) == "loud"
    assert models.where_found("loud", {})["workdir"] == str(box / "loud")
    assert models.where_found("soft", {"primer": "a.mid"}) == {"model": "soft", "primer": str(box / "a.mid")}


def test_a_model_is_found_by_its_parameters(box):
    wanted = find_model("soft").config["params_sha256"]
    assert find_by_parameters(wanted).name == "soft"
    assert find_by_parameters("0" * 64) is None


def test_only_what_was_fetched_is_removed(box):
    with pytest.raises(ModelNameError, match="is in the box"):
        models.remove_model("soft")
    assert models.remove_model("hub:ann/jigs@v1") == box / "cache/models/ann/jigs@v1"
    assert not (box / "cache/models/ann/jigs@v1").exists()
    with pytest.raises(ModelNameError, match="no model of this name was fetched"):
        models.remove_model("ann/jigs@v1")


@pytest.mark.parametrize(
    "source", ["hub:", "hub:a", "hub:../a", "hub:a/../b", "hub:a/b/c", "hub:a/b@", "hub:/a/b", "a/b"]
)
def test_a_name_on_the_hub_leads_nowhere_else(source):
    with pytest.raises(ModelNameError, match="is spelled hub:USER/NAME"):
        parse_hub(source)


def test_a_name_on_the_hub_has_a_user_a_name_and_perhaps_a_revision():
    assert parse_hub("hub:ann/jigs") == ("ann", "jigs", "")
    assert parse_hub("hub:ann/big.jigs-2@refs.1") == ("ann", "big.jigs-2", "refs.1")
