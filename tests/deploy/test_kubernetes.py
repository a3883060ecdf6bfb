"""The manifests: valid by Kubernetes' own schemas, and fitting together."""

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from panolink.rpc.server.settings import ServiceSettings
from panolink.services.channel.settings import ChannelSettings
from panolink.services.receiver.settings import ReceiverSettings
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.services.viewer.app import MAX_UPLOADS
from panolink.services.viewer.settings import ViewerSettings
from tests.deploy.kustomize import build

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
COMPONENTS = ("channel", "viewer", "tls", "token", "monitoring", "autoscaling")
VERSIONS = ("1.30", "1.34")
CUSTOM = {"ServiceMonitor"}
"""Kinds that the Prometheus Operator brings; Kubernetes has no schema of theirs."""
SETTINGS: dict[str, type[ServiceSettings]] = {
    "transmitter": TransmitterSettings,
    "channel": ChannelSettings,
    "receiver": ReceiverSettings,
    "viewer": ViewerSettings,
}

Object = dict[str, Any]


def test_images_are_of_this_version() -> None:
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())["project"]
    version = project["version"].rpartition(".")[0]
    files = list(FOLDER.rglob("kustomization.yaml"))
    tags = [image["newTag"] for file in files for image in yaml.safe_load(file.read_text()).get("images", ())]
    assert tags and {tag.removesuffix("-gpu") for tag in tags} == {version}


@pytest.fixture(scope="module", params=["base", "overlays/gpu", "everything", "channel in the clear"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kustomization; two are made here of base and components, as a user would."""
    parts = {"everything": COMPONENTS, "channel in the clear": ("channel",)}.get(request.param)
    if parts is None:
        return FOLDER / request.param
    shutil.copytree(FOLDER, copied := tmp_path_factory.mktemp("kubernetes"), dirs_exist_ok=True)
    own = copied / "overlays" / "own"
    own.mkdir()
    kustomization = {"resources": ["../../base"], "components": [f"../../components/{part}" for part in parts]}
    (own / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return own


@pytest.fixture(scope="module")
def built(folder: Path) -> list[Object]:
    """Its objects."""
    return build(folder)


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pod(deployment: Object) -> Object:
    return deployment["spec"]["template"]["spec"]


def settings(objects: list[Object]) -> dict[str, str]:
    return of_kind(objects, "ConfigMap")["panolink-settings"]["data"]


@pytest.mark.slow
def test_objects_are_valid(built: list[Object]) -> None:
    for one in built:
        if one["kind"] not in CUSTOM:
            for version in VERSIONS:
                kubernetes_validate.validate(one, version, strict=True)
        assert one["metadata"].get("namespace", "panolink") == "panolink"


def test_selectors_find_their_pods_and_ports(built: list[Object]) -> None:
    deployments = of_kind(built, "Deployment")
    services = of_kind(built, "Service")
    assert deployments.keys() == services.keys() == of_kind(built, "PodDisruptionBudget").keys()
    for name, deployment in deployments.items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        selectors = [
            deployment["spec"]["selector"]["matchLabels"],
            services[name]["spec"]["selector"],
            of_kind(built, "PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"],
            of_kind(built, "NetworkPolicy")[name]["spec"]["podSelector"]["matchLabels"],
        ]
        for selector in selectors:
            assert selector.items() <= labels.items()
        (container,) = pod(deployment)["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert {port["name"]: port["port"] for port in services[name]["spec"]["ports"]} == ports
        assert all(port["targetPort"] in ports for port in services[name]["spec"]["ports"])
    for name, scaler in of_kind(built, "HorizontalPodAutoscaler").items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == name
        assert "replicas" not in deployments[name]["spec"]
    for monitor in of_kind(built, "ServiceMonitor").values():
        assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert all(wanted.items() <= service["metadata"]["labels"].items() for service in services.values())
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} == {"metrics"}


def test_the_services_take_the_settings_and_find_one_another(
    built: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    services = of_kind(built, "Service")
    allowed = of_kind(built, "NetworkPolicy")
    secured = "PANOLINK_TLS_CERT" in settings(built)
    assert secured != ("PANOLINK_INSECURE" in settings(built))
    for name, deployment in of_kind(built, "Deployment").items():
        (container,) = pod(deployment)["containers"]
        kind = SETTINGS[container["name"]]
        given = settings(built) | {one["name"]: one["value"] for one in container["env"]}
        for variable, value in given.items():
            prefix = f"PANOLINK_{container['name'].upper()}_"
            if variable.startswith(prefix):
                assert variable.removeprefix(prefix).lower() in kind.model_fields, variable
            monkeypatch.setenv(variable, value)
        if secured:  # there are no certificates here, and no token
            for variable in ("PANOLINK_TLS_CA", "PANOLINK_TLS_CERT", "PANOLINK_TLS_KEY", "PANOLINK_TOKEN_FILE"):
                monkeypatch.delenv(variable)
            monkeypatch.setenv("PANOLINK_INSECURE", "1")
        read = kind()  # pyright: ignore[reportCallIssue]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert read.listen == f"0.0.0.0:{ports.get('grpc') or ports['http']}"
        assert read.metrics_listen == f"0.0.0.0:{ports['metrics']}"
        assert pod(deployment)["terminationGracePeriodSeconds"] > read.drain_seconds + 5
        if target := getattr(read, "target", ""):
            assert target.startswith("dns:///"), "a long-lived stream would stay with one pod"
            host, _, port = target.removeprefix("dns:///").partition(":")
            assert services[host]["spec"]["clusterIP"] == "None"
            assert int(port) in [one["port"] for one in services[host]["spec"]["ports"]]
            assert may_reach(allowed, name, host, int(port))
        if isinstance(read, ViewerSettings):
            for address in (read.transmitter, read.channel, read.receiver):
                host, _, port = address.partition(":")
                assert int(port) in [one["port"] for one in services[host]["spec"]["ports"]]
                assert may_reach(allowed, name, host, int(port))


def may_reach(policies: dict[str, Object], client: str, server: str, port: int) -> bool:
    """Whether both sides' policies let one service call another."""

    def allows(rules: list[Object], side: str, peer: str) -> bool:
        return any(
            one.get("podSelector", {}).get("matchLabels") == {"app.kubernetes.io/name": peer}
            and port in [allowed["port"] for allowed in rule["ports"]]
            for rule in rules
            for one in rule[side]
        )

    leaves = allows(policies[client]["spec"]["egress"], "to", server)
    return leaves and allows(policies[server]["spec"]["ingress"], "from", client)


def test_pods_are_as_restricted_as_the_namespace_demands(built: list[Object]) -> None:
    for deployment in of_kind(built, "Deployment").values():
        spec = pod(deployment)
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec["automountServiceAccountToken"]
        # Links would give PANOLINK_RECEIVER_PORT=tcp://… to a receiver, and the like.
        assert not spec["enableServiceLinks"]
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]} >= {"tmp"}


def test_uploads_have_room(built: list[Object]) -> None:
    """A pod whose folder goes over its limit is evicted."""
    settings = ViewerSettings()
    for one in built:
        if one["kind"] == "Deployment" and one["metadata"]["name"].endswith("viewer"):
            (volume,) = (v for v in one["spec"]["template"]["spec"]["volumes"] if v["name"] == "tmp")
            size = int(volume["emptyDir"]["sizeLimit"].removesuffix("Mi")) << 20
            assert size >= (MAX_UPLOADS + 1) * settings.max_upload_bytes


def test_probes_ask_by_grpc_or_with_tls_by_a_command_that_can(built: list[Object]) -> None:
    secured = "PANOLINK_TLS_CERT" in settings(built)
    for deployment in of_kind(built, "Deployment").values():
        (container,) = pod(deployment)["containers"]
        grpc_port = next((port["containerPort"] for port in container["ports"] if port["name"] == "grpc"), None)
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container[name]
            if grpc_port is None:  # the viewer, whose metrics are in the clear
                assert probe["httpGet"] == {"path": "/metrics", "port": "metrics"}
            elif secured:
                assert probe["exec"] == {"command": ["panolink", "health"]} and "grpc" not in probe
            else:
                assert probe["grpc"] == {"port": grpc_port}
        if secured:
            secrets = {one["name"]: one["secret"] for one in pod(deployment)["volumes"] if "secret" in one}
            assert {name: secret["secretName"] for name, secret in secrets.items()} == {
                "tls": f"{deployment['metadata']['name']}-tls",
                "token": "panolink-token",
            }
            folders = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            files = {key: Path(value) for key, value in settings(built).items() if value.startswith("/etc/panolink/")}
            assert {key: folders[str(file.parent)] for key, file in files.items()} == {
                "PANOLINK_TLS_CA": "tls",
                "PANOLINK_TLS_CERT": "tls",
                "PANOLINK_TLS_KEY": "tls",
                "PANOLINK_TOKEN_FILE": "token",
            }


def test_the_gpu_overlay_takes_a_gpu_and_an_image_for_it() -> None:
    objects = build(FOLDER / "overlays/gpu")
    for deployment in of_kind(objects, "Deployment").values():
        (container,) = pod(deployment)["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert container["image"].endswith("-gpu")
        assert settings(objects)[f"PANOLINK_{container['name'].upper()}_DEVICE"] == "cuda"


def test_the_scaled_metric_is_one_that_services_have() -> None:
    """Names of metric and queue are the services' own, and the adapter's rule offers that metric."""
    objects = [*build(FOLDER / "overlays/gpu")]
    adapter = yaml.safe_load((FOLDER / "components/autoscaling/prometheus-adapter-values.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    queues = {"panolink-transmitter": "encode", "panolink-receiver": "decode"}
    for name, scaler in of_kind(objects, "HorizontalPodAutoscaler").items():
        (metric,) = scaler["spec"]["metrics"]
        wanted = metric["pods"]["metric"]
        assert rule["name"]["matches"] == f"^{wanted['name']}$"
        assert wanted["selector"]["matchLabels"] == {"queue": queues[name]}
        source = (Path(__file__).parents[2] / "services" / name.removeprefix("panolink-") / "pipeline.py").read_text()
        assert f'queue_depth.labels("{queues[name]}")' in source


def test_kustomize_builds_the_same(folder: Path, built: list[Object]) -> None:
    command = next(
        (words for words in (["kustomize", "build"], ["kubectl", "kustomize"]) if shutil.which(words[0])), None
    )
    if command is None:
        pytest.skip("neither kustomize nor kubectl is installed (Debian: apt install kubernetes-client)")
    out = subprocess.run([*command, str(folder)], check=True, capture_output=True, text=True).stdout

    def key(one: Object) -> tuple[str, str]:
        return one["kind"], one["metadata"]["name"]

    assert sorted(yaml.safe_load_all(out), key=key) == sorted(built, key=key)
