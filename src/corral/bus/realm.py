"""The realm: the keys of one control plane at its engine, and every credential signed with them.

Operator → accounts SYS, CTL, NODES → users. Adding a node is signing one token: the engine learns nothing beforehand. A node's
token carries {its key, its name, an expiry} and no right; rights live in the scoped templates of bus.grants.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from corral.bus import grants
from corral.bus.claims import KeyPair, encode
from corral.domain.errors import Invalid
from corral.domain.ids import check_node_id
from corral.runtime import nkeys
from corral.runtime.clock import Clock, SystemClock
from corral.runtime.files import private_dir, write_atomic

CONNECTIONS_PER_NODE: Final = 2.5
CONNECTIONS_MIN: Final = 1000
SERVER_CONNECTIONS_MAX: Final = 256

_KEYS: Final[Mapping[str, str]] = {
    "operator": "O",
    "sys": "A",
    "ctl": "A",
    "nodes": "A",
    "ctl_signing": "A",
    "daemon_signing": "A",
    "worker_signing": "A",
    "sim_signing": "A",
}


@dataclass(frozen=True, kw_only=True)
class NodesClaims:
    """What of the NODES account changes in its life. `revoked`: user key → epoch seconds; tokens issued up to then are dead."""

    revoked: Mapping[str, int] = field(default_factory=dict)
    nodes: int = 0


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What a connection presents: a token, and the key that signs the engine's nonce."""

    jwt: str
    key: KeyPair


class Realm:
    """Keys and signatures of one control plane. Holds every secret of the engine: the file is mode 0600."""

    def __init__(self, keys: Mapping[str, KeyPair], clock: Clock | None = None) -> None:
        self._keys = keys
        self._clock: Clock = clock or SystemClock()

    @classmethod
    def create(cls, clock: Clock | None = None) -> Realm:
        return cls({name: KeyPair(prefix) for name, prefix in _KEYS.items()}, clock)

    @classmethod
    def load(cls, path: Path, clock: Clock | None = None) -> Realm:
        """Raises Invalid when the file is not a realm; FileNotFoundError when there is none."""
        try:
            seeds = json.loads(path.read_bytes())["seeds"]
            return cls({name: KeyPair.from_seed(seeds[name], prefix) for name, prefix in _KEYS.items()}, clock)
        except (ValueError, KeyError, TypeError, Invalid) as error:
            raise Invalid(
                f"cannot read the engine keys in {str(path)!r}: {error or type(error).__name__}",
                element=str(path),
                hint="restore the file from a backup: new keys lock every enrolled node out",
            ) from None

    def save(self, path: Path) -> None:
        private_dir(path.parent)
        seeds = {name: key.seed for name, key in self._keys.items()}
        write_atomic(path, json.dumps({"version": 1, "seeds": seeds}, indent=1).encode() + b"\n", mode=0o600)

    @property
    def system_account(self) -> str:
        return self._keys["sys"].public

    @property
    def server_account(self) -> str:
        return self._keys["ctl"].public

    @property
    def nodes_account(self) -> str:
        return self._keys["nodes"].public

    # -- what the engine's configuration holds

    def operator_jwt(self) -> str:
        key = self._keys["operator"]
        nats = {"type": "operator", "version": 2, "system_account": self.system_account}
        return self._sign({"sub": key.public, "name": "corral", "nats": nats}, key)

    def system_jwt(self) -> str:
        return self._account("sys", "SYS", grants.UNLIMITED)

    def server_jwt(self) -> str:
        """CTL: the servers' account, owner of every stream."""
        limits = {
            **grants.UNLIMITED,
            "conn": SERVER_CONNECTIONS_MAX,
            "mem_storage": -1,
            "disk_storage": -1,
            "streams": 64,
            "consumer": -1,
        }
        return self._account(
            "ctl",
            "CTL",
            limits,
            signing_keys=[self._keys["ctl_signing"].public],
            exports=list(grants.CTL_EXPORTS),
            imports=grants.imports(grants.NODES_EXPORTS, self.nodes_account),
        )

    def nodes_jwt(self, claims: NodesClaims) -> str:
        """NODES with all its revocations: rendered before every engine start and pushed after every change."""
        connections = max(CONNECTIONS_MIN, math.ceil(claims.nodes * CONNECTIONS_PER_NODE))
        return self._account(
            "nodes",
            "NODES",
            {**grants.UNLIMITED, "conn": connections},
            signing_keys=[grants.template(role, self._keys[f"{role}_signing"].public) for role in grants.PUBLISHES],
            exports=list(grants.NODES_EXPORTS),
            imports=grants.imports(grants.CTL_EXPORTS, self.server_account),
            revocations=dict(claims.revoked),
        )

    def account_jwts(self, claims: NodesClaims) -> dict[str, str]:
        """Account key → token, of all three: the engine's `resolver_preload`."""
        return {
            self.system_account: self.system_jwt(),
            self.server_account: self.server_jwt(),
            self.nodes_account: self.nodes_jwt(claims),
        }

    # -- credentials

    def user_daemon(self, node_id: str, public: str, expires: float) -> str:
        return self._node_user("daemon", node_id, public, expires)

    def user_worker(self, node_id: str, public: str, expires: float) -> str:
        return self._node_user("worker", node_id, public, expires)

    def user_sim(self, node_id: str, public: str, expires: float) -> str:
        """One link with the rights of daemon and worker, for simulated nodes."""
        return self._node_user("sim", node_id, public, expires)

    def user_server(self, public: str) -> str:
        nats = {**_user(self.server_account), "pub": {"allow": [">"]}, "sub": {"allow": [">"]}}
        return self._sign({"sub": public, "name": "corral-server", "nats": nats}, self._keys["ctl_signing"])

    def user_system(self, public: str) -> str:
        nats = _user(None)
        nats["pub"] = {"allow": grants.system_publishes()}
        nats["sub"] = {"allow": grants.system_hears(self.nodes_account)}
        return self._sign({"sub": public, "name": "corral-system", "nats": nats}, self._keys["sys"])

    def server_credential(self) -> Credential:
        """A key made now, for one process: it is never written down."""
        return self._fresh(self.user_server)

    def system_credential(self) -> Credential:
        return self._fresh(self.user_system)

    def _fresh(self, sign: Callable[[str], str]) -> Credential:
        key = KeyPair("U")
        return Credential(jwt=sign(key.public), key=key)

    def _node_user(self, role: str, node_id: str, public: str, expires: float) -> str:
        check_node_id(node_id)
        if nkeys.decode_public(public)[0] != "U":
            raise Invalid("cannot sign a credential: the key is not a user key", element=f"{role}_key")
        # No rights here on purpose: a scoped signing key refuses a token that carries any.
        nats = {"type": "user", "version": 2, "issuer_account": self.nodes_account, "pub": {}, "sub": {}}
        claims = {"sub": public, "name": node_id, "exp": math.ceil(expires), "nats": nats}
        return self._sign(claims, self._keys[f"{role}_signing"])

    def _account(self, key: str, name: str, limits: Mapping[str, Any], **more: Any) -> str:
        nats = {
            "type": "account",
            "version": 2,
            "limits": dict(limits),
            "default_permissions": dict(grants.DENY_ALL),
            **more,
        }
        return self._sign({"sub": self._keys[key].public, "name": name, "nats": nats}, self._keys["operator"])

    def _sign(self, claims: Mapping[str, Any], signer: KeyPair) -> str:
        return encode(claims, signer, issued_at=int(self._clock.wall()))


def _user(issuer_account: str | None) -> dict[str, Any]:
    nats: dict[str, Any] = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
    if issuer_account is not None:
        nats["issuer_account"] = issuer_account
    return nats
