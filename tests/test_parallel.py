"""Ordered work, and the BLAS limit that every concurrent user shares."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from embdc_cli.parallel import one_blas_thread, ordered_map


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_come_in_order_whatever_finishes_first(jobs: int) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.01 if number == 0 else 0)
        return number * number

    assert list(ordered_map(slow_first, range(9), jobs)) == [n * n for n in range(9)]


def test_few_items_are_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> object:
        for number in range(100):
            taken.append(number)
            yield number

    results = ordered_map(lambda number: number, items(), 2)
    next(results)
    assert len(taken) <= 4
    results.close()


def test_a_failure_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda number: 1 // number, [1, 0, 1], 2))


def test_the_limit_holds_until_the_last_user_leaves() -> None:
    before = blas_threads()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_blas_thread():
            inside.set()
            leave.wait(5)

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        inside.wait(5)
        leave.set()
        thread.join()
        assert blas_threads() == {1}, "still limited: one user is left"
    assert blas_threads() == before
