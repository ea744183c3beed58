"""The token bucket on a clock that a test moves, and holes on a real file."""

import os

from corral.runtime.limits import TokenBucket, punch_hole


class Clock:
    def __init__(self):
        self.time = 0.0

    def monotonic(self):
        return self.time

    async def sleep(self, seconds):
        self.time += seconds


async def test_in_the_long_run_the_rate_holds_and_big_pieces_pass():
    clock = Clock()
    bucket = TokenBucket(clock, 1000)
    for size in (100, 700, 5000, 1, 199, 4000):
        await bucket.take(size)
    assert 9.5 <= clock.time <= 10


async def test_without_a_rate_nothing_waits_and_a_new_rate_counts_from_now():
    clock = Clock()
    bucket = TokenBucket(clock)
    await bucket.take(1 << 40)
    assert clock.time == 0
    bucket.set_rate(1000)
    await bucket.take(2000)
    assert 1.5 <= clock.time <= 2


def test_a_hole_gives_blocks_back_and_keeps_size_and_the_rest(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * (1 << 20))
    before = path.stat().st_blocks
    fd = os.open(path, os.O_RDWR)
    try:
        punched = punch_hole(fd, 100_000, 900_000)
        assert punch_hole(fd, 10, 20)
    finally:
        os.close(fd)
    data = path.read_bytes()
    assert len(data) == 1 << 20
    assert data[:100_000] == b"x" * 100_000
    assert data[900_000:] == b"x" * (len(data) - 900_000)
    if punched:
        assert path.stat().st_blocks < before
