"""What is public of a study tells nobody which clip is whose, whatever they know but the study's secret."""

import math
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ostinato.configs.errors import UserError
from ostinato.listen.design.order import CHECK
from ostinato.listen.design.study import Study
from ostinato.listen.web.application import application
from ostinato.listen.web.pages import NUM_ORDERS, write_static
from tests.listen.attacker import ATTACKS, BROKEN, Guess, guess_of_orders, read_page, sheets_of
from tests.listen.studies import make_study
from tests.listen.visitors import begin, visitor

MOST_DEVIATIONS = 5.0
"""Of a mean from what it is expected to be; chance goes that far once in a million."""
CLIP = re.compile(r"audio/([0-9a-f]{16})")
EARLIER = Path(__file__).parent.parent / "fixtures/version_0_1/study.zip"


def _truth(study: Study) -> Guess:
    names = study.private.names
    return {
        clip: BROKEN if made["condition"] == CHECK else names.index(made["condition"])
        for clip, made in study.private.clips.items()
    }


def _kinds(study: Study) -> dict[str, str]:
    return {
        clip: kind for sheet in study.private.sheets for kind, items in sheet.items() for item in items for clip in item
    }


def advantage(study: Study, guess: Guess) -> float:
    """Returns the share of right guesses, less that of somebody who guesses the same with eyes shut: expected to be 0.

    How many clips of each condition are compared and rated is no secret, so guessing by that is no advantage.
    """
    truth, kinds = _truth(study), _kinds(study)
    shares = {kind: Counter(truth[clip] for clip in kinds if kinds[clip] == kind) for kind in kinds.values()}
    gains = [
        (label == truth[clip]) - shares[kinds[clip]][label] / shares[kinds[clip]].total()
        for clip, label in guess.items()
    ]
    return float(np.mean(gains)) if gains else 0.0


def deviations(values: list[float]) -> float:
    """Returns how many standard errors the mean of values is from 0."""
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values) / error) if error else 0.0 if not np.mean(values) else math.inf


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Studies of two and of three conditions, and the folders that were put on a host."""
    folder, found = tmp_path_factory.mktemp("published"), []
    for number in range(40):
        conditions = ("human", "mine", "theirs")[: 2 + number % 2]
        study = make_study(
            folder / f"study-{number}", conditions=conditions, num_prompts=12, clip_s=0.1, is_heard=False
        )
        write_static(study, folder / f"page-{number}")
        shutil.rmtree(study.folder / "audio")
        found.append((study, folder / f"page-{number}"))
    return found


def test_the_attacker_reads_all_conditions_from_a_study_of_the_earlier_format(tmp_path):
    """Or else the tests below would show nothing."""
    shutil.unpack_archive(EARLIER, tmp_path)
    study = Study.open(tmp_path)
    orders = [[[clip.id for clip in task.clips] for task in study.tasks_of(number)] for number in range(NUM_ORDERS)]
    assert guess_of_orders(orders, 3) == _truth(study)
    with pytest.raises(UserError, match="reads the conditions from its orders"):
        write_static(study, tmp_path / "page")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_whoever_has_the_exported_page_and_our_source_only_guesses(published, attack):
    gains = [advantage(study, ATTACKS[attack](page, len(study.private.names))) for study, page in published]
    assert abs(deviations(gains)) < MOST_DEVIATIONS, f"{np.mean(gains):+.3f} more right than by guessing"


def test_orders_are_of_whole_sheets_and_no_clip_is_on_two(published):
    for study, folder in published[:4]:
        sheets = sheets_of(read_page(folder)["orders"])
        clips = [clip for sheet in sheets for item in sheet for clip in item]
        assert sorted(clips) == sorted(study.clips)
        assert len(sheets) == len(study.private.sheets)


def test_the_first_task_of_the_server_tells_nothing(published):
    gains = []
    for study, _ in published[:20]:
        names = study.private.names
        app, pages = application(study), []
        for _ in range(3):
            client = visitor(app)
            page = begin(client)
            pages.append(page)
            left, right = dict.fromkeys(CLIP.findall(page.text))
            gains.append(advantage(study, {left: 0, right: 1}))  # as the first task of format 1 was
            assert not any(word in page.text for word in (*names, CHECK, study.private.secret))
        # But for the names of clips, which are random, and what every answer has, pages and headers are the same.
        assert len({CLIP.sub("", page.text) for page in pages}) == 1
        assert len({tuple(sorted(set(page.headers.items()))) for page in pages}) == 1
    assert abs(deviations(gains)) < MOST_DEVIATIONS, f"{np.mean(gains):+.3f} more right than by guessing"


def test_nothing_public_holds_the_secret_or_follows_from_what_is_typed(published):
    secrets = {study.private.secret for study, _ in published}
    assert len(secrets) == len(published)  # all with the same seed
    for study, folder in published[:4]:
        private = study.private.secret.encode()
        assert len(private) == 64
        files = [*folder.rglob("*"), study.folder / "study.json"]
        assert not any(private in file.read_bytes() for file in files if file.is_file())
