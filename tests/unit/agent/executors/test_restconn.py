"""A stored connection to something that speaks HTTP: its URL, its TLS, who we are there, and where it may not lead."""

import base64
import ssl

import pytest
import trustme

from corral.agent.executors.contract import BadParams, Failed
from corral.agent.executors.restconn import service_of
from corral.domain.errors import Invalid


def service(connection, **options):
    return service_of(connection, **{"timeout_seconds": 5.0, "port": 9200, "scheme": "http", **options})


@pytest.mark.parametrize(
    ("connection", "base"),
    [
        ({"host": "es-1"}, "http://es-1:9200"),
        ({"host": "es-1", "port": 443, "tls": {"mode": "verify"}}, "https://es-1:443"),
        ({"host": "fd12::1", "options": {"path": "/a/b/"}}, "http://[fd12::1]:9200/a/b"),
        ({"host": "es-1", "tls": {"mode": "off"}}, "http://es-1:9200"),
        ({"host": "es-1", "options": {"scheme": "https"}}, "https://es-1:9200"),
    ],
)
def test_the_base_says_scheme_host_port_and_path(connection, base):
    assert service(connection).base == base


def test_a_path_and_a_query_are_encoded_once():
    made = service({"host": "es-1"})
    assert made.url("/a b/_doc/x%2Fy", {"q": "a&b", "on": True, "no": None, "c": ["1", "2 3"]}) == (
        "http://es-1:9200/a%20b/_doc/x%2Fy?q=a%26b&on=true&c=1&c=2%203"
    )


def test_who_we_are():
    basic = "Basic " + base64.b64encode(b"u:p").decode()
    assert service({"host": "h", "user": "u", "password": "p"}, token="Bearer").headers == {"Authorization": basic}
    assert service({"host": "h", "password": "p\n"}, token="Bearer").headers == {"Authorization": "Bearer p"}
    assert service({"host": "h"}).headers == {}
    assert "p4ss" not in repr(service({"host": "h", "password": "p4ss"}, token="Bearer"))


@pytest.mark.parametrize(
    ("connection", "element"),
    [
        (None, "connection.host"),
        ({"host": ""}, "connection.host"),
        ({"host": "h", "options": {"scheme": "gopher"}}, "connection.options.scheme"),
        ({"host": "h", "password": "a\r\nX: b"}, "connection.password"),
        ({"host": "h", "tls": {"mode": "maybe"}}, None),
    ],
)
def test_a_connection_that_cannot_be_meant_names_its_field(connection, element):
    with pytest.raises(BadParams) as refused:
        service(connection, token="Bearer")
    assert element is None or refused.value.element == element


def test_a_connection_may_lead_to_the_node_itself_and_never_to_a_metadata_service(web_server):
    assert service({"host": "127.0.0.1", "port": web_server.port}).send("GET", "/").body == b"ok"
    for host in ("169.254.169.254", "100.100.100.200", "fe80::1"):
        with pytest.raises(Invalid, match="cannot ask"):
            service({"host": host}).send("GET", "/")


def test_both_sides_show_certificates_from_texts_as_well_as_from_files(web_server, tmp_path):
    authority = trustme.CA()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    authority.configure_trust(made)
    made.verify_mode = ssl.CERT_REQUIRED
    web_server.socket = made.wrap_socket(web_server.socket, server_side=True, do_handshake_on_connect=False)
    mine = authority.issue_cert("me@example.org")
    mine.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "mine.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    files = {"mode": "verify", "ca_file": str(tmp_path / "ca.pem"), "client_cert_file": str(tmp_path / "mine.pem")}
    texts = {
        "mode": "verify",
        "ca_data": authority.cert_pem.bytes().decode(),
        "client_cert_data": "".join(pem.bytes().decode() for pem in mine.cert_chain_pems),
        "client_key_data": mine.private_key_pem.bytes().decode(),
    }
    where = {"host": "127.0.0.1", "port": web_server.port}
    for tls in (files, texts):
        assert service({**where, "tls": tls}).send("GET", "/").body == b"ok"
    with pytest.raises(Failed):
        service({**where, "tls": {"mode": "verify", "ca_file": files["ca_file"]}}).send("GET", "/")
    with pytest.raises(Failed, match="cannot trust"):
        service({**where, "tls": {"mode": "verify"}}).send("GET", "/")
