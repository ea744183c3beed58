"""Which URLs and addresses a task may aim a node at. Pure: nothing is resolved, nothing is asked."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import Invalid
from corral.domain.netguard import AddressRules, check_addresses, parse_networks, parse_url, refusal

ADDRESS = ipaddress.ip_address


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.9",
        "2a00:1450:4001::1",
        "fd12::1",
        "::ffff:10.0.0.1",
        "64:ff9b::808:808",
    ],
)
def test_public_and_private_addresses_may_be_asked(address):
    assert refusal(ADDRESS(address), AddressRules()) == ""


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "the node itself"),
        ("127.255.255.254", "the node itself"),
        ("::1", "the node itself"),
        ("::ffff:127.0.0.1", "the node itself"),
        ("::7f00:1", "the node itself"),
        ("64:ff9b::7f00:1", "the node itself"),
        ("64:ff9b:1::7f00:1", "translated"),
        ("64:ff9b:1:7f00:0:100::", "translated"),
        ("2002:7f00:1::1", "the node itself"),
        ("2001:0:808:808:0:0:80ff:fffe", "the node itself"),
        ("fe80::1", "link-local"),
        ("fec0::1", "link-local"),
        ("169.254.1.1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("2002:a9fe:a9fe::", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("2a00::5efe:a9fe:a9fe", "metadata"),
        ("0.0.0.0", "no address of a host"),
        ("0.1.2.3", "no address of a host"),
        ("::", "no address of a host"),
        ("224.0.0.1", "no address of a host"),
        ("ff02::1", "no address of a host"),
        ("240.0.0.1", "no address of a host"),
        ("255.255.255.255", "no address of a host"),
    ],
)
def test_what_is_no_other_host_is_refused_in_every_spelling(address, why):
    assert why in refusal(ADDRESS(address), AddressRules())


def test_one_bad_address_among_many_refuses_the_name():
    with pytest.raises(Invalid, match=r"cannot ask 'app.example': 127.0.0.1 is the node itself"):
        check_addresses("app.example", ["8.8.8.8", "10.1.1.1", "127.0.0.1"], AddressRules())
    assert check_addresses("app.example", ["8.8.8.8", "10.1.1.1"], AddressRules()) == ["8.8.8.8", "10.1.1.1"]
    with pytest.raises(Invalid, match="it has no address"):
        check_addresses("app.example", [], AddressRules())
    with pytest.raises(Invalid, match="link-local"):
        check_addresses("app.example", ["fe80::1%eth0"], AddressRules())


def test_the_node_allows_and_a_task_only_narrows():
    own = parse_networks(["127.0.0.1"], "x")
    ten = parse_networks(["10.0.0.0/8"], "x")
    assert refusal(ADDRESS("127.0.0.1"), AddressRules(allow=own)) == ""
    assert refusal(ADDRESS("::ffff:127.0.0.1"), AddressRules(allow=own)) == ""
    assert refusal(ADDRESS("127.0.0.2"), AddressRules(allow=own)) == "the node itself"
    assert "outside" in refusal(ADDRESS("8.8.8.8"), AddressRules(only=ten))
    assert refusal(ADDRESS("10.2.3.4"), AddressRules(only=ten)) == ""
    assert refusal(ADDRESS("::ffff:10.2.3.4"), AddressRules(only=ten)) == ""
    assert refusal(ADDRESS("127.0.0.1"), AddressRules(only=parse_networks(["127.0.0.0/8"], "x"))) == "the node itself"
    assert "rules out" in refusal(ADDRESS("127.0.0.1"), AddressRules(allow=own, deny=own))
    assert "rules out" in refusal(ADDRESS("::ffff:10.2.3.4"), AddressRules(deny=ten))


def test_loopback_for_a_connection_is_not_the_metadata_service():
    rules = AddressRules(loopback=True)
    assert refusal(ADDRESS("127.0.0.1"), rules) == ""
    assert refusal(ADDRESS("169.254.169.254"), rules) == "a metadata service"


def test_an_exception_for_one_reading_of_an_address_is_none_for_the_other():
    rules = AddressRules(allow=parse_networks(["2001::/32"], "x"))
    assert refusal(ADDRESS("2001:0:808:808:0:0:80ff:fffe"), rules) == "the node itself"


@pytest.mark.parametrize(
    ("text", "host", "port", "target", "netloc"),
    [
        ("http://app.example", "app.example", 80, "/", "app.example"),
        ("https://App.Example:8443/a%20b?c=d#e", "app.example", 8443, "/a%20b?c=d", "app.example:8443"),
        ("https://app.example.:443/", "app.example", 443, "/", "app.example"),
        ("http://10.0.0.1:8080/x", "10.0.0.1", 8080, "/x", "10.0.0.1:8080"),
        ("http://[2A00::0:1]:80/x", "2a00::1", 80, "/x", "[2a00::1]"),
        ("http://my_host-1.local/", "my_host-1.local", 80, "/", "my_host-1.local"),
    ],
)
def test_a_plain_url_is_understood(text, host, port, target, netloc):
    url = parse_url(text)
    assert (url.host, url.port, url.target, url.netloc) == (host, port, target, netloc)
    assert parse_url(str(url)) == url


@pytest.mark.parametrize("text", ["10.0.0.0/33", "example.com", "", "1.2.3"])
def test_what_is_no_network_is_refused(text):
    with pytest.raises(Invalid, match="as a network"):
        parse_networks([text], "params.networks.only")


@given(
    st.text(max_size=60)
    | st.builds("http://{}".format, st.text(alphabet="0123456789abcdefxX.:[]@/\\\\%#?-_", max_size=40))
)
def test_whatever_is_written_is_refused_or_means_one_plain_thing(text):
    try:
        url = parse_url(text)
    except Invalid as error:
        assert error.message.startswith("cannot ")
        return
    assert url.scheme in ("http", "https")
    assert 0 < url.port < 65536
    assert parse_url(str(url)) == url
    assert url.target.isascii()
    assert not set(url.target) & set(" \r\n\t")
    if url.host.replace(".", "").isdigit() or ":" in url.host:
        ipaddress.ip_address(url.host)


@given(st.ip_addresses(v=4))
def test_every_way_to_carry_an_address_is_judged_like_the_address(inner):
    rules = AddressRules()
    number = int(inner)
    carried = [
        0xFFFF << 32 | number,
        0x64FF9B << 96 | number,
        0x2002 << 112 | number << 80,
        0x2001 << 112 | (number ^ 0xFFFFFFFF),
    ]
    for each in carried:
        if refusal(inner, rules):
            assert refusal(ipaddress.IPv6Address(each), rules)


@given(st.ip_addresses())
def test_what_the_library_calls_loopback_link_local_or_multicast_is_always_refused(address):
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        assert refusal(address, AddressRules())
