import copy
import json
import pickle
from dataclasses import asdict, dataclass

import pytest

from corral.runtime.secret import Secret, SecretUrl

VALUE = "hunter2-correct-horse"


@dataclass(frozen=True)
class Holder:
    password: Secret


@pytest.mark.parametrize(
    "shown",
    [
        str(Secret(VALUE)),
        repr(Secret(VALUE)),
        f"{Secret(VALUE)}",
        "a" + Secret(VALUE),
        json.dumps({"password": Secret(VALUE)}),
        repr(Holder(Secret(VALUE))),
        str(asdict(Holder(Secret(VALUE)))),
        pickle.dumps(Secret(VALUE)).decode("latin-1"),
        str(copy.deepcopy(Secret(VALUE))),
        Secret(VALUE).encode().decode(),
    ],
)
def test_nothing_prints_a_secret(shown: str) -> None:
    assert VALUE not in shown


def test_only_reveal_gives_the_value() -> None:
    assert Secret(VALUE).reveal() == VALUE
    assert Secret(Secret(VALUE)).reveal() == VALUE
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("other")
    assert Secret(VALUE) != str(Secret(VALUE))
    assert not Secret()


def test_of_a_url_only_the_password_is_hidden() -> None:
    url = SecretUrl("postgresql://corral:p/w@rd@db:5432/corral?password=again&sslmode=require")
    assert str(url) == "postgresql://corral:********@db:5432/corral?password=********&sslmode=require"
    assert str(SecretUrl("postgresql://db/corral")) == "postgresql://db/corral"
