"""What an executor's kind says of itself. Pure data: the server checks and shows it, the child process on the node obeys it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.schema import check

VERSION: Final = 1
RESULT_BYTES_MAX: Final = 64 << 10
RESULT_VARIABLE: Final = "CORRAL_RESULT"
HTTP_ALLOW_VARIABLE: Final = "CORRAL_HTTP_ALLOW"
"""Networks that kind http may ask in spite of its rules: the node's own setting agent.http_allow, out of reach of a task."""
EXIT_FAILED: Final = 1
EXIT_BAD_PARAMS: Final = 2
EXIT_NO_DRIVER: Final = 3
"""The node then reports `rejected` with the child's message, which names the command that installs the driver."""


def _no_more(params: Mapping[str, Any]) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class ExecutorKind:
    """`module` is run as `python -m <module>`; `schema` describes params (domain/schema.py); `line(params)` is for people.

    `engines` are the engines of connections it takes; empty: it uses none. `changes(params)` says whether a task of these params
    changes anything; what only reads may be repeated and needs no review. `more(params)` raises Invalid for what no schema can say.
    """

    name: str
    summary: str
    module: str
    permission: str
    schema: Mapping[str, Any]
    line: Callable[[Mapping[str, Any]], str]
    engines: tuple[str, ...] = ()
    changes: Callable[[Mapping[str, Any]], bool] = lambda params: True
    more: Callable[[Mapping[str, Any]], None] = _no_more
    words: Callable[[Mapping[str, Any]], Sequence[str]] = lambda params: ()
    """The command it stands for, as a command policy should judge it; () for none: then it is `corral-task <kind>`."""


def check_executor(kind: ExecutorKind, spec: ExecutorSpec) -> None:
    """Raise Invalid naming the field, the value, what was expected and the remedy."""
    check(kind.schema, dict(spec.params))
    kind.more(spec.params)
    if kind.engines and spec.connection is None:
        raise Invalid(
            f"cannot run {kind.name}: it needs a connection",
            element="connection",
            hint="name one: --connection NAME; 'corral connection list' shows them",
        )
    if spec.connection is not None and not kind.engines:
        raise Invalid(
            f"cannot run {kind.name} over connection {spec.connection!r}: it takes none", element="connection"
        )
