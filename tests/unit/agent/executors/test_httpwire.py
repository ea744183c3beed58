"""HTTP over a real socket: framing, limits, redirects, TLS."""

import socket
import ssl
import threading

import pytest
import trustme

from corral.agent.executors.contract import BadParams, Failed
from corral.agent.executors.httpwire import Web
from corral.domain.netguard import AddressRules

LOOPBACK = AddressRules(loopback=True)


def web(**settings):
    return Web(rules=LOOPBACK, **settings)


def test_a_request_is_sent_as_it_was_meant(web_server):
    answer = web().send(
        "POST", web_server.url("/a%20b?c=d"), headers={"X-One": "1", "Host": "other.example"}, body=b"hello"
    )
    assert (answer.status, answer.body) == (200, b"ok")
    (seen,) = web_server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/a%20b?c=d", b"hello")
    assert seen.headers["X-One"] == "1"
    assert seen.headers["Host"] == "other.example"
    assert seen.headers["Accept-Encoding"] == "identity"


def test_a_chunked_answer_is_put_together(web_server):
    web_server.answer = lambda *request: (200, {"Transfer-Encoding": "chunked"}, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert web().send("GET", web_server.url()).body == b"abcde"


def test_an_answer_that_is_too_long_is_not_taken(web_server):
    web_server.answer = lambda *request: (200, {}, b"x" * 100_000)
    with pytest.raises(Failed, match="longer than 1000 bytes"):
        web(max_body_bytes=1000).send("GET", web_server.url())
    assert len(web(max_body_bytes=100_000).send("GET", web_server.url()).body) == 100_000


def test_a_server_that_hangs_up_is_told_so(web_server):
    web_server.answer = lambda *request: (None, {}, b"")
    with pytest.raises(Failed, match=r"cannot read the answer|cannot ask"):
        web().send("GET", web_server.url())


def test_a_body_that_ends_early_is_no_answer(web_server):
    web_server.answer = lambda *request: (200, {"Content-Length": "10", "Connection": "close"}, b"abc")
    with pytest.raises(Failed, match="cannot read the answer"):
        web().send("GET", web_server.url())


def test_nobody_there_is_told_so():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(Failed, match=r"cannot connect to '127.0.0.1:\d+': Connection refused"):
            web().send("GET", f"http://127.0.0.1:{held.getsockname()[1]}/")


@pytest.mark.parametrize("drip", [b"", b"H", b"HTTP/1.1 200 OK\r\n"])
def test_the_deadline_holds_however_the_bytes_drip(drip):
    """A header that never ends: one byte each 20 ms would keep a per-read timeout happy for ever."""
    stop = threading.Event()

    def serve(listener):
        peer, _ = listener.accept()
        with peer:
            peer.sendall(drip)
            while not stop.wait(0.02):
                try:
                    peer.sendall(b"X" if drip else b"")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            with pytest.raises(Failed, match=r"no answer in 0.3 s"):
                web(timeout_seconds=0.3).send("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(303, "POST", "GET"), (302, "POST", "GET"), (307, "POST", "POST"), (301, "GET", "GET")],
)
def test_a_redirect_keeps_or_drops_the_method_as_its_status_says(web_server, status, method, then):
    web_server.answer = lambda verb, path, *rest: (
        (status, {"Location": "/two"}, b"") if path == "/" else (200, {}, b"two")
    )
    body = b"data" if method == "POST" else None
    answer = web().send(method, web_server.url(), headers={"Authorization": "Bearer x"}, body=body, redirects=1)
    assert (answer.body, answer.redirects) == (b"two", 1)
    assert web_server.seen[1].method == then
    assert web_server.seen[1].headers["Authorization"] == "Bearer x"
    assert web_server.seen[1].body == (b"data" if then == "POST" else b"")


def test_what_authorises_stays_with_its_origin(web_server):
    there = web_server.url("/two").replace("127.0.0.1", "localhost")
    web_server.answer = lambda verb, path, *rest: (302, {"Location": there}, b"") if path == "/" else (200, {}, b"two")
    resolve = lambda host, port: ["127.0.0.1"]  # noqa: E731 - shorter than a def for one address
    secret = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Api-Key": "k", "X-Other": "stays"}
    assert web(resolve=resolve).send("GET", web_server.url(), headers=secret, redirects=1).body == b"two"
    assert set(web_server.seen[1].headers) & set(secret) == {"X-Other"}


def test_a_body_does_not_follow_to_another_origin(web_server):
    there = web_server.url("/two").replace("127.0.0.1", "localhost")
    web_server.answer = lambda *request: (307, {"Location": there}, b"")
    with pytest.raises(Failed, match="the body would go to another origin"):
        web(resolve=lambda host, port: ["127.0.0.1"]).send("POST", web_server.url(), body=b"secret", redirects=1)
    assert len(web_server.seen) == 1


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def tls_server(web_server, authority):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("app.example").configure_cert(made)
    web_server.names = []
    made.sni_callback = lambda sock, name, context: web_server.names.append(name)
    web_server.socket = made.wrap_socket(web_server.socket, server_side=True, do_handshake_on_connect=False)
    return web_server


def test_tls_is_checked_against_the_name_and_goes_to_the_checked_address(tls_server, authority, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    url = f"https://app.example:{tls_server.port}/"
    resolve = lambda host, port: ["127.0.0.1"]  # noqa: E731 - shorter than a def for one address
    tls = {"ca_file": str(tmp_path / "ca.pem")}
    assert web(resolve=resolve, tls=tls).send("GET", url).body == b"ok"
    assert tls_server.names == ["app.example"]
    with pytest.raises(Failed, match=r"cannot trust 'app.example"):
        web(resolve=resolve).send("GET", url)
    with pytest.raises(Failed, match=r"cannot trust 'other.example"):
        web(resolve=resolve, tls=tls).send("GET", url.replace("app.", "other."))
    assert (
        web(resolve=resolve, tls={**tls, "server_name": "app.example"}).send("GET", url.replace("app.", "other.")).body
        == b"ok"
    )
    assert web(resolve=resolve, tls={"verify": False}).send("GET", url).body == b"ok"


def test_a_redirect_out_of_tls_is_not_followed(tls_server, authority, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls_server.answer = lambda *request: (302, {"Location": "http://app.example/"}, b"")
    with pytest.raises(Failed, match="it leaves TLS"):
        web(resolve=lambda host, port: ["127.0.0.1"], tls={"ca_file": str(tmp_path / "ca.pem")}).send(
            "GET", f"https://app.example:{tls_server.port}/", redirects=1
        )


@pytest.mark.parametrize("tls", [{"ca_file": "/nowhere.pem"}, {"client_cert_file": "/nowhere.pem"}])
def test_tls_files_that_cannot_be_read_are_bad_params(web_server, tls):
    with pytest.raises(BadParams, match="No such file"):
        web(tls=tls).send("GET", web_server.url().replace("http:", "https:"))
