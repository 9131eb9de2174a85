"""SIGTERM as a question that the loop asks."""

import os
import signal
import threading

from ostinato.train.hosts.preemption import StopSignal


def test_a_process_alone_hears_the_signal_and_afterwards_has_its_own_handler_again():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_that_cannot_listen_trains_all_the_same():
    before, answers = signal.getsignal(signal.SIGTERM), []

    def train():
        with StopSignal() as stop:
            answers.append(stop())

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert answers == [False]
    assert signal.getsignal(signal.SIGTERM) is before
