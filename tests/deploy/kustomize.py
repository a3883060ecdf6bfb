"""What `kustomize build` does with the features that deploy/kubernetes uses, for machines that do not have it.

Resources, components, namespace, image tags, and JSON 6902 patches by target. Anything else is an error here.
"""

import copy
import re
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

_FIELDS = {"apiVersion", "kind", "namespace", "resources", "components", "images", "patches"}
_CLUSTER_WIDE = {"Namespace"}


def build(folder: Path) -> list[Object]:
    """All objects of a kustomization."""
    return _add(folder, [])


def _add(folder: Path, objects: list[Object]) -> list[Object]:
    """A kustomization's own objects, behind those that a component is given to change."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert kustomization.keys() <= _FIELDS, f"{folder}: {kustomization.keys() - _FIELDS} is more than this knows"
    for name in kustomization.get("resources", ()):
        path = folder / name
        found = build(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
        for one in found:
            assert _key(one) not in map(_key, objects), f"{path}: {_key(one)} is there already"
            objects.append(copy.deepcopy(one))
    for name in kustomization.get("components", ()):
        objects = _add(folder / name, objects)
    for patch in kustomization.get("patches", ()):
        for one in objects:
            if _meant(patch["target"], one):
                for operation in yaml.safe_load(patch["patch"]):
                    _apply(one, operation)
    for image in kustomization.get("images", ()):
        for one in objects:
            for container in _containers(one):
                if container["image"].partition(":")[0] == image["name"]:
                    container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
    if "namespace" in kustomization:
        for one in objects:
            if one["kind"] not in _CLUSTER_WIDE:
                one["metadata"]["namespace"] = kustomization["namespace"]
    return objects


def _key(one: Object) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def _meant(target: dict[str, str], one: Object) -> bool:
    assert target.keys() <= {"kind", "name"}
    return target["kind"] == one["kind"] and bool(re.fullmatch(target.get("name", ".*"), one["metadata"]["name"]))


def _containers(one: Object) -> list[Object]:
    return one["spec"]["template"]["spec"]["containers"] if one["kind"] == "Deployment" else []


def _apply(one: Object, operation: Object) -> None:
    """One JSON 6902 operation. As the standard has it, only `add` may name what is not there."""
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    place: Any = one
    for part in path:
        place = place[int(part)] if isinstance(place, list) else place[part]
    what = operation["op"]
    if isinstance(place, list):
        if what == "add" and last == "-":
            place.append(operation["value"])
            return
        raise AssertionError(f"{operation}: more than this knows")
    if what in ("replace", "remove"):
        assert last in place, f"{operation}: nothing is there"
    if what == "remove":
        del place[last]
    else:
        assert what in ("add", "replace")
        place[last] = operation["value"]
