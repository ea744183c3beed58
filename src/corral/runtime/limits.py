"""Rates and sizes: a token bucket for bytes per second, and holes punched into a file that grows beyond its share of the disk."""

from __future__ import annotations

import ctypes
import errno
from typing import Final

from corral.runtime.clock import Clock

_KEEP_SIZE_PUNCH_HOLE: Final = 0x01 | 0x02
_BLOCK: Final = 4096


class TokenBucket:
    """At most `rate` bytes per second in the long run, with a burst of `burst_seconds`. rate 0 = no limit."""

    def __init__(self, clock: Clock, rate: int = 0, *, burst_seconds: float = 0.25) -> None:
        self._clock = clock
        self._rate = rate
        self._burst_seconds = burst_seconds
        self._tokens = rate * burst_seconds
        self._filled_at = clock.monotonic()

    @property
    def rate(self) -> int:
        return self._rate

    def set_rate(self, rate: int) -> None:
        self._fill()
        self._rate = rate
        self._tokens = min(self._tokens, rate * self._burst_seconds)

    def _fill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._rate * self._burst_seconds, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now

    async def take(self, size: int) -> None:
        """Return once `size` bytes may pass. A size beyond the burst passes by going into debt, so it never waits for ever."""
        if self._rate <= 0:
            return
        self._fill()
        self._tokens -= size
        if self._tokens < 0:
            await self._clock.sleep(-self._tokens / self._rate)


def punch_hole(fd: int, start: int, end: int) -> bool:
    """Give the disk blocks of [start, end) back without changing the size of the file. False when the file system cannot."""
    start = -(-start // _BLOCK) * _BLOCK
    end = end // _BLOCK * _BLOCK
    if end <= start:
        return True
    if _fallocate(fd, _KEEP_SIZE_PUNCH_HOLE, start, end - start) == 0:
        return True
    return ctypes.get_errno() not in (errno.EOPNOTSUPP, errno.ENOSYS)


def _load() -> ctypes._NamedFuncPointer:
    libc = ctypes.CDLL(None, use_errno=True)
    function = getattr(libc, "fallocate64", None) or libc.fallocate
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    function.restype = ctypes.c_int
    return function


_cached: list[ctypes._NamedFuncPointer] = []


def _fallocate(fd: int, mode: int, start: int, size: int) -> int:
    # loaded when first needed: most workers never punch a hole
    if not _cached:
        _cached.append(_load())
    result: int = _cached[0](fd, mode, start, size)
    return result
