#!/bin/sh
# The whole test run: fast tests first, then contracts, then real processes; coverage at the end, held to its floors.
# What fails is run once more by itself and both runs are shown: a real process on a busy machine may miss a deadline, a bug fails twice.
set -u
python=.venv/bin/python
rm -f .coverage .coverage.*

run() {
	$python -m pytest "$@" --cov --cov-append --cov-report= && return 0
	again "$@"
}

# Two files at a time: most of what these tests do is wait for processes. What failed is tried again with the machine to itself.
side_by_side() {
	$python -m pytest -n 2 --dist loadfile "$@" --cov --cov-append --cov-report= && return 0
	again "$@"
}

again() {
	echo "run.sh: something failed above; running the failures once more"
	$python -m pytest --last-failed --last-failed-no-failures none "$@" --cov --cov-append --cov-report= || exit 1
	echo "run.sh: passed the second time: see above what failed the first time"
}

side_by_side tests/unit -q --ignore=tests/unit/agent/worker
# By themselves: they find processes by the mark of a task, and two of them at once would find each other's.
run tests/unit/agent/worker -q
side_by_side tests/contract -q
run tests/budget -q
side_by_side tests/system -q
run tests/e2e -q
$python -m coverage report | tail -n 1
$python tests/floors.py || exit 1
