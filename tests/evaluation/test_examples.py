from ostinato.evaluation.examples import beginning, choose_examples
from ostinato.evaluation.samples import HeldOut, Music
from ostinato.music.piece import make_piece
from tests.midi_files import piece_of, tune


def test_the_beginning_of_a_piece_ends_on_time_with_all_that_sounds_there():
    piece = make_piece(
        onset=[0, 480, 960, 1920], duration=[240, 4800, 240, 240], pitch=[60, 62, 64, 65], velocity=[80] * 4,
        program=[0] * 4, tempos=([0, 960, 1920], [500_000, 1_000_000, 250_000]), meters=([0, 1920], [4, 3], [4, 4]),
        ticks_per_quarter=480,
    )  # fmt: skip
    cut = beginning(piece, 2.0)  # a second at half a second for each quarter, then one quarter that lasts a second
    assert cut.notes.pitch.tolist() == [60, 62, 64]
    assert (cut.notes.onset + cut.notes.duration).tolist() == [240, 1440, 1200]
    assert cut.duration_s == 2.0
    assert (cut.tempos.tick.tolist(), cut.meters.tick.tolist()) == ([0, 960], [0])


def test_a_piece_that_is_short_enough_stays_as_it_is():
    piece = tune(0, num_notes=8)
    assert beginning(piece, 60.0) == piece
    assert beginning(piece_of((0, 1, 60, 80, 0)), 60.0).num_notes == 1


def test_examples_are_the_first_pieces_of_each_writer_beside_others_of_the_real_ones():
    real = HeldOut("test", [str(number) * 64 for number in range(10)], [tune(number) for number in range(10)])
    music = Music(real, [("lstm", [tune(20 + n) for n in range(5)]), ("rules", [tune(30), tune(31)])])
    pairs = choose_examples(music, {real.ids[0]: "a.mid"})
    titles = [written.title for written, _ in pairs]
    assert titles == ["lstm, piece 1", "lstm, piece 2", "lstm, piece 3", "rules, piece 1"]
    assert pairs[-1][0].piece == tune(30)
    assert pairs[0][1].title == "real, a.mid"
    judged = {"writers": [{"name": "rules", "bars": [[0.5, -1.0]]}], "held_out": {real.ids[7]: [-2.0]}}
    scores = [(written.bar_scores, other.bar_scores) for written, other in choose_examples(music, {}, judged)]
    assert scores == [((), ())] * 3 + [([0.5, -1.0], [-2.0])]
    assert len({other.title for _, other in pairs}) == len({one.identity for pair in pairs for one in pair}) / 2 == 4
