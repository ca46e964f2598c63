"""Who computes next: several tabs share one model, and a newer job of a tab ends its older one.

    turns = Turns()
    job = turns.begin("tab")                # the tab's older job is cancelled
    with job:                               # in the thread that computes
        bake(scene, cancelled=job.ended)    # before each block it waits for its turn, or learns that it is to end
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from types import TracebackType

QUANTUM = 0.05     # seconds that a job computes before another of equal claim takes over
HEAD_START = 0.5   # seconds by which a job is preferred to one that has shown a picture more
REMEMBERED = 256   # tabs whose share is kept in mind


class Job:
    """One job of one tab. Made by `Turns.begin`; any thread may call its methods."""

    def __init__(self, turns: Turns, tab: str) -> None:
        self.turns, self.tab = turns, tab
        self.shown = 0            # pictures so far; set by whoever sends them
        self.cancelled = False
        self.waiting = False      # it is in its thread, and not computing
        self.begun = 0.0          # when its turn began

    def ended(self) -> bool:
        """Called before each block of work: waits for the job's turn, and says whether the job is to end instead."""
        return self.turns._ended(self)

    def rest(self, seconds: float) -> None:
        """Leave the model to others for a while, or until the job is to end."""
        self.turns._rest(self, seconds)

    def cancel(self) -> None:
        """Let `ended` be true from now on."""
        self.turns._cancel(self)

    def __enter__(self) -> Job:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self.turns._finish(self)


class Turns:
    """Deals out the model in small portions, the tab with the smallest share of computing time first.

    A tab that comes later starts with the smallest share among those at work, so that it neither waits for all they
    have used nor takes everything until it has caught up.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}                        # tab -> its newest job
        self._shares: OrderedDict[str, float] = OrderedDict()  # tab -> seconds computed
        self._current: Job | None = None
        self._since = 0.0

    def begin(self, tab: str) -> Job:
        """The newest job of a tab; the older one, if it is still there, is cancelled."""
        with self._changed:
            if (older := self._jobs.get(tab)) is not None:
                older.cancelled = True
            busy = [self._shares[other] for other in self._jobs if other != tab]
            self._shares[tab] = max([self._shares.pop(tab, 0.0), *([min(busy)] if busy else [])])
            while len(self._shares) > REMEMBERED:
                idle = next((other for other in self._shares if other not in self._jobs and other != tab), None)
                if idle is None:
                    break
                del self._shares[idle]
            job = self._jobs[tab] = Job(self, tab)
            self._changed.notify_all()
            return job

    @property
    def tabs(self) -> int:
        """How many tabs have a job."""
        return len(self._jobs)

    def _ended(self, job: Job) -> bool:
        with self._changed:
            if self._current is job:
                self._account()
                if not job.cancelled and self._keeps(job):
                    return False
                self._current = None
                self._changed.notify_all()
            job.waiting = True
            while not job.cancelled and self._current is not job:
                if self._current is None and self._next() is job:
                    self._current, self._since = job, time.monotonic()
                    job.begun = self._since
                    self._changed.notify_all()
                else:
                    self._changed.wait()
            job.waiting = False
            return job.cancelled

    def _rest(self, job: Job, seconds: float) -> None:
        with self._changed:
            self._leave(job)
            self._changed.wait_for(lambda: job.cancelled, seconds)

    def _leave(self, job: Job) -> None:
        """Let others compute, if it is this job's turn."""
        if self._current is job:
            self._account()
            self._current = None
            self._changed.notify_all()

    def _account(self) -> None:
        """Seconds since the last look belong to the job that computes."""
        now = time.monotonic()
        if self._current is not None:
            self._shares[self._current.tab] = self._shares.get(self._current.tab, 0.0) + now - self._since
        self._since = now

    def _keeps(self, job: Job) -> bool:
        first = self._next(job)
        return first is job or (first.shown >= job.shown and time.monotonic() - job.begun < QUANTUM)

    def _next(self, also: Job | None = None) -> Job:
        waiting = [job for job in self._jobs.values() if not job.cancelled and (job.waiting or job is also)]
        return min(waiting, key=lambda job: self._shares[job.tab] + HEAD_START * job.shown)

    def _cancel(self, job: Job) -> None:
        with self._changed:
            job.cancelled = True
            self._changed.notify_all()

    def _finish(self, job: Job) -> None:
        with self._changed:
            job.cancelled = True
            self._leave(job)
            if self._jobs.get(job.tab) is job:
                del self._jobs[job.tab]
            self._changed.notify_all()
