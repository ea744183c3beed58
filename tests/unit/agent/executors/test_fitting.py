"""What a result can hold of many rows."""

import json

from corral.agent.executors.fitting import ROWS_BYTES, fitting
from corral.domain.executors.contract import RESULT_BYTES_MAX


def test_few_rows_are_all_kept_and_many_are_cut_at_what_fits():
    assert fitting([{"a": 1}, "b"]) == [{"a": 1}, "b"]
    rows = [{"kind": "ConfigMap", "name": "ü" * 200, "number": number} for number in range(500)]
    kept = fitting(rows)
    assert kept == rows[: len(kept)]
    assert 20 < len(kept) < 500
    assert len(json.dumps(kept, separators=(",", ":"))) <= ROWS_BYTES < RESULT_BYTES_MAX
