"""One line of `corral doctor`'s report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """`remedy` is a command or a setting, there whenever the status is not OK."""

    status: Status
    check: str
    text: str
    remedy: str = ""
