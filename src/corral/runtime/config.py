"""Settings at the edge: flag > CORRAL__SECTION__KEY > TOML file > default, into frozen dataclasses, every value with its origin.

A schema is a frozen dataclass whose fields are section dataclasses, or one flat dataclass with a `section` name. The type and the
name of a field say how text becomes a value: `*_bytes` takes "64MiB", `*_seconds` takes "1h", `list[str]` and `tuple[str, ...]` take
a TOML array or a comma-separated text. Field metadata may hold `min`, `max` and `choices`. Whatever is unknown or wrong is refused,
naming where it stands, what was expected and what to do; nothing is guessed and nothing is ignored.

tomllib is imported only when there is a file: a node without one does not pay for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, get_type_hints

from corral.domain.errors import Invalid
from corral.runtime.conversion import convert, expected

T = TypeVar("T")

PREFIX: Final = "CORRAL__"
_MAX_FILE_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One value with where it came from: "default", "file <path>", "env <NAME>" or "flag"."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """The configuration and, for `config show --origin`, every setting of it in order."""

    value: T
    settings: tuple[Setting, ...]

    def origin(self, key: str) -> str:
        return next(setting.origin for setting in self.settings if setting.key == key)


@dataclass(frozen=True)
class _Given:
    value: Any
    origin: str


def load(
    schema: type[T],
    *,
    file: Path | None = None,
    env: Mapping[str, str],
    flags: Mapping[str, Any],
    section: str | None = None,
    required: bool = False,
    ignore: Collection[str] = (),
) -> Loaded[T]:
    """Build `schema`. Flags are "section.key" → value (None = not given). A flat schema names its `section`.

    A missing `file` is an error only when `required` (the user named it). `ignore` lists environment sections of other programs.
    """
    sections: dict[str, type[Any]] = {section: schema} if section else dict(get_type_hints(schema).items())
    given: dict[tuple[str, str], _Given] = {}
    for layer in (_from_file(file, sections, section, required), _from_env(env, sections, section, ignore)):
        given.update(layer)
    given.update(_from_flags(flags, sections))

    settings: list[Setting] = []
    built: dict[str, Any] = {}
    for name, cls in sections.items():
        built[name] = _build(name, cls, given, settings)
    value = built[section] if section else schema(**built)
    return Loaded(value, tuple(settings))


def _build(name: str, cls: type[Any], given: Mapping[tuple[str, str], _Given], settings: list[Setting]) -> Any:
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for field in dataclasses.fields(cls):
        found = given.get((name, field.name))
        if found is None:
            continue
        try:
            values[field.name] = convert(hints[field.name], field.name, found.value, field.metadata)
        except ValueError as error:
            raise _bad_value(name, field, hints[field.name], found, str(error)) from None
        origins[field.name] = found.origin
    try:
        made = cls(**values)
    except Invalid as error:
        # A rule between several keys of the section: the section says which one is the culprit.
        element = error.element or ""
        key = element.removeprefix(f"{name}.")
        where = f" ({origins[key]})" if key in origins else ""
        raise Invalid(f"{error.message}{where}", element=element or name, hint=error.hint) from None
    settings += [
        Setting(key=f"{name}.{f.name}", value=getattr(made, f.name), origin=origins.get(f.name, "default"))
        for f in dataclasses.fields(cls)
    ]
    return made


def _bad_value(name: str, field: dataclasses.Field[Any], kind: Any, found: _Given, why: str) -> Invalid:
    secret = "Secret" in str(kind)
    shown = "the value" if secret else repr(found.value)
    return Invalid(
        f"cannot use {shown} as {name}.{field.name} ({found.origin}): {why}",
        element=f"{name}.{field.name}",
        hint=f"give {expected(kind, field.name, field.metadata)}, or remove it to use the default",
    )


def _from_file(
    file: Path | None, sections: Mapping[str, type[Any]], flat: str | None, required: bool
) -> dict[tuple[str, str], _Given]:
    if file is None or (not required and not file.exists()):
        return {}
    origin = f"file {file}"
    data = _parse(file)
    if flat and flat not in data:
        data = {flat: data}
    given: dict[tuple[str, str], _Given] = {}
    for name, table in data.items():
        if name not in sections:
            raise _unknown("section", f"[{name}]", name, origin, sections)
        if not isinstance(table, dict):
            raise Invalid(
                f"cannot use {name!r} ({origin}): it is a section, expected a table",
                element=name,
                hint=f"write [{name}] on a line of its own and the keys below it",
            )
        keys = [field.name for field in dataclasses.fields(sections[name])]
        for key, value in table.items():
            if key not in keys:
                raise _unknown("key", f"{name}.{key}", key, origin, keys)
            given[name, key] = _Given(value, origin)
    return given


def _parse(file: Path) -> dict[str, Any]:
    import tomllib  # only when there is a file: see the module's docstring

    try:
        raw = file.read_bytes()
        if len(raw) > _MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {_MAX_FILE_BYTES} bytes")
        return tomllib.loads(raw.decode())
    except OSError as error:
        raise Invalid(
            f"cannot read the configuration {str(file)!r}: {(error.strerror or str(error)).lower()}",
            element=str(file),
            hint="check the path given with --config and its permissions",
        ) from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        text = str(error)
        raise Invalid(
            f"cannot read the configuration {str(file)!r}: {text[:1].lower()}{text[1:]}",
            element=str(file),
            hint='it must be TOML: [section] lines, then key = value; text in "quotes"',
        ) from None


def _from_env(
    env: Mapping[str, str], sections: Mapping[str, type[Any]], flat: str | None, ignore: Collection[str]
) -> dict[tuple[str, str], _Given]:
    given: dict[tuple[str, str], _Given] = {}
    for variable in sorted(env):
        if not variable.startswith(PREFIX):
            continue
        name, mark, key = variable.removeprefix(PREFIX).lower().partition("__")
        if name not in sections:
            # One machine may run several of our programs from one environment; a flat schema owns only its own section.
            if flat or name in ignore:
                continue
            raise _unknown("section", variable, name, "environment", sections)
        keys = [field.name for field in dataclasses.fields(sections[name])]
        if not mark or key not in keys:
            raise _unknown("key", variable, key, "environment", keys)
        given[name, key] = _Given(env[variable], f"env {variable}")
    return given


def _from_flags(flags: Mapping[str, Any], sections: Mapping[str, type[Any]]) -> dict[tuple[str, str], _Given]:
    given: dict[tuple[str, str], _Given] = {}
    for dotted, value in flags.items():
        name, _, key = dotted.partition(".")
        if name not in sections or key not in {field.name for field in dataclasses.fields(sections[name])}:
            raise LookupError(f"no setting {dotted!r}: a flag must name section.key")  # our mistake, not the user's
        if value is not None:
            given[name, key] = _Given(value, "flag")
    return given


def _unknown(what: str, shown: str, word: str, origin: str, known: Collection[str]) -> Invalid:
    import difflib  # only when something is wrong

    near = difflib.get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return Invalid(
        f"cannot use {shown!r} ({origin}): there is no such {what}",
        element=shown,
        hint=f"{hint}known: {', '.join(known)}",
    )
