"""Questions to a live node: signed, answered on the reply subject, never stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from corral.bus.port import BusError, NoResponder, Wire
from corral.domain.errors import Invalid, Unavailable
from corral.protocol import subjects
from corral.protocol.codec import encode
from corral.protocol.messages import RpcRequest
from corral.protocol.signing import Signer, seal
from corral.runtime.clock import Clock

KIND: Final = "rpc"
LIFE_SECONDS: Final = 30.0


class SignedRpc:
    """Implements NodeRpc."""

    def __init__(self, *, wire: Wire, signer: Signer, clock: Clock) -> None:
        self._wire = wire
        self._signer = signer
        self._clock = clock

    async def call(self, node: str, method: str, params: Mapping[str, Any], *, timeout_seconds: float = 5.0) -> Any:
        """Raises Unavailable when the node is offline, silent, answers nonsense, or says that it could not."""
        if method not in subjects.RPC_METHODS:
            known = ", ".join(subjects.RPC_METHODS)
            raise Invalid(f"cannot ask a node for {method!r}: expected one of {known}", element="method")
        now = self._clock.wall()
        request = RpcRequest(
            kid=self._signer.key_id,
            node=node,
            method=method,
            issued=now,
            not_after=now + LIFE_SECONDS,
            params=dict(params),
        )
        wire = seal(self._signer, KIND, encode(request))
        try:
            answer = await self._wire.request(subjects.rpc(node, method), wire, timeout_seconds=timeout_seconds)
        except NoResponder:
            raise Unavailable(
                f"cannot ask node {node!r}: it is not connected",
                element=node,
                hint=f"corral node show {node} says since when and why",
                retryable=True,
            ) from None
        except BusError as error:
            raise Unavailable(f"cannot ask node {node!r}: {error}", element=node, retryable=True) from None
        return _result(node, answer)


def _result(node: str, answer: bytes) -> Any:
    try:
        body = json.loads(answer)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not ("result" in body or "error" in body):
        raise Unavailable(f"cannot understand node {node!r}: its answer is not JSON of ours", element=node)
    if body.get("error"):
        raise Unavailable(f"cannot ask node {node!r}: {str(body['error'])[:300]}", element=node)
    return body.get("result")
