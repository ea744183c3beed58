"""The node as one file: a zipapp of domain, runtime, protocol and agent that any Python 3.11+ runs without a single package.

Reproducible: the same sources make the same bytes, so a digest names a release. Beside each source lies its bytecode for the Python
that built it (checked by nothing, ignored by another Python): starting from it costs less time and less memory than compiling.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import corral
from corral.runtime.files import write_atomic

PARTS: Final = ("domain", "runtime", "protocol", "agent")
_ALONE: Final = ("__init__.py", "__main__.py")
_SHEBANG: Final = b"#!/usr/bin/env python3\n"
_MAIN: Final = "import sys\n\nfrom corral.__main__ import main\n\nsys.exit(main())\n"
_WHEN: Final = (1980, 1, 1, 0, 0, 0)
_UNCHECKED_HASH: Final = 0b01


def build_bundle(path: Path) -> str:
    """Write the zipapp to `path` (mode 0755, replaced atomically) and return its SHA-256 in hex."""
    data = bundle_bytes()
    write_atomic(path, data, mode=0o755)
    return hashlib.sha256(data).hexdigest()


def bundle_bytes() -> bytes:
    buffer = io.BytesIO()
    buffer.write(_SHEBANG)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        _add(archive, "__main__.py", _MAIN.encode())
        for name, source in _sources():
            _add(archive, name, source)
            _add(archive, f"{name}c", _bytecode(name, source))
    return buffer.getvalue()


def _sources() -> Iterator[tuple[str, bytes]]:
    root = Path(corral.__file__).parent
    files = [root / name for name in _ALONE]
    for part in PARTS:
        files += sorted((root / part).rglob("*.py"))
    for file in files:
        yield f"corral/{file.relative_to(root).as_posix()}", file.read_bytes()


def _bytecode(name: str, source: bytes) -> bytes:
    """A hash-based, unchecked .pyc (PEP 552): valid whatever the file times say."""
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    # Format 2 of marshal writes no back references: those depend on the reference counts of the moment.
    body = marshal.dumps(code, 2)
    flags = _UNCHECKED_HASH.to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + body


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _WHEN)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    archive.writestr(entry, data)
