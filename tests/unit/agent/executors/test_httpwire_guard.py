"""Forty ways to make a node ask itself, its link or a metadata service. The connector records and never connects."""

import pytest

from corral.agent.executors.contract import Failed
from corral.agent.executors.httpwire import Web
from corral.domain.errors import Invalid
from corral.domain.netguard import AddressRules

NAMES = {
    "inside.example": ["127.0.0.1"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "mixed.example": ["93.184.216.34", "169.254.169.254"],
    "mixed6.example": ["2a00::1", "fe80::1"],
    "nat64.example": ["64:ff9b::a9fe:a9fe"],
    "cloud.example": ["fd00:ec2::254"],
    "any.example": ["0.0.0.0"],
    "group.example": ["224.0.0.251"],
    "local": ["127.0.0.1"],
}
FORTY = [
    "http://127.0.0.1/",
    "http://127.0.0.1:4222/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1.:80/",
    "http://0/",
    "http://0.0.0.0/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://app.localhost/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[fe80::1%25eth0]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/",
    "http://100.100.100.200/",
    "http://user@127.0.0.1/",
    "http://good.example\\@127.0.0.1/",
    "http://good.example@127.0.0.1#@other.example/",
    "http://127。0。0。1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127%2e0%2e0%2e1/",
    "http://good.example%00.127.0.0.1/",
    "http://127.0.0.1\t/",
    "http:///127.0.0.1/",
    "http:127.0.0.1",
    *(f"http://{name}/" for name in NAMES),
    "file:///etc/shadow",
    "gopher://good.example:6379/_FLUSHALL",
    "ftp://good.example/",
    "dict://good.example:11211/stats",
    "//good.example/",
    "http://good.example:0/",
    "http://good.example:99999/",
    "http://good.example:80:80/",
    "http://good.example/ HTTP/1.1\r\nHost: 127.0.0.1",
    "http://[::1/",
    "http://",
    "",
]


class Recorder:
    """A connector that remembers and refuses, and a resolver without a network."""

    def __init__(self, names=NAMES):
        self.names = names
        self.resolved = []
        self.connected = []

    def resolve(self, host, port):
        self.resolved.append(host)
        found = self.names.get(host)
        return found(len(self.resolved)) if callable(found) else found or [host]

    def connect(self, address, port, timeout_seconds):
        self.connected.append((address, port))
        raise ConnectionRefusedError(111, "Connection refused")

    def web(self, **rules):
        return Web(rules=AddressRules(**rules), resolve=self.resolve, connect=self.connect)


@pytest.mark.parametrize("url", FORTY)
def test_a_hostile_url_reaches_nobody(url):
    recorder = Recorder()
    with pytest.raises(Invalid) as refused:
        recorder.web().send("GET", url)
    assert refused.value.message.startswith("cannot ask ")
    assert recorder.connected == []


def test_there_are_at_least_forty_of_them_and_none_twice():
    assert len(set(FORTY)) == len(FORTY) >= 40


@pytest.mark.parametrize("url", ["http://good.example/", "http://10.0.0.5:8080/x", "https://[2a00::5]/"])
def test_the_recorder_would_have_noticed(url):
    recorder = Recorder({"good.example": ["93.184.216.34"]})
    with pytest.raises(Failed, match="Connection refused"):
        recorder.web().send("GET", url)
    assert len(recorder.connected) == 1


def test_a_name_that_answers_differently_the_second_time_gains_nothing():
    recorder = Recorder({"turning.example": lambda times: ["93.184.216.34"] if times == 1 else ["127.0.0.1"]})
    with pytest.raises(Failed, match="Connection refused"):
        recorder.web().send("GET", "http://turning.example/")
    assert recorder.resolved == ["turning.example"]
    assert recorder.connected == [("93.184.216.34", 80)]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "//2130706433/",
        "http://inside.example/",
        "file:///etc/passwd",
        "http://[::ffff:127.0.0.1]/",
    ],
)
def test_a_redirect_is_judged_like_the_first_request(web_server, location):
    web_server.answer = lambda *request: (302, {"Location": location}, b"")
    other = f"127.0.0.1:{web_server.port}"
    recorder = Recorder({**NAMES, "start.example": ["93.184.216.34"]})
    import socket

    reached = []

    def connect(address, port, timeout_seconds):
        reached.append(address)
        return socket.create_connection(("127.0.0.1", int(other.rpartition(":")[2])), timeout_seconds)

    web = Web(resolve=recorder.resolve, connect=connect)
    with pytest.raises(Invalid, match="cannot ask "):
        web.send("GET", "http://start.example/", redirects=5)
    assert reached == ["93.184.216.34"]


def test_a_chain_of_redirects_ends(web_server):
    web_server.answer = lambda method, path, *rest: (302, {"Location": f"/{int(path.strip('/') or 0) + 1}"}, b"")
    web = Web(rules=AddressRules(loopback=True))
    answer = web.send("GET", web_server.url("/0"), redirects=10)
    assert (answer.status, answer.redirects, len(web_server.seen)) == (302, 10, 11)
