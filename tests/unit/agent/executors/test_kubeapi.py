"""Which cluster is meant, and what a refusal says."""

import pytest

from corral.agent.executors import kubeapi
from corral.agent.executors.contract import BadParams, Failed, Request
from corral.agent.executors.kubeapi import Missing, cluster_of, refused


def request_of(**connection):
    params = {"timeout_seconds": 30.0}
    return Request(kind="kubernetes", params=params, connection=connection, deadline_seconds=5.0, dry_run=False)


def test_a_connection_names_the_cluster_its_port_and_its_namespace():
    cluster = cluster_of(request_of(host="api.example", password="token", database="shop"))
    assert (cluster.service.base, cluster.namespace) == ("https://api.example:6443", "shop")
    assert cluster.service.headers == {"Authorization": "Bearer token"}
    assert cluster.service.web.timeout_seconds == 5.0
    assert cluster_of(request_of(host="api.example", options={"namespace": "other"})).namespace == "other"
    assert cluster_of(request_of(host="api.example")).namespace == "default"


def test_in_cluster_takes_what_kubernetes_puts_into_a_pod(tmp_path, monkeypatch):
    monkeypatch.setattr(kubeapi, "IN_CLUSTER", tmp_path)
    with pytest.raises(BadParams, match="cannot use the cluster this node is in: No such file"):
        cluster_of(request_of(host="in-cluster"))
    for name, text in (("token", "abc\n"), ("namespace", "mine\n"), ("ca.crt", "x")):
        (tmp_path / name).write_text(text)
    cluster = cluster_of(request_of(host="in-cluster"))
    assert (cluster.service.base, cluster.namespace) == ("https://kubernetes.default.svc:443", "mine")
    assert cluster.service.headers == {"Authorization": "Bearer abc"}
    assert cluster.service.web.tls["ca_file"] == str(tmp_path / "ca.crt")
    assert cluster.service.web.tls["verify"] is True


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (404, b'{"reason": "NotFound", "message": "pods x not found"}', Missing, "pods x not found"),
        (403, b'{"reason": "Forbidden", "message": "no"}', Failed, "no (status 403)"),
        (500, b"<html>", Failed, "<html>"),
        (502, b"", Failed, "no reason given"),
        (503, b"[1]", Failed, "status 503"),
    ],
)
def test_a_refusal_says_what_the_api_said(status, body, kind, words):
    error = refused(status, body, "GET /x")
    assert type(error) is kind
    assert words in error.message
