"""Which labels and groups decide about access."""

from __future__ import annotations

from typing import Any

from corral.server.application.access.deciding import Deciding


async def test_it_gathers_what_every_room_stands_on(house: Any) -> None:
    await house.grant("operator", "ana", 'labels["env"] == "dev" or "canary" in groups')

    async def secrets() -> list[str]:
        return ["all", 'has labels["vault"]', "what is this ("]

    assert await Deciding((house.book.selectors, secrets))() == ({"env", "vault"}, {"canary"})


async def test_a_fact_is_no_label(house: Any) -> None:
    async def rules() -> list[str]:
        return ['facts["os"] == "linux" and labels["env"] != "dev"']

    assert await Deciding((rules,))() == ({"env"}, frozenset())
