"""Use cases of secrets: set, describe, list, delete, and a new master key. A value goes in and never comes back out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corral.domain.errors import Conflict, Invalid, NotFound, TooLarge
from corral.domain.secret import VALUE_BYTES_MAX, check_secret_name
from corral.domain.selector.standing import check_standing
from corral.runtime.clock import Clock
from corral.server.application.ports.access import Caller
from corral.server.application.ports.secrets import Cipher, MasterKey, SealedSecret, SecretEntry, SecretStore


class SecretBook:
    """`changed` hears of every name whose value is another now."""

    def __init__(
        self,
        *,
        store: SecretStore,
        master: MasterKey,
        cipher: Cipher,
        clock: Clock,
        changed: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._store = store
        self._master = master
        self._cipher = cipher
        self._clock = clock
        self._changed = changed

    async def set(
        self, caller: Caller, name: str, value: str, *, selector: str | None = None, description: str | None = None
    ) -> SecretEntry:
        """Give it a value, a new version of it. Raises Invalid, TooLarge, BadSelector, Conflict."""
        check_secret_name(name)
        if not value:
            raise Invalid(
                f"cannot set secret {name!r} to nothing", element="value", hint="'corral secret delete' removes it"
            )
        if len(value.encode("utf-8", "surrogatepass")) > VALUE_BYTES_MAX:
            raise TooLarge(
                f"cannot keep a secret of {len(value)} characters: at most {VALUE_BYTES_MAX} bytes", element="value"
            )
        if "\0" in value or not _is_text(value):
            raise Invalid(
                "cannot keep this secret: it is no text, or holds a NUL", element="value", hint="store bytes as base64"
            )
        have = await self._entry(name)
        entry = SecretEntry(
            name=name,
            version=1 if have is None else have.version + 1,
            selector=_selector(selector, have),
            description=(have.description if have else "") if description is None else description[:500],
            changed_at=self._clock.now(),
            changed_by=caller.name,
        )
        context = context_of(name, entry.version)
        sealed, key = self._cipher.seal(value.encode(), context=context)
        wrapped = SealedSecret(
            name=name, version=entry.version, value=sealed, key=self._master.seal(key, context=context)
        )
        if not await self._store.put(entry, wrapped, after=entry.version - 1):
            raise Conflict(
                f"cannot set secret {name!r}: somebody else is setting it", element="name", hint="look, then try again"
            )
        self._changed(name)
        return entry

    async def describe(
        self, caller: Caller, name: str, *, selector: str | None = None, description: str | None = None
    ) -> SecretEntry:
        """Change who may get it, or what is said of it; the value stays."""
        have = await self._entry(name)
        if have is None:
            raise no_secret(name)
        entry = SecretEntry(
            name=name,
            version=have.version,
            selector=_selector(selector, have),
            description=have.description if description is None else description[:500],
            changed_at=self._clock.now(),
            changed_by=caller.name,
        )
        if not await self._store.describe(entry):
            raise no_secret(name)
        return entry

    async def list(self, caller: Caller) -> Sequence[SecretEntry]:
        return await self._store.entries()

    async def delete(self, caller: Caller, name: str) -> None:
        """Tasks that still name it fail, saying so."""
        if not await self._store.delete(name):
            raise no_secret(name)
        self._changed(name)

    async def rotate(self, caller: Caller) -> int:
        """Seal the key of every secret with a new master key; returns how many. Cut short, it is repeated without harm."""
        self._master.begin_rotation()
        rewrapped = {}
        for sealed in await self._store.sealed():
            if self._master.made_by_current(sealed.key):
                continue
            context = context_of(sealed.name, sealed.version)
            plain = self._master.open(sealed.key, context=context)
            rewrapped[sealed.name, sealed.version] = self._master.seal(plain, context=context)
        await self._store.rewrap(rewrapped)
        if all(self._master.made_by_current(sealed.key) for sealed in await self._store.sealed()):
            self._master.end_rotation()
        return len(rewrapped)

    async def _entry(self, name: str) -> SecretEntry | None:
        found = await self._store.entries([name])
        return found[0] if found else None


def context_of(name: str, version: int) -> str:
    """What binds sealed bytes to where they stand: neither name nor version can be exchanged in the table."""
    return f"secret:{name}:{version}"


def no_secret(name: str) -> NotFound:
    return NotFound(
        f"cannot find secret {name[:64]!r}: there is none", element="name", hint="corral secret list; corral secret set"
    )


def _selector(given: str | None, have: SecretEntry | None) -> str:
    if given is None:
        return have.selector if have else "all"
    check_standing(given)
    return given


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
