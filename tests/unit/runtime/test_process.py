"""Starting, watching and finding real processes."""

import asyncio
import os
import signal

import pytest

from corral.runtime.process import (
    ExitWatch,
    ProcessStat,
    base_environment,
    boot_id,
    find_program,
    read_stat,
    spawn,
    start_time,
)
from corral.runtime.proctree import find_tree, signal_all


async def test_a_child_has_its_own_session_default_signals_and_only_its_environment():
    reader, writer = os.pipe()
    script = f"read x; ps -o sid= -o pid= -p $$ >/dev/fd/{writer}; env >/dev/fd/{writer}; kill -PIPE $$; exit 1"
    os.set_inheritable(writer, True)
    in_reader, in_writer = os.pipe()
    pid = spawn(("/bin/sh", "-c", script), {"PATH": os.environ["PATH"], "MARK": "m"}, stdin=in_reader)
    ended = asyncio.get_running_loop().create_future()
    ExitWatch(pid, ended.set_result)
    stat = read_stat(pid)
    assert stat.session == pid
    os.write(in_writer, b"go\n")
    status = await ended
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPIPE
    text = os.read(reader, 4096).decode()
    assert "MARK=m" in text and "HOME" not in text
    for fd in (reader, writer, in_reader, in_writer):
        os.close(fd)


async def test_the_end_of_a_process_that_is_not_our_child_is_heard():
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    middle = spawn(("/bin/sh", "-c", f"sleep 0.3 & echo $! >/dev/fd/{writer}"), base_environment())
    os.waitpid(middle, 0)
    pid = int(os.read(reader, 20))
    ended = asyncio.get_running_loop().create_future()
    ExitWatch(pid, ended.set_result)
    assert await asyncio.wait_for(ended, 10) is None
    os.close(reader)
    os.close(writer)
    with pytest.raises(ProcessLookupError):
        watch_of_nobody(pid)


def watch_of_nobody(pid):
    stat = read_stat(pid)
    if stat is None or stat.state == "Z":
        raise ProcessLookupError(pid)
    ExitWatch(pid, print)


def test_a_program_is_found_as_a_shell_would(tmp_path):
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    assert find_program("tool", str(tmp_path), "/") is None
    tool.chmod(0o755)
    assert find_program("tool", f"/nowhere:{tmp_path}", "/") == str(tool)
    assert find_program("./tool", "", str(tmp_path)) == f"{tmp_path}/./tool"
    assert find_program("tool", "", str(tmp_path)) == f"{tmp_path}/./tool"
    (tmp_path / "dir").mkdir()
    assert find_program("dir", str(tmp_path), "/") is None


def test_proc_stat_is_read_past_a_hostile_name():
    stat = ProcessStat(7, b"7 (a) R (b) S 1 2 33 " + b"0 " * 15 + b"4711 0 0\n")
    assert (stat.command, stat.state, stat.parent, stat.session, stat.start) == ("a) R (b", "S", 1, 33, 4711)


def test_our_own_start_time_is_known_and_nobodys_is_not():
    assert start_time(os.getpid()) > 0
    assert start_time(1 << 22) is None
    assert boot_id() == boot_id() != ""


def test_a_reused_pid_is_never_signalled():
    pid = spawn(("/bin/sleep", "30"), {"CORRAL_TASK": "x.y.1"})
    try:
        tree = []
        while not tree:
            tree = find_tree("CORRAL_TASK=x.y.1")
        assert [p.pid for p in tree] == [pid]
        assert find_tree("CORRAL_TASK=x.y.11") == []
        assert find_tree("NO=mark", roots={pid: tree[0].start + 1}) == []
        stale = [type(tree[0])(pid, tree[0].start + 1, "x")]
        assert signal_all(stale, signal.SIGKILL) == []
        assert read_stat(pid).state != "Z"
        assert signal_all(tree, signal.SIGKILL) == tree
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
