"""What is kept, what is dropped, and who makes it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from embdc_cli.recent import Recent


def test_the_last_used_stay_within_the_budget() -> None:
    recent, made = Recent(10), []

    def get(key: str, size: int) -> str:
        return recent.get(key, lambda: made.append(key) or key, lambda _: size)

    assert [get("a", 4), get("b", 4), get("a", 4), get("c", 4), get("a", 4)] == ["a", "b", "a", "c", "a"]
    assert made == ["a", "b", "c"]
    get("b", 4)
    assert made == ["a", "b", "c", "b"]
    assert get("large", 100) == get("large", 100) == "large"
    assert made.count("large") == 1


def test_one_of_the_threads_that_ask_at_once_makes_it() -> None:
    recent, made, begun, go_on = Recent(10), [], threading.Event(), threading.Event()

    def make() -> int:
        begun.set()
        assert go_on.wait(5)
        made.append(1)
        return 7

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(recent.get, "key", make, lambda _: 1)
        assert begun.wait(5)
        others = [pool.submit(recent.get, "key", make, lambda _: 1) for _ in range(3)]
        go_on.set()
        assert [one.result(5) for one in (first, *others)] == [7] * 4
    assert made == [1]


def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    recent, begun, go_on = Recent(10), threading.Event(), threading.Event()

    def fail() -> int:
        begun.set()
        assert go_on.wait(5)
        raise ValueError("damaged")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(recent.get, "key", fail, lambda _: 1)
        assert begun.wait(5)
        second = pool.submit(recent.get, "key", fail, lambda _: 1)
        go_on.set()
        for one in (first, second):
            with pytest.raises(ValueError, match="damaged"):
                one.result(5)
    assert recent.get("key", lambda: 3, lambda _: 1) == 3


def test_who_waits_for_a_thread_that_was_interrupted_makes_it() -> None:
    recent, begun, go_on = Recent(10), threading.Event(), threading.Event()

    def interrupted() -> int:
        begun.set()
        assert go_on.wait(5)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(recent.get, "key", interrupted, lambda _: 1)
        assert begun.wait(5)
        second = pool.submit(recent.get, "key", lambda: 4, lambda _: 1)
        go_on.set()
        assert isinstance(first.exception(5), KeyboardInterrupt)
        assert second.result(5) == 4


def test_who_waits_is_told_when_a_value_cannot_be_kept() -> None:
    recent = Recent(10)

    def size_bytes(value: int) -> int:
        raise ValueError("no size")

    for _ in range(2):
        with pytest.raises(ValueError, match="no size"):
            recent.get("key", lambda: 3, size_bytes)
    assert recent.get("key", lambda: 4, lambda _: 1) == 4
