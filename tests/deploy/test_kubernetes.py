"""The manifests of the page are whole, name things that exist, and give a worker its time."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from payout_engine.settings import ENVIRONMENT
from tests.conftest import ROOT
from tests.deploy.test_systemd import STOP_SECONDS

PAGE: Final = ROOT / "docs" / "deploy.md"


def manifests() -> list[dict[str, Any]]:
    """Return the manifests of the page, each parsed."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    return [document for block in blocks for document in yaml.safe_load_all(block)]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests() if manifest["kind"] == kind]


def pods() -> list[dict[str, Any]]:
    return [
        one["spec"]["template"]["spec"] for kind in ("Job", "Deployment") for one in of_kind(kind)
    ]


def test_each_manifest_says_what_it_is_and_has_a_name_of_its_own() -> None:
    versions = {"Secret": "v1", "Job": "batch/v1", "Deployment": "apps/v1"}
    found = [(one["kind"], one["metadata"]["name"]) for one in manifests()]
    assert len(found) == len(set(found)) == 4
    assert all(one["apiVersion"] == versions[one["kind"]] for one in manifests())


def test_a_deployment_selects_the_pods_that_it_makes() -> None:
    [deployment] = of_kind("Deployment")
    labels = deployment["spec"]["selector"]["matchLabels"]
    assert labels == deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["replicas"] == 2


@pytest.mark.parametrize("pod", pods(), ids=["job", "deployment"])
def test_a_pod_reads_its_secrets_from_files_that_its_user_may_read(pod: dict[str, Any]) -> None:
    secrets = {one["metadata"]["name"]: one["stringData"] for one in of_kind("Secret")}
    [volume], [container] = pod["volumes"], pod["containers"]
    [mount] = container["volumeMounts"]
    assert mount["name"] == volume["name"]
    assert mount["readOnly"] is True
    keys = secrets[volume["secret"]["secretName"]]
    for variable in container["env"]:
        assert re.search(rf"\b{variable['name']}\b", ENVIRONMENT)
        folder, _, key = variable["value"].rpartition("/")
        assert folder == mount["mountPath"]
        assert key in keys
    assert volume["secret"]["defaultMode"] == 0o440
    user = re.search(
        r"^USER (\d+):(\d+)$", (ROOT / "deploy/Containerfile").read_text(), re.MULTILINE
    )
    assert user is not None
    assert pod["securityContext"]["fsGroup"] == int(user[2])


@pytest.mark.parametrize("pod", pods(), ids=["job", "deployment"])
def test_a_pod_has_no_rights_that_it_does_not_need(pod: dict[str, Any]) -> None:
    [container] = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_worker_has_the_time_to_stop_and_probes_that_do_not_kill_it_for_the_database() -> None:
    [deployment] = of_kind("Deployment")
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] >= STOP_SECONDS + 10
    [port] = container["ports"]
    assert f"0.0.0.0:{port['containerPort']}" in container["args"]
    paths = {
        name: container[name]["httpGet"]["path"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert all(container[name]["httpGet"]["port"] == port["name"] for name in paths)
