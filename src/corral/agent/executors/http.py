"""The http executor: sends one request and checks the answer. Nothing but the standard library.

Where requests may go besides is the node's own business: CORRAL_HTTP_ALLOW, which the worker sets from agent.http_allow and no task
can. A dry run resolves and judges, and sends nothing.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from corral.agent.executors.contract import Failed, Request, emit, main, result
from corral.agent.executors.httpwire import Answer, Web
from corral.domain.executors.contract import HTTP_ALLOW_VARIABLE
from corral.domain.executors.http import KIND, accepts
from corral.domain.jsonpath import MISSING, parse_path, value_at
from corral.domain.netguard import AddressRules, parse_networks, parse_url
from corral.domain.selector.pattern import compile_pattern

SAVED_BYTES_MAX: Final = 36 << 10
_SHOWN_CHARS: Final = 200


def run(request: Request) -> None:
    perform(request, allowed(request.params.get("networks", {})))


def perform(request: Request, rules: AddressRules) -> None:
    """Raises Failed for an answer that is not as expected."""
    params = request.params
    web = Web(
        rules=rules,
        tls=params.get("tls", {}),
        timeout_seconds=min(params["timeout_seconds"], request.deadline_seconds),
        max_body_bytes=params["max_body_bytes"],
    )
    url = _url(params)
    if request.dry_run:
        parsed = parse_url(url, names=() if rules.allow else ("localhost",))
        emit(
            f"would send {params['method']} {params['url'].partition('?')[0]} to {web.addresses(parsed)[0]} port {parsed.port}"
        )
        return
    answer = web.send(
        params["method"], url, headers=_headers(params), body=_body(params), redirects=params["follow_redirects"]
    )
    _show(answer)
    trouble = _trouble(params, answer)
    result(_outcome(params, answer, trouble))
    if trouble:
        raise Failed(
            f"cannot accept the answer of {params['method']} {params['url'].partition('?')[0]}: {'; '.join(trouble)}"
        )


def allowed(networks: Mapping[str, Any]) -> AddressRules:
    """The node's own exceptions, narrowed by the task."""
    texts = [text for text in os.environ.get(HTTP_ALLOW_VARIABLE, "").split(",") if text.strip()]
    return AddressRules(
        allow=parse_networks(texts, "agent.http_allow"),
        only=parse_networks(networks.get("only", ()), "params.networks.only"),
        deny=parse_networks(networks.get("deny", ()), "params.networks.deny"),
    )


def check(assertion: Mapping[str, Any], document: Any) -> str:
    """What is wrong; empty when the assertion holds."""
    path = assertion["path"]
    value = value_at(document, parse_path(path))
    if not assertion.get("exists", True):
        return "" if value is MISSING else f"{path} exists"
    if value is MISSING:
        return f"there is no {path}"
    for name, holds in _HOLDS.items():
        if name in assertion and not holds(value, assertion[name]):
            return f"{path} is {_shown(value)}, expected {_WORDS[name]}{_shown(assertion[name])}"
    return ""


def _contains(value: Any, part: Any) -> bool:
    if isinstance(value, str):
        return isinstance(part, str) and part in value
    return isinstance(value, (list, dict)) and part in value


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_HOLDS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    # 1 == True in Python, not in JSON
    "equals": lambda value, wanted: value == wanted and isinstance(value, bool) == isinstance(wanted, bool),
    "contains": _contains,
    "matches": lambda value, wanted: isinstance(value, str) and compile_pattern(wanted)(value),
    "at_least": lambda value, wanted: _number(value) and value >= wanted,
    "at_most": lambda value, wanted: _number(value) and value <= wanted,
}
_WORDS: Final = {
    "equals": "",
    "contains": "something with ",
    "matches": "a text that matches ",
    "at_least": "at least ",
    "at_most": "at most ",
}


def _trouble(params: Mapping[str, Any], answer: Answer) -> list[str]:
    found = []
    if not accepts(params["expect_status"], answer.status):
        found.append(f"status {answer.status}, expected {', '.join(map(str, params['expect_status']))}")
    assertions = params.get("assertions", ())
    if not assertions:
        return found
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return [*found, "its body is no JSON"]
    return found + [why for each in assertions if (why := check(each, document))]


def _url(params: Mapping[str, Any]) -> str:
    url: str = params["url"]
    if not params.get("query"):
        return url
    pairs = {name: str(value).lower() if isinstance(value, bool) else value for name, value in params["query"].items()}
    head = url.partition("#")[0]
    return f"{head}{'&' if '?' in head else '?'}{urlencode(pairs)}"


def _headers(params: Mapping[str, Any]) -> dict[str, str]:
    headers = dict(params.get("headers", {}))
    if "json" in params and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    return headers


def _body(params: Mapping[str, Any]) -> bytes | None:
    if "json" in params:
        return json.dumps(params["json"]).encode()
    return params["body"].encode() if "body" in params else None


def _show(answer: Answer) -> None:
    emit(f"{answer.status} {answer.reason}".rstrip())
    if answer.body:
        text = answer.body.decode("utf-8", "replace") if _is_text(answer) else f"({len(answer.body)} bytes, not text)"
        emit(text.removesuffix("\n"))


def _is_text(answer: Answer) -> bool:
    return b"\0" not in answer.body[:1024]


def _outcome(params: Mapping[str, Any], answer: Answer, trouble: list[str]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "status": answer.status,
        "content_type": answer.header("content-type"),
        "bytes": len(answer.body),
        "seconds": round(answer.seconds, 4),
        "redirects": answer.redirects,
        "url": answer.url.partition("?")[0],
        "failures": [each[:_SHOWN_CHARS] for each in trouble[:20]],
    }
    if params["save_body"]:
        out |= _saved(answer.body)
    return out


def _saved(body: bytes) -> dict[str, Any]:
    """What fits into a result whatever it is made of: as text, where escaping it does not make it too long."""
    kept, coded = body[:SAVED_BYTES_MAX], base64.b64encode(body[:SAVED_BYTES_MAX]).decode()
    try:
        text = kept.decode()
    except UnicodeDecodeError:
        text = ""
    fits = bool(text) and len(json.dumps(text)) <= SAVED_BYTES_MAX * 4 // 3
    return {"body_whole": len(body) == len(kept), **({"body": text} if fits else {"body_base64": coded})}


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


if __name__ == "__main__":
    main(KIND, run)
