"""Running a program for its answer."""

import sys

import pytest

from corral.runtime.capture import KEPT_BYTES, capture


def python(text, **options):
    return capture([sys.executable, "-c", text], timeout_seconds=options.pop("timeout", 30.0), **options)


def test_status_output_and_errors_come_back():
    done = python("import os, sys; print(os.environ['WORD']); sys.stderr.write('no'); sys.exit(3)", env={"WORD": "hi"})
    assert (done.status, done.out, done.err) == (3, "hi\n", "no")


def test_a_program_that_takes_too_long_is_ended():
    with pytest.raises(TimeoutError, match="did not end"):
        python("import threading; threading.Event().wait(60)", timeout=0.3)


def test_a_program_that_is_not_there_raises_what_the_system_says():
    with pytest.raises(FileNotFoundError):
        capture(["/nowhere/at-all"], timeout_seconds=1)


def test_a_flood_is_cut():
    assert len(python("print('x' * 200_000)").out) == KEPT_BYTES
