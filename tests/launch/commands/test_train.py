"""What `ostinato train` says at the end."""

from ostinato.launch.commands.train import stopped_early
from ostinato.train.loop import Result


def test_early_stopping_says_why_and_what_resumes_the_run():
    result = Result(1400, 2400, True, initial_loss=4.1, last_loss=1.4, best_step=400, best_loss=1.23456)
    assert stopped_early(result, 5) == (
        "stopped early at step 1400 of 2400: the last 5 validations (--patience 5) gained nothing over the loss 1.2346 "
        "of step 400; the same command with a larger --patience, or with --patience 0, resumes the run"
    )
