"""A worker in this process: what its function gives, and stops that come in the middle, too early and too late."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from embdc_cli.distributed.worker import Interrupted, Worker


@pytest.fixture
def quick_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def work(item: int | threading.Event) -> int:
    """An event is set, and then nothing comes."""
    if isinstance(item, threading.Event):
        item.set()
        while True:
            time.sleep(0.001)
    for _ in range(item % 100):
        pass
    return item


def test_a_stop_interrupts_the_work_and_nothing_after_it() -> None:
    worker, begun = Worker(work), threading.Event()
    stopping = threading.Thread(target=lambda: (begun.wait(), worker.stop()))
    worker.stop()
    assert worker.run(1) == 1, "nothing was at work"
    stopping.start()
    with pytest.raises(Interrupted):
        worker.run(begun)
    stopping.join()
    assert worker.run(2) == 2


def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        Worker(lambda item: 1 / item).run(0)


@pytest.mark.usefixtures("quick_switching")
def test_a_stop_at_any_moment_is_raised_in_the_work_or_not_at_all() -> None:
    """What calls `run` is Ray, which loses a worker over an exception of its own."""
    worker = Worker(work)
    interrupted = 0
    escaped: list[KeyboardInterrupt] = []

    def run_until_some_were_interrupted() -> None:
        nonlocal interrupted
        try:
            for number in itertools.count():
                try:
                    assert worker.run(number) == number
                except Interrupted:
                    interrupted += 1
                    if interrupted == 50:
                        return
        except KeyboardInterrupt as error:
            escaped.append(error)

    running = threading.Thread(target=run_until_some_were_interrupted)
    running.start()
    while running.is_alive():
        worker.stop()
    assert not escaped
    assert interrupted == 50
