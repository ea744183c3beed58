"""Output: exact, gap-free or truncated with true counts; bounded in memory and on disk; repeated until acknowledged."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.agent.link.port import NoAnswer
from corral.agent.worker.outputcap import Share, grow_heads, kept_from
from corral.agent.worker.worker import rss_bytes


async def test_a_giant_writer_fills_neither_memory_nor_disk_and_the_ends_are_exact(rig):
    cap, total = 1 << 20, 300 << 20
    before, peak = rss_bytes(), 0
    # every line is numbered, so that any misplaced byte shows
    rig.run(shell=f"seq -f %015.0f {total // 16}", max_output=cap)
    while not rig.plane.ends():
        disk = sum(p.stat().st_blocks * 512 for p in rig.state.spool.glob("*/out") if p.exists())
        peak = max(peak, disk)
        await asyncio.sleep(0.01)
    end = rig.plane.ends()[0]
    assert (end["state"], end["stdout_bytes"], end["truncated"]) == ("succeeded", total, True)
    kept, skipped = rig.plane.stream()
    assert len(kept) == cap
    assert skipped == total - cap
    line = lambda n: b"%015d\n" % (n + 1)  # noqa: E731  # the byte at offset 16 n begins this line
    assert kept[: cap // 2] == b"".join(map(line, range(cap // 32)))
    assert kept[cap // 2 :] == b"".join(map(line, range((total - cap // 2) // 16, total // 16)))
    assert rss_bytes() - before < 16 << 20
    assert peak < 100 << 20


async def test_binary_without_newline_and_one_long_line_are_exact(rig, tmp_path):
    data = random.Random(7).randbytes(700_001)
    (tmp_path / "data").write_bytes(data)
    rig.run("cat", str(tmp_path / "data"), job="J1")
    rig.run("sh", "-c", f"cat {tmp_path}/data >&2; head -c 200000 /dev/zero", job="J2")
    await rig.plane.end("J1")
    await rig.plane.end("J2")
    assert rig.plane.stream("J1") == (data, 0)
    assert rig.plane.stream("J2", stream="stderr") == (data, 0)
    assert rig.plane.stream("J2") == (bytes(200_000), 0)
    assert all(len(d) <= 65536 for chunks in rig.plane.chunks.values() for _, _, d in chunks)


async def test_chunks_that_were_not_acknowledged_go_again_until_they_are(rig, monkeypatch):
    from corral.agent.worker import output
    from corral.runtime.backoff import Backoff

    monkeypatch.setattr(output, "_AGAIN", Backoff(delays_seconds=(0.01,)))
    rng = random.Random(3)

    async def lossy():
        if rng.random() < 0.5:
            raise NoAnswer("cannot reach the stream")

    rig.plane.chunk_hook = lossy
    rig.run(shell="seq 200000", max_output=4 << 20)
    end = await rig.plane.end()
    await rig.plane.until(lambda: len(rig.plane.stream()[0]) == end["stdout_bytes"])
    assert rig.plane.stream()[0] == b"".join(b"%d\n" % n for n in range(1, 200_001))


async def test_a_stream_that_answers_nothing_delays_the_report_by_a_bounded_time(rig, monkeypatch):
    monkeypatch.setattr("corral.agent.worker.closing._FLUSH_SECONDS", 0.3)
    gate = asyncio.Event()

    async def stuck():
        await gate.wait()

    rig.plane.chunk_hook = stuck
    rig.run("echo", "x")
    assert (await rig.plane.end())["stdout_bytes"] == 2
    assert not rig.plane.chunks
    gate.set()
    await rig.plane.until(lambda: rig.plane.stream()[0] == b"x\n")


async def test_a_command_that_truncates_its_own_stderr_goes_on_where_it_was(rig):
    rig.run(shell="echo a longer line >&2; sleep 0.3; echo two >/dev/stderr; sleep 0.3; echo three >&2")
    end = await rig.plane.end()
    assert rig.plane.stream(stream="stderr")[0] == b"a longer line\ntwo\nthree\n"
    assert end["stderr_bytes"] == len("a longer line\ntwo\nthree\n")


async def test_the_bandwidth_limit_holds(make_rig):
    rig = make_rig(bandwidth_bytes_per_second=400_000)
    await (await rig.start()).synced()
    began = asyncio.get_running_loop().time()
    rig.run(shell="head -c 600000 /dev/zero")
    await rig.plane.end()
    await rig.plane.until(lambda: len(rig.plane.stream()[0]) == 600_000)
    assert asyncio.get_running_loop().time() - began > 0.8


@pytest.mark.parametrize("streams", [("out",), ("out", "err")])
async def test_within_the_cap_nothing_is_dropped(rig, streams):
    text = "; ".join(f"head -c {500_000 // len(streams)} /dev/zero >&{1 if s == 'out' else 2}" for s in streams)
    rig.run(shell=text, max_output=500_000)
    end = await rig.plane.end()
    assert not end.get("truncated")
    sent = sum(len(rig.plane.stream(stream=s)[0]) for s in ("stdout", "stderr"))
    assert sent == end["stdout_bytes"] + end.get("stderr_bytes", 0) == 500_000


sizes = st.integers(0, 5000)


@given(st.integers(2, 4000), st.lists(st.tuples(sizes, sizes), max_size=20))
def test_the_cap_holds_whatever_the_order_and_what_was_dropped_is_never_wanted_again(limit, growth):
    pair = (Share(), Share())
    before = (0, 0)
    for more in growth:
        for share, grown in zip(pair, more, strict=True):
            share.size += grown
        grow_heads(limit, pair)
        starts = kept_from(limit, pair)
        kept = sum(s.head + s.size - max(start, s.head) for s, start in zip(pair, starts, strict=True))
        total = pair[0].size + pair[1].size
        assert kept <= limit + 1
        assert total > limit or kept == total
        for share, start, old in zip(pair, starts, before, strict=True):
            assert share.head <= start <= share.size
            assert start >= old
        before = starts
