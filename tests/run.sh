#!/bin/sh
# The whole test run: fast tests first, then contracts, then real processes; coverage at the end, held to its floors.
set -eu
python=.venv/bin/python
rm -f .coverage .coverage.*
$python -m pytest tests/unit tests/golden -q -n 2 --cov --cov-report=
$python -m pytest tests/contract tests/budget -q --cov --cov-append --cov-report=
$python -m pytest tests/system -q --cov --cov-append --cov-report=
$python -m coverage combine --append -q 2>/dev/null || true
$python -m coverage report --format=total >/dev/null
$python -m coverage report | tail -n 1
$python tests/floors.py
