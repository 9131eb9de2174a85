import numpy as np
import pytest

from ostinato.data.dataset_writer import write_dataset
from ostinato.data.mixture import Mixture, MixtureError, Part, mixture_of, open_mixture
from ostinato.data.records import Dataset, DatasetError, Record
from ostinato.music.score_codec import ScoreCodec


def a_dataset(folder, *, styles=("",), name="x"):
    codec = ScoreCodec(styles=styles)
    write_dataset(folder, {"train": [Record(name, "", np.array([codec.start, codec.end], codec.dtype))]}, codec)
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("mixture")
    for name in ("a", "b", "deeper/a", "c:2"):
        (root / name).parent.mkdir(exist_ok=True)
        a_dataset(root / name, name=name)
    a_dataset(root / "folk", styles=("folk",))
    return root


def test_shares_are_relative_and_stand_behind_the_last_colon(folder):
    for first, second in (("0.7", "0.3"), ("7", "3"), (".7", "0.30")):
        mixture = open_mixture([f"{folder}/a:{first}", f"{folder}/c:2:{second}"])
        assert [round(part.share, 9) for part in mixture.parts] == [0.7, 0.3]
        assert [part.dataset.path for part in mixture.parts] == [folder / "a", folder / "c:2"]


def test_one_dataset_is_a_path_whatever_it_contains(folder):
    (part,) = open_mixture([f"{folder}/c:2"]).parts
    assert (part.dataset.path, part.share) == (folder / "c:2", 1.0)
    assert open_mixture([f"{folder}/c:2"]).fingerprint == part.dataset.fingerprint
    with pytest.raises(DatasetError, match=r"a:0\.7: not a finished dataset"):
        open_mixture([f"{folder}/a:0.7"])


@pytest.mark.parametrize(("words", "said"), [
    ([], "names nothing"),
    (["a:1", "b"], r"b: has no share; of several datasets each needs one, as .*b:0\.5"),
    (["a:1", "c:2"], r"c:2: has no share"),
    (["a:0", "b:1"], r"a:0: the share 0 must be above 0 and finite"),
    (["a:1", "a:2"], r"names .*a twice"),
    (["a:1", "b:1e-3"], "b:1e-3: has no share"),
    (["a:1", "b:-1"], "b:-1: has no share"),
    (["a:1", f"b:{'9' * 400}"], "must be above 0 and finite"),
    (["a:1", "folk:1"], r"folk: was prepared with another codec \(.*\) than .*/a \(.*\); they differ in styles"),
])  # fmt: skip
def test_what_makes_no_mixture_is_named(folder, words, said):
    with pytest.raises(MixtureError, match=said):
        open_mixture([f"{folder}/{word}" for word in words])


def test_the_fingerprint_is_that_of_contents_and_shares(folder):
    words = [f"{folder}/a:1", f"{folder}/b:3"]
    one = open_mixture(words).fingerprint
    assert one == open_mixture([f"{folder}/a:2", f"{folder}/b:6"]).fingerprint
    others = [words[::-1], [words[0], f"{folder}/b:4"], [words[0], f"{folder}/c:2:3"]]
    assert one not in {open_mixture(other).fingerprint for other in others}


def test_names_are_those_of_the_datasets_and_differ(folder):
    assert open_mixture([f"{folder}/a:1", f"{folder}/deeper/a:1", f"{folder}/b:1"]).names == ["a", "a_2", "b"]


@pytest.mark.parametrize(
    ("batch_size", "shares", "rows"),
    [
        (16, (0.7, 0.3), [11, 5]),
        (8, (0.4, 0.3, 0.3), [3, 3, 2]),
        (4, (0.98, 0.01, 0.01), [2, 1, 1]),
        (4, (0.01, 0.01, 0.98), [1, 1, 2]),
        (3, (0.2, 0.2, 0.6), [1, 1, 1]),
        (7, (1.0,), [7]),
    ],
)
def test_rows_are_as_near_to_the_shares_as_can_be(folder, batch_size, shares, rows):
    dataset = Dataset.open(folder / "a")
    mixture = Mixture(tuple(Part(dataset, share) for share in shares))
    assert mixture.rows(batch_size) == rows
    if len(shares) > 1:
        with pytest.raises(MixtureError, match=f"a batch of 1 rows cannot hold rows of {len(shares)} datasets"):
            mixture.rows(1)


@pytest.mark.parametrize("batch_size", [2, 3, 4, 12, 16, 20, 512])
def test_old_music_has_the_rows_that_it_had_in_earlier_versions(folder, batch_size):
    one, old = Dataset.open(folder / "a"), Dataset.open(folder / "b")
    for old_share in (0.01, 0.1, 0.125, 0.25, 0.3, 0.5, 0.75, 0.99):
        num_old = min(max(1, round(batch_size * old_share)), batch_size - 1)
        mixture = mixture_of(one, old=old, old_share=old_share)
        assert mixture.rows(batch_size) == [batch_size - num_old, num_old]


def test_old_music_goes_with_one_dataset(folder):
    mixture = open_mixture([f"{folder}/a:1", f"{folder}/b:1"])
    with pytest.raises(MixtureError, match="--old-dataset goes with one dataset"):
        mixture_of(mixture, old=Dataset.open(folder / "b"), old_share=0.5)
