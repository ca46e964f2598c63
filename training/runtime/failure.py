"""When one process of a run fails, the others end too, whatever they are waiting for.

A collective operation under NCCL that a failed process does not join never returns, and a process that waits in it
does not even see a signal. So each process has a thread that asks the store, which they share, whether one has failed.
"""

from __future__ import annotations

import contextlib
import os
import threading

import torch.distributed as dist

POLL_SECONDS = 1.0
KEY = "failed"
EXIT_CODE = 3  # of a process that ends because another one has failed


class FailureWatch:
    """Ends this process when another one has failed: begins at once, until `stop`.

    Args:
        store: of the process group.
        rank: of this process.
    """

    def __init__(self, store: dist.Store, rank: int) -> None:
        # a connection of its own: on the other one an operation of the run may be waiting
        self._store = dist.PrefixStore("sem2nerf_failures", store.clone() if hasattr(store, "clone") else store)
        self._rank, self._stopped = rank, threading.Event()
        threading.Thread(target=self._watch, name="failures", daemon=True).start()

    def tell(self) -> None:
        """Let the others know that this process fails. It has said why, and ends now."""
        self.stop()
        with contextlib.suppress(Exception):  # without the store they know already
            self._store.set(KEY, str(self._rank))

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            try:
                if not self._store.check([KEY]):
                    continue
                reason = f"process {self._store.get(KEY).decode()} has failed"
            except Exception as error:  # the process that holds the store is gone
                reason = f"another process has ended ({type(error).__name__})"
            if self._stopped.is_set():
                return
            os.write(2, f"error: {reason}; its own message says why. This process ends.\n".encode())
            os._exit(EXIT_CODE)
