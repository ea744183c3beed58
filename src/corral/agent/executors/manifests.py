"""Manifests → objects: JSON with Python alone, YAML with PyYAML where the node has it. Lists of objects are taken apart."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any, Final

from corral.agent.executors.contract import BadParams, MissingDriver
from corral.domain.executors.kubernetes import OBJECTS_MAX

NODES_MAX: Final = 200_000
"""Values in all. YAML's aliases can mean more of them than any memory holds."""


def objects(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Raises BadParams, MissingDriver."""
    documents = list(params["manifests"]) if "manifests" in params else _documents(params["manifest"])
    found = []
    left = [NODES_MAX]
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise BadParams("cannot use a manifest: expected objects", element="params.manifest")
        _count(document, left)
        found += (
            list(document["items"])
            if str(document.get("kind", "")).endswith("List") and "items" in document
            else [document]
        )
    if not found:
        raise BadParams("cannot use a manifest that holds no object", element="params.manifest")
    if len(found) > OBJECTS_MAX:
        raise BadParams(f"cannot take {len(found)} objects at once: at most {OBJECTS_MAX}", element="params.manifest")
    return found


def _documents(text: str) -> list[Any]:
    try:
        found = json.loads(text)
        return found if isinstance(found, list) else [found]
    except (ValueError, RecursionError):
        pass
    try:
        yaml = importlib.import_module("yaml")  # by name: the node side imports the standard library only
    except ImportError:
        raise MissingDriver(
            "cannot read a manifest in YAML: PyYAML is not installed on this node",
            hint="pip install 'corral[executors]', or give JSON: corral task run converts with -p manifests=@FILE",
        ) from None
    try:
        return list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadParams(
            f"cannot read the manifest: {' '.join(str(error).split())[:300]}", element="params.manifest"
        ) from None


def _count(value: Any, left: list[int]) -> None:
    waiting = [value]
    while waiting:
        left[0] -= 1
        if left[0] < 0:
            raise BadParams(f"cannot use a manifest of more than {NODES_MAX} values", element="params.manifest")
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
