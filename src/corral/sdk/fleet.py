"""`corral.connect()`: the fleet as an object.

async with corral.connect() as fleet:
    async for line in fleet.run("uptime", on='labels["role"] == "web"'):
        print(line.node, line.text)
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from corral.sdk.api import Api
from corral.sdk.approvals import Approvals
from corral.sdk.audit import Audit
from corral.sdk.context import Context, find_context
from corral.sdk.files import Files
from corral.sdk.jobs import JobHandle, Jobs, Run, submission
from corral.sdk.nodes import Nodes, Tokens
from corral.sdk.policy import Policy
from corral.sdk.roles import Roles
from corral.sdk.rollouts import Rollouts
from corral.sdk.secrets import Connections, Secrets
from corral.sdk.sql import Sql
from corral.sdk.system import ApiTokens, System
from corral.sdk.users import Me, Users


class Fleet:
    """Everything the server offers. Connections are made when first needed and closed at the end of the `async with`."""

    def __init__(self, context: Context) -> None:
        self.context = context
        api = Api(context)
        self._api = api
        self.jobs = Jobs(api)
        self.files = Files(api)
        self.rollouts = Rollouts(api)
        self.nodes = Nodes(api)
        self.tokens = Tokens(api)
        self.api_tokens = ApiTokens(api)
        self.approvals = Approvals(api)
        self.secrets = Secrets(api)
        self.connections = Connections(api)
        self.policy = Policy(api)
        self.roles = Roles(api)
        self.sql = Sql(api)
        self.system = System(api)
        self.audit = Audit(api)
        self.users = Users(api)
        self.me = Me(api)

    def run(
        self,
        command: str | Sequence[str] | None = None,
        *,
        on: str,
        shell: bool = False,
        everyone: bool = False,
        **limits: Any,
    ) -> Run:
        """Run a command on the nodes `on` selects and iterate over its output, live. `limits` are Submission's fields.

        Raises BadSelector, NothingMatched, Denied, Unavailable; a command that fails raises nothing: look at `run.job`.
        """
        return Run(self.jobs, submission(command, on=on, shell=shell, **limits), everyone=everyone)

    async def submit(
        self, command: str | Sequence[str] | None = None, *, on: str, shell: bool = False, **limits: Any
    ) -> JobHandle:
        """Submit and return at once; the handle follows, waits, cancels."""
        return await self.jobs.submit(submission(command, on=on, shell=shell, **limits))

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Any path of the API below /api/v1, for what has no method here yet: the `data` of the answer."""
        return await self._api.call(method, path, body=body)

    async def probe(self, path: str) -> int:
        """The status of one GET outside /api/v1, such as /readyz. Raises Unavailable when nobody answers."""
        return (await self._api.probe(path))[0]

    async def close(self) -> None:
        await self._api.close()

    async def __aenter__(self) -> Fleet:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def connect(url: str | None = None, token: str | None = None, *, ca: str | None = None) -> Fleet:
    """The fleet at `url`; without arguments the one `corral up` or `corral login` wrote down (see sdk.context)."""
    return Fleet(find_context(url=url, token=token, ca=ca))
