"""Kind http: one HTTP request from the node, and what must be true of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.domain.executors.contract import ExecutorKind
from corral.domain.jsonpath import parse_path
from corral.domain.netguard import parse_networks, parse_url
from corral.domain.selector.pattern import BadPattern, compile_pattern

METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
READS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
BODY_BYTES: Final = 1 << 20
BODY_BYTES_MAX: Final = 64 << 20
OURS: Final = frozenset(("connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect"))
"""Headers that say how a message is framed: two opinions about that are how requests are smuggled."""
TLS_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "description": "how an https server is trusted",
    "properties": {
        "verify": {"type": "boolean", "default": True, "description": "false: take any certificate"},
        "ca_file": {
            "type": "string",
            "minLength": 1,
            "description": "PEM file on the node: trust these and nobody else",
        },
        "server_name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "description": "expect this name instead of the URL's",
        },
        "client_cert_file": {"type": "string", "minLength": 1, "description": "PEM file on the node"},
        "client_key_file": {
            "type": "string",
            "minLength": 1,
            "description": "PEM file on the node; default: in client_cert_file",
        },
    },
}
CHECKS: Final = ("equals", "contains", "matches", "exists", "at_least", "at_most")
ANY: Final = ["string", "number", "boolean", "null", "object", "array"]
_NETWORKS: Final = {"type": "array", "maxItems": 50, "items": {"type": "string", "minLength": 2, "maxLength": 50}}

SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "minLength": 8, "maxLength": 8192, "description": "http:// or https://"},
        "method": {"type": "string", "enum": list(METHODS), "default": "GET"},
        "headers": {
            "type": "object",
            "additionalProperties": {"type": "string", "maxLength": 8192},
            "description": "name: value; a secret as {{ secret.NAME }}",
        },
        "query": {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
            "description": "appended to the URL, percent-encoded",
        },
        "body": {"type": "string", "maxLength": 1 << 20, "format": "multiline", "description": "sent as it is"},
        "json": {"type": ANY, "format": "json", "description": "sent as JSON, instead of body"},
        "expect_status": {
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": {"type": ["integer", "string"], "pattern": "^[1-5]([0-9][0-9](-[1-5][0-9][0-9])?|xx)$"},
            "default": ["200-299"],
            "description": 'codes, "200-299", "2xx"',
        },
        "assertions": {
            "type": "array",
            "maxItems": 50,
            "description": "what must be true of the JSON that comes back",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["path"],
                "properties": {
                    "path": {"type": "string", "minLength": 1, "maxLength": 512, "description": '$.a.b[0]["c"]'},
                    "equals": {"type": ANY},
                    "contains": {
                        "type": ANY,
                        "description": "a part of the text, a member of the list, a key of the object",
                    },
                    "matches": {"type": "string", "maxLength": 256, "description": "a pattern found in the text"},
                    "exists": {"type": "boolean"},
                    "at_least": {"type": "number"},
                    "at_most": {"type": "number"},
                },
            },
        },
        "follow_redirects": {
            "type": "integer",
            "minimum": 0,
            "maximum": 10,
            "default": 0,
            "description": "at most this many",
        },
        "timeout_seconds": {"type": "number", "minimum": 0.1, "maximum": 3600, "default": 30},
        "max_body_bytes": {
            "type": "integer",
            "minimum": 0,
            "maximum": BODY_BYTES_MAX,
            "default": BODY_BYTES,
            "description": "a longer answer fails",
        },
        "save_body": {
            "type": "boolean",
            "default": False,
            "description": "keep the answer in the result too, up to 36 KiB",
        },
        "tls": TLS_SCHEMA,
        "networks": {
            "type": "object",
            "additionalProperties": False,
            "description": "narrows where the request may go",
            "properties": {"only": _NETWORKS, "deny": _NETWORKS},
        },
    },
}


def more(params: Mapping[str, Any]) -> None:
    """Raise Invalid for what the schema cannot say: a URL, header, path or pattern that cannot be meant."""
    # the names of the node itself are left to the node, whose configuration may allow them
    if "{{" not in params["url"]:
        parse_url(params["url"], names=())
    if "body" in params and "json" in params:
        raise Invalid("cannot send both a body and JSON: expected at most one", element="params.json")
    if params.get("method", "GET") in ("GET", "HEAD") and ("body" in params or "json" in params):
        raise Invalid(
            f"cannot send a body with {params.get('method', 'GET')}",
            element="params.method",
            hint="use POST, PUT or PATCH",
        )
    for name, value in params.get("headers", {}).items():
        _header(name, value)
    networks = params.get("networks", {})
    for key, texts in networks.items():
        parse_networks(texts, f"params.networks.{key}")
    for number, check in enumerate(params.get("assertions", ())):
        element = f"params.assertions[{number}]"
        parse_path(check["path"], f"{element}.path")
        if not any(name in check for name in CHECKS):
            raise Invalid(
                f"cannot check {check['path']!r}: nothing is expected of it",
                element=element,
                hint=f"one of {', '.join(CHECKS)}",
            )
        if "matches" in check:
            try:
                compile_pattern(check["matches"])
            except BadPattern as error:
                raise Invalid(
                    f"cannot use pattern {check['matches']!r}: {error}", element=f"{element}.matches"
                ) from None


def line(params: Mapping[str, Any]) -> str:
    """The query may hold what is nobody's business; the body and the headers even more so."""
    return f"{params.get('method', 'GET')} {params['url'].partition('?')[0]}"


def accepts(expected: list[Any], status: int) -> bool:
    """Whether `status` is among the codes and ranges of expect_status."""
    for each in map(str, expected):
        low, _, high = each.replace("xx", "00-" + each[0] + "99", 1).partition("-")
        if int(low) <= status <= int(high or low):
            return True
    return False


def _header(name: str, value: str) -> None:
    good = name and all(c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in name)
    if not good:
        raise Invalid(f"cannot send header {name[:40]!r}: that is no header name", element="params.headers")
    if name.lower() in OURS:
        raise Invalid(f"cannot send header {name!r}: it is ours to send", element=f"params.headers.{name}")
    if any(c in "\r\n\0" for c in value):
        raise Invalid(f"cannot send header {name!r}: its value holds a line break", element=f"params.headers.{name}")


KIND: Final = ExecutorKind(
    name="http",
    summary="Send one HTTP request from the node and check the answer",
    module="corral.agent.executors.http",
    permission="http.run",
    schema=SCHEMA,
    line=line,
    changes=lambda params: params.get("method", "GET") not in READS,
    more=more,
)
