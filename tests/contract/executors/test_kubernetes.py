"""Kind kubernetes against a real API server (where its programs are) and against the stand-in, the same tests for both.

No kubelet and no controllers behind the real one: logs, exec and roll-outs are shown with the stand-in alone.
"""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from corral.domain.errors import Invalid
from corral.domain.executors.kubernetes import KIND, line, more
from corral.domain.schema import check, check_schema
from corral.testing import fake_kubernetes, kubernetes

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop, labels: {app: web}}
data: {colour: blue, size: "10"}
---
# a comment alone
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""


def settings(**data):
    meta = {"name": "settings", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


@pytest.fixture(scope="module")
def real():
    try:
        with kubernetes.running() as server:
            yield server
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def stand_in():
    with fake_kubernetes.running() as cluster:
        yield cluster


@pytest.fixture
def task(tmp_path):
    """Runs the child; says code, out, err, result."""

    def run(server, operation, *, dry_run=False, deadline=60.0, connection=None, **params):
        outcome = tmp_path / "result"
        outcome.unlink(missing_ok=True)
        document = {
            "v": 1,
            "kind": "kubernetes",
            "params": {"operation": operation, **params},
            "connection": connection or server.connection(),
            "deadline_seconds": deadline,
            "dry_run": dry_run,
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", "corral.agent.executors.kubernetes"],
            input=json.dumps(document).encode(),
            capture_output=True,
            timeout=90,
            check=False,
            env={**os.environ, "CORRAL_RESULT": str(outcome)},
        )
        result = json.loads(outcome.read_bytes()) if outcome.exists() else None
        return SimpleNamespace(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode(), result=result)

    return run


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.kubernetes), "stand-in"])
def api(request, task):
    """A cluster where nothing of ours is yet; `api(operation, …)` runs a task there."""
    server = request.getfixturevalue("real" if request.param == "real" else "stand_in")

    def run(operation, **params):
        return task(server, operation, **params)

    run.server = server
    if request.param == "real":
        # no controller empties a namespace that is deleted, so what lies in it goes one by one
        for kind in ("deploy", "cm", "secret"):
            done = run("get", kind=kind, namespace="shop", output="name")
            for name in done.out.split() if "no objects" not in done.out else ():
                assert run("delete", kind=kind, name=name, namespace="shop").code == 0
    return run


def test_apply_creates_then_says_unchanged_then_configures(api):
    done = api("apply", manifest=WEB)
    assert (done.code, done.err) == (0, "")
    assert [row["kind"] for row in done.result["objects"]] == ["Namespace", "Deployment", "ConfigMap"]
    assert done.out.splitlines()[1:] == ["Deployment/web in shop: created", "ConfigMap/settings in shop: created"]
    again = api("apply", manifest=WEB)
    assert [row["outcome"] for row in again.result["objects"]] == ["unchanged"] * 3
    assert again.result["changed"] == 0
    other = api("apply", manifest=WEB.replace("blue", "red"))
    assert [row["outcome"] for row in other.result["objects"]] == ["unchanged", "unchanged", "configured"]
    shown = json.loads(api("get", kind="cm", name="settings", namespace="shop", output="json").out)
    assert shown["data"] == {"colour": "red", "size": "10"}
    assert "managedFields" not in shown["metadata"]


def test_a_dry_run_is_the_clusters_own_and_changes_nothing(api):
    api("apply", manifest=WEB)
    done = api("apply", manifests=[settings(colour="green", size="10")], dry_run=True)
    assert (done.code, done.out) == (0, "ConfigMap/settings in shop: would be configured\n")
    assert api("delete", kind="cm", name="settings", namespace="shop", dry_run=True).code == 0
    assert api("scale", kind="deploy", name="web", namespace="shop", replicas=9, dry_run=True).code == 0
    shown = json.loads(api("get", kind="cm", name="settings", namespace="shop", output="json").out)
    assert shown["data"]["colour"] == "blue"
    assert (
        json.loads(api("get", kind="deploy", name="web", namespace="shop", output="json").out)["spec"]["replicas"] == 2
    )


def test_what_others_manage_is_a_conflict_until_it_is_forced(api):
    api("apply", manifest=WEB)
    assert api("apply", manifests=[settings(colour="pink")], field_manager="team", force=True).code == 0
    done = api("apply", manifests=[settings(colour="black")])
    assert done.code == 1
    assert 'conflict with "team"' in done.err
    assert "hint: others manage" in done.err
    assert api("apply", manifests=[settings(colour="black")], force=True).code == 0


def test_the_first_refusal_ends_it_and_the_outcome_says_how_far_it_came(api):
    api("apply", manifest=WEB)
    bad = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": "nowhere"},
        "data": {"a": "b"},
    }
    done = api("apply", manifests=[settings(colour="grey"), bad, settings(colour="white")], force=True)
    assert done.code == 1
    assert 'namespaces "nowhere" not found' in done.err
    assert [row["outcome"] for row in done.result["objects"]] == ["configured"]


def test_everything_is_looked_up_before_anything_is_changed(api):
    api("apply", manifest=WEB)
    strange = {"apiVersion": "nobody.example/v1", "kind": "Thing", "metadata": {"name": "x"}}
    done = api("apply", manifests=[settings(colour="teal"), strange], force=True)
    assert done.code == 1
    assert "cannot find kind 'Thing' in 'nobody.example/v1'" in done.err
    shown = json.loads(api("get", kind="cm", name="settings", namespace="shop", output="json").out)
    assert shown["data"]["colour"] == "blue"


def test_get_shows_the_clusters_own_table(api):
    api("apply", manifest=WEB)
    lines = api("get", kind="configmaps", namespace="shop", selector="app=web").out.splitlines()
    assert lines[0].split()[0] == "NAME"
    assert lines[0].split()[-1] == "AGE"
    assert lines[1].split()[0] == "settings"
    everywhere = api("get", kind="ConfigMap", all_namespaces=True)
    assert everywhere.out.split()[0] == "NAMESPACE"
    assert "shop" in everywhere.out
    assert api("get", kind="cm", namespace="shop", output="name").out == "settings\n"
    assert api("get", kind="cm", namespace="shop", selector="app=none").out == "no objects\n"


def test_scale_and_restart_say_what_became_of_it(api):
    api("apply", manifest=WEB)
    done = api("scale", kind="deploy", name="web", namespace="shop", replicas=5)
    assert (done.code, done.out) == (0, "Deployment/web in shop: scaled from 2 to 5\n")
    assert done.result["replicas_before"] == 2
    assert api("scale", kind="deploy", name="web", namespace="shop", replicas=5).result["changed"] == 0
    assert api("rollout_restart", kind="Deployment", name="web", namespace="shop").code == 0
    shown = json.loads(api("get", kind="deploy", name="web", namespace="shop", output="json").out)
    assert shown["spec"]["replicas"] == 5
    assert "kubectl.kubernetes.io/restartedAt" in shown["spec"]["template"]["metadata"]["annotations"]


def test_a_roll_out_that_does_not_come_is_given_up(api):
    if isinstance(api.server, fake_kubernetes.FakeCluster):
        api.server.rolls_out = False
    done = api("apply", manifest=WEB, wait_seconds=0.2)
    assert done.code == 1
    assert (
        "cannot see Deployment/web in shop rolled out in 0.2 s: its controller has not seen the change yet" in done.err
    )
    assert len(done.result["objects"]) == 3


def test_delete_takes_by_name_by_selector_and_by_manifest(api):
    api("apply", manifest=WEB)
    assert api("delete", kind="cm", name="settings", namespace="shop").out == "ConfigMap/settings in shop: deleted\n"
    missing = api("delete", kind="cm", name="settings", namespace="shop")
    assert (missing.code, "not found" in missing.err) == (1, True)
    assert api("delete", kind="cm", name="settings", namespace="shop", ignore_missing=True).result["changed"] == 0
    api("apply", manifest=WEB)
    assert api("delete", kind="cm", selector="app=web", namespace="shop").result["count"] == 1
    assert api("delete", kind="cm", selector="app=web", namespace="shop").out == "nothing to delete\n"
    done = api("delete", manifests=[yaml.safe_load(WEB.split("---")[0])])
    assert done.out == "Deployment/web in shop: deleted\n"


def test_what_a_secret_holds_is_not_shown_unless_it_is_meant(api):
    api("apply", manifest=WEB)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "namespace": "shop"},
        "data": {"a": "c2VjcmV0"},
    }
    api("apply", manifests=[secret])
    for form in ("table", "json", "name"):
        assert "c2VjcmV0" not in api("get", kind="secret", namespace="shop", output=form).out
    assert '"a": "(hidden)"' in api("get", kind="secret", name="key", namespace="shop", output="json").out
    assert "c2VjcmV0" in api("get", kind="secret", namespace="shop", output="json", show_secrets=True).out


def test_a_token_that_is_no_good_is_said(api):
    done = api("get", kind="pods", connection=api.server.connection("wrong"))
    assert done.code == 1
    assert "status 401" in done.err
    assert "hint: is the connection's token still valid?" in done.err


@pytest.mark.kubernetes
def test_the_role_that_ships_is_enough_and_no_more(real, task):
    """deploy/kubernetes: what the executor does in its namespace works with it, and nothing beyond."""
    from pathlib import Path

    folder = Path(__file__).parents[3] / "deploy" / "kubernetes"
    admin = real.connection()
    shop = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    assert task(real, "apply", manifests=[shop], connection=admin).code == 0
    for name in ("role.yaml",):
        text = (folder / name).read_text().replace("YOUR-NAMESPACE", "shop")
        documents = [each for each in yaml.safe_load_all(text) if each]
        for each in documents:
            for subject in each.get("subjects", ()):
                subject.clear()
                user = {"kind": "User", "name": kubernetes.LIMITED_USER, "apiGroup": "rbac.authorization.k8s.io"}
                subject.update(user)
        if name == "role.yaml":
            assert task(real, "apply", manifests=documents, connection=admin, force=True).code == 0
    limited = real.connection(kubernetes.LIMITED_TOKEN, namespace="shop")
    web = "---".join(WEB.split("---")[:2])
    for operation, params in (
        ("apply", {"manifest": web, "force": True}),
        ("get", {"kind": "deploy"}),
        ("get", {"kind": "pods", "output": "json"}),
        ("scale", {"kind": "deploy", "name": "web", "replicas": 3}),
        ("rollout_restart", {"kind": "deploy", "name": "web"}),
        ("delete", {"kind": "cm", "name": "settings"}),
    ):
        done = task(real, operation, connection=limited, **params)
        assert (done.code, done.err) == (0, ""), operation
    for operation, params in (
        ("get", {"kind": "secret"}),
        ("get", {"kind": "deploy", "namespace": "default"}),
        ("get", {"kind": "nodes"}),
        ("delete", {"kind": "ns", "name": "shop"}),
        (
            "apply",
            {
                "manifests": [
                    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "more"}}
                ]
            },
        ),
        ("exec", {"name": "web", "command": ["id"]}),
    ):
        done = task(real, operation, connection=limited, **params)
        assert (done.code, "status 403" in done.err) == (1, True), (operation, params, done.err)


def test_a_kind_the_cluster_knows_and_we_do_not_is_looked_up(stand_in, task):
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}}
    assert task(stand_in, "apply", manifests=[widget]).out == "Widget/w in default: created\n"
    done = task(stand_in, "get", kind="widgets", api_version="example.com/v1", output="name")
    assert (done.code, done.out) == (0, "w\n")


def test_the_namespace_is_the_objects_then_the_tasks_then_the_connections(stand_in, task):
    for name in ("one", "two"):
        task(stand_in, "apply", manifests=[{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    assert "in one" in task(stand_in, "apply", manifests=[plain], connection=stand_in.connection(namespace="one")).out
    done = task(stand_in, "apply", manifests=[plain], namespace="two", connection=stand_in.connection(namespace="one"))
    assert "in two" in done.out
    own = {**plain, "metadata": {"name": "c", "namespace": "one"}}
    done = task(stand_in, "apply", manifests=[own], namespace="two")
    assert (done.code, "its manifest says 'one'" in done.err) == (2, True)


def test_a_workload_that_rolls_out_is_waited_for(stand_in, task):
    done = task(stand_in, "apply", manifest=WEB, wait_seconds=10)
    assert (done.code, done.out.splitlines()[-1]) == (0, "Deployment/web in shop: rolled out")


@pytest.fixture
def pods(stand_in):
    for name in ("web-a", "web-b"):
        meta = {"name": name, "namespace": "default", "labels": {"app": "web"}}
        stand_in.objects[f"/api/v1/namespaces/default/pods/{name}"] = {"kind": "Pod", "metadata": meta}
        stand_in.logs[name] = f"first of {name}\nsecond\n"
    return stand_in


def test_logs_of_one_pod_and_of_many(pods, task):
    assert task(pods, "logs", name="web-a").out == "first of web-a\nsecond\n"
    assert task(pods, "logs", name="web-a", tail_lines=1).out == "second\n"
    done = task(pods, "logs", selector="app=web", tail_lines=1)
    assert done.out == "web-a: second\nweb-b: second\n"
    assert task(pods, "logs", selector="app=none").out == "no pods\n"


def test_exec_brings_both_streams_and_the_exit_code(pods, task):
    seen = []

    def run(argv):
        seen.append(argv)
        return 3, b"o" * 70_000 + b"\n", b"trouble\n"

    pods.run = run
    done = task(pods, "exec", name="web-a", container="web", command=["sh", "-c", "a b; c&d"])
    assert seen == [["sh", "-c", "a b; c&d"]]
    assert done.code == 1
    assert done.out == "o" * 70_000 + "\n"
    assert done.err.startswith(
        "trouble\ncannot run the command in Pod/web-a in default: command terminated with non-zero"
    )
    assert done.result["exit_code"] == 3
    pods.run = lambda argv: (0, b"fine\n", b"")
    assert task(pods, "exec", name="web-a", command=["true"]).out == "fine\n"
    assert (
        task(pods, "exec", name="web-a", command=["true"], dry_run=True).out
        == "would run in Pod/web-a in default: true\n"
    )


def test_exec_that_is_refused_says_why(pods, task):
    done = task(pods, "exec", name="nobody", command=["true"])
    assert (done.code, 'pods "nobody" not found' in done.err) == (1, True)
    pods.denied.add("pods")
    done = task(pods, "exec", name="web-a", command=["true"])
    assert "hint: the connection's account lacks a right" in done.err


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("a: [", "cannot read the manifest"),
        ("just text", "expected objects"),
        ("---\n---\n", "holds no object"),
        ("kind: Pod\n", "every object needs apiVersion"),
        ('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/../b"}}', "as the name of a Pod"),
        (
            "x: &x [1, 1]\n"
            + "".join(f"x{n}: &x{n} [{', '.join(['*x' + (str(n - 1) if n else '')] * 9)}]\n" for n in range(9)),
            "200000 values",
        ),
        ("!!python/object/apply:os.getcwd []", "cannot read the manifest"),
    ],
)
def test_a_manifest_that_cannot_be_meant_reaches_nobody(stand_in, task, manifest, words):
    done = task(stand_in, "apply", manifest=manifest)
    assert (done.code, stand_in.requests) == (2, [])
    assert words in done.err


def test_a_list_is_taken_apart(stand_in, task):
    both = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}} for name in "ab"]
    done = task(stand_in, "apply", manifest=json.dumps({"apiVersion": "v1", "kind": "List", "items": both}))
    assert [row["name"] for row in done.result["objects"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("params", "element"),
    [
        ({"operation": "apply"}, "params.manifest"),
        ({"operation": "apply", "manifest": "a", "manifests": [{}]}, "params.manifests"),
        ({"operation": "get"}, "params.kind"),
        ({"operation": "get", "kind": "Gadget"}, "params.kind"),
        ({"operation": "get", "kind": "pods", "replicas": 3}, "params.replicas"),
        ({"operation": "delete", "kind": "pods"}, "params.name"),
        ({"operation": "delete"}, "params.kind"),
        ({"operation": "delete", "kind": "pods", "name": "a", "selector": "b=c"}, "params.selector"),
        ({"operation": "scale", "kind": "deploy", "name": "web"}, "params.replicas"),
        ({"operation": "scale", "kind": "pods", "name": "web", "replicas": 1}, "params.kind"),
        ({"operation": "rollout_restart", "kind": "rs", "name": "web"}, "params.kind"),
        ({"operation": "logs"}, "params.name"),
        ({"operation": "exec", "name": "a"}, "params.command"),
        ({"operation": "exec", "name": "a/../../secrets", "command": ["x"]}, "params.name"),
        ({"operation": "get", "kind": "pods", "namespace": "../x"}, "params.namespace"),
        ({"operation": "get", "kind": "Gadget", "api_version": "a/../b?"}, "params.api_version"),
    ],
)
def test_params_that_cannot_be_meant_name_their_field(params, element):
    with pytest.raises(Invalid) as refused:
        check(KIND.schema, params)
        more(params)
    assert refused.value.element == element


def test_a_line_for_people():
    check_schema(KIND.schema)
    assert line({"operation": "apply", "manifest": WEB}) == "apply 4 objects"
    assert line({"operation": "scale", "kind": "deploy", "name": "web", "namespace": "shop", "replicas": 3}) == (
        "scale deploy web in shop to 3"
    )
    assert line({"operation": "exec", "name": "a", "command": ["ls", "/"]}) == "exec pod a: ls /"
    assert [KIND.changes({"operation": name}) for name in ("get", "logs", "apply", "exec")] == [
        False,
        False,
        True,
        True,
    ]
