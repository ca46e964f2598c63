"""Who computes next."""

import threading
import time

import pytest

from web.server import turns as turns_module
from web.server.turns import Job, Turns

BLOCK = 0.004


def work(job: Job, blocks: int, log: list[str], pictures_after: tuple[int, ...] = ()) -> None:
    """As a job does: block by block, showing pictures after some of them."""
    with job:
        for block in range(blocks):
            if job.ended():
                return
            time.sleep(BLOCK)
            log.append(job.tab)
            job.shown += block in pictures_after


def at_once(*jobs: tuple[Job, int, tuple[int, ...]]) -> list[str]:
    log: list[str] = []
    threads = [threading.Thread(target=work, args=(job, blocks, log, pictures)) for job, blocks, pictures in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return log


def test_a_newer_job_of_a_tab_ends_the_older_within_a_block():
    turns, log = Turns(), []
    older = turns.begin("a")
    thread = threading.Thread(target=work, args=(older, 10**6, log))
    thread.start()
    while len(log) < 3:
        time.sleep(BLOCK)
    newer = turns.begin("a")
    count = len(log)
    thread.join(5)
    assert not thread.is_alive()
    assert len(log) <= count + 1
    assert not newer.ended(), "only the older one has ended"


def test_other_tabs_go_on():
    turns = Turns()
    first, second = turns.begin("a"), turns.begin("b")
    assert sorted(set(at_once((first, 5, ()), (second, 5, ())))) == ["a", "b"]


def test_two_tabs_share(monkeypatch):
    monkeypatch.setattr(turns_module, "QUANTUM", 5 * BLOCK)
    turns = Turns()
    log = at_once((turns.begin("a"), 60, ()), (turns.begin("b"), 60, ()))
    while_both = log[:80]
    assert 20 <= while_both.count("a") <= 60
    assert len(log) == 120


def test_who_has_no_picture_goes_first():
    """While one tab refines, another's first picture is made at once."""
    turns, log = Turns(), []
    refining = turns.begin("a")
    refining.shown = 1
    thread = threading.Thread(target=work, args=(refining, 60, log))
    thread.start()
    while len(log) < 5:
        time.sleep(BLOCK)
    work(turns.begin("b"), 10, log)
    between = log[log.index("b"):len(log) - log[::-1].index("b")]
    assert between.count("a") <= 1
    thread.join(20)


def test_no_tab_starves_another(monkeypatch):
    """A tab that paints stroke after stroke has always something urgent; the other's picture is finished too."""
    monkeypatch.setattr(turns_module, "HEAD_START", 20 * BLOCK)
    turns, log, done = Turns(), [], threading.Event()
    quiet = turns.begin("quiet")
    quiet.shown = 1
    thread = threading.Thread(target=lambda: (work(quiet, 30, log), done.set()))
    thread.start()
    strokes = 0
    while not done.is_set() and strokes < 200:
        work(turns.begin("busy"), 3, log)
        strokes += 1
    thread.join(20)
    assert log.count("quiet") == 30
    assert strokes < 60, "the busy tab had more than its share"


def test_a_job_in_several_threads_waits_in_all_of_them():
    """Blocks of one volume are computed by a pool: all its threads ask."""
    turns, seen = Turns(), []
    owner = turns.begin("a")
    assert not owner.ended()
    other = turns.begin("b")
    threads = [threading.Thread(target=lambda: seen.append(other.ended())) for _ in range(3)]
    for thread in threads:
        thread.start()
    owner.cancel()
    owner.__exit__(None, None, None)
    for thread in threads:
        thread.join(5)
    assert seen == [False] * 3


@pytest.mark.parametrize("when", ["waiting", "before"])
def test_a_cancelled_job_does_not_wait(when):
    turns = Turns()
    owner, other = turns.begin("a"), turns.begin("b")
    assert not owner.ended()
    if when == "waiting":
        threading.Timer(0.05, other.cancel).start()
    else:
        other.cancel()
    start = time.monotonic()
    assert other.ended()
    assert time.monotonic() - start < 2


def test_tabs_are_forgotten():
    turns = Turns()
    for number in range(3 * turns_module.REMEMBERED):
        with turns.begin(f"tab {number}") as job:
            assert not job.ended()
    assert turns.tabs == 0
    assert len(turns._shares) <= turns_module.REMEMBERED


def test_a_job_that_rests_lets_others_compute():
    turns = Turns()
    resting, other = turns.begin("a"), turns.begin("b")
    assert not resting.ended()
    thread = threading.Thread(target=resting.rest, args=(20,))
    thread.start()
    assert at_once((other, 3, ())) == ["b"] * 3
    assert thread.is_alive()
    turns.begin("a")  # a newer one: the older need not rest any longer
    thread.join(5)
    assert not thread.is_alive()
    assert resting.ended()


def test_a_rest_has_an_end():
    job = Turns().begin("a")
    job.rest(0.01)
    assert not job.ended()
