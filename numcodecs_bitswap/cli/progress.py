"""Progress of a command: one line on a terminal; a line every 30 s in a file."""

import sys
import time

from ..measure.estimate import duration, size


class Progress:
    """Counts what is done, and prints it to standard error.

    Parameters
    ----------
    total : int
        Number of blocks or chunks.
    nbytes : int
        Bytes of all of them.
    """

    def __init__(self, total: int, nbytes: int) -> None:
        self.total, self.nbytes = total, nbytes
        self.done = self.read = self.stored = self.skipped = 0
        self.begun = time.monotonic()
        self.every = 0.3 if sys.stderr.isatty() else 30.0
        self._said = self.begun

    def __call__(self, count: int, nbytes: int, stored: int) -> None:
        """Add blocks that are done: their number, their bytes (0: done by an earlier run), and the bytes stored."""
        self.done += count
        self.skipped += 0 if nbytes else count
        self.read += nbytes
        self.stored += stored
        if time.monotonic() - self._said > self.every:
            self._said = time.monotonic()
            self._say(self.text())

    def text(self) -> str:
        """Percentage done, ratio, speed, time left."""
        passed = max(time.monotonic() - self.begun, 1e-9)
        parts = [f"{100 * self.done / max(self.total, 1):.1f} %", f"{size(self.read)} of {size(self.nbytes)}"]
        parts += [f"ratio {self.read / self.stored:.2f}"] if self.stored else []
        parts += [f"{self.read / 1e6 / passed:.1f} MB/s"]
        worked, left = self.done - self.skipped, self.total - self.done
        parts += [f"{duration(passed * left / worked)} left"] if worked and left else []
        return ", ".join(parts)

    def summary(self) -> str:
        """The summary at the end."""
        passed = max(time.monotonic() - self.begun, 1e-9)
        stored = f" -> {size(self.stored)}, ratio {self.read / self.stored:.2f}" if self.stored else ""
        return f"{size(self.read)}{stored}, {self.read / 1e6 / passed:.2g} MB/s"

    def end(self) -> None:
        """Clear the line."""
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _say(self, text: str) -> None:
        terminal = sys.stderr.isatty()
        print(f"\r{text}\033[K" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)
