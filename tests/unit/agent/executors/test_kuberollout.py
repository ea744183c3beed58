"""When a workload is rolled out, by the rules of `kubectl rollout status`."""

import pytest

from corral.agent.executors.kuberollout import trouble_of
from corral.agent.executors.kubeview import as_json, as_rows


def deployment(replicas=3, seen=2, generation=2, **status):
    return {
        "kind": "Deployment",
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": seen, **status},
    }


@pytest.mark.parametrize(
    ("workload", "trouble"),
    [
        (deployment(replicas=3), "0 of 3 updated"),
        (deployment(seen=1), "its controller has not seen the change yet"),
        (
            {**deployment(), "status": {"observedGeneration": 2, "replicas": 4, "updatedReplicas": 3}},
            "1 old still there",
        ),
        (
            {
                **deployment(),
                "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 2},
            },
            "2 of 3 available",
        ),
        (
            {
                **deployment(),
                "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3},
            },
            "",
        ),
        (deployment(replicas=0), ""),
        (
            {
                **deployment(),
                "status": {
                    "observedGeneration": 2,
                    "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}],
                },
            },
            "it made no progress within its own deadline",
        ),
        (
            {
                "kind": "StatefulSet",
                "metadata": {"generation": 1},
                "spec": {"replicas": 2},
                "status": {
                    "observedGeneration": 1,
                    "updateRevision": "b",
                    "currentRevision": "a",
                    "updatedReplicas": 1,
                },
            },
            "1 of 2 updated",
        ),
        (
            {
                "kind": "StatefulSet",
                "metadata": {"generation": 1},
                "spec": {"replicas": 2},
                "status": {"observedGeneration": 1, "updateRevision": "b", "currentRevision": "b", "readyReplicas": 1},
            },
            "1 of 2 ready",
        ),
        (
            {
                "kind": "DaemonSet",
                "metadata": {"generation": 1},
                "status": {
                    "observedGeneration": 1,
                    "desiredNumberScheduled": 2,
                    "updatedNumberScheduled": 2,
                    "numberAvailable": 2,
                },
            },
            "",
        ),
        (
            {
                "kind": "DaemonSet",
                "metadata": {"generation": 1},
                "status": {"observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": 1},
            },
            "1 of 2 updated",
        ),
        ({"kind": "Deployment", "metadata": {"generation": 1}}, "its controller has not seen the change yet"),
    ],
)
def test_a_workload_says_what_is_missing(workload, trouble):
    assert trouble_of(workload) == trouble


def test_a_table_keeps_its_columns_and_hides_the_wide_ones():
    table = {
        "kind": "Table",
        "columnDefinitions": [
            {"name": "Name", "priority": 0},
            {"name": "Node", "priority": 1},
            {"name": "Age", "priority": 0},
        ],
        "rows": [
            {"cells": ["a-long-name", "n", None], "object": {"metadata": {"name": "a-long-name", "namespace": "x"}}}
        ],
    }
    assert as_rows(table, with_namespace=False) == (["NAME          AGE", "a-long-name   <none>"], ["a-long-name"])
    lines, names = as_rows(table, with_namespace=True)
    assert (lines[0].split(), names) == (["NAMESPACE", "NAME", "AGE"], ["x/a-long-name"])
    assert as_rows({"kind": "Table", "columnDefinitions": [], "rows": None}, with_namespace=False) == ([], [])


def test_the_data_of_secrets_is_hidden_also_in_lists_and_in_what_kubectl_left_behind():
    meta = {
        "name": "s",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "TOP"},
        "managedFields": [1],
    }
    listed = {"kind": "SecretList", "items": [{"metadata": meta, "data": {"a": "TOP"}}]}
    alone = {"kind": "Secret", "metadata": meta, "stringData": {"a": "TOP"}}
    for each in (listed, alone):
        assert "TOP" not in as_json(each, secrets=False)
        assert "managedFields" not in as_json(each, secrets=False)
        assert "TOP" in as_json(each, secrets=True)
    assert "TOP" in as_json({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "TOP"}}, secrets=False)
