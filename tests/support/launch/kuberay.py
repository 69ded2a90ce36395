"""What KubeRay and Kubernetes accept, to check manifests against.

The schema names every field of a RayJob as KubeRay 1.6.2 defines it (`ray.io/v1`), so that a field
that is misspelt or misplaced is found. It was written from the definition of the
resource; neither it nor the definition is in any package. Pod templates are not part of it: they
are checked against the models of the package `kubernetes`.
"""

from __future__ import annotations

import re
from typing import Any

from kubernetes.client import models

KUBERAY_VERSION = "1.6.2"

_STRING = {"type": "string"}
_BOOLEAN = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_STRINGS = {"type": "object", "additionalProperties": _STRING}
#: Defined by Kubernetes; see `kubernetes_errors`.
_POD = {"type": "object", "required": ["spec"]}


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _one_of(*words: str) -> dict[str, Any]:
    return {"enum": list(words)}


_HEAD = _closed(
    ["template"],
    template=_POD,
    rayStartParams=_STRINGS,
    headService={"type": "object"},
    serviceType=_one_of("ClusterIP", "NodePort", "LoadBalancer"),
    enableIngress=_BOOLEAN,
    resources=_STRINGS,
    labels=_STRINGS,
)
_WORKERS = _closed(
    ["groupName", "minReplicas", "maxReplicas", "template"],
    groupName=_STRING,
    replicas=_COUNT,
    minReplicas=_COUNT,
    maxReplicas=_COUNT,
    numOfHosts=_COUNT,
    idleTimeoutSeconds=_COUNT,
    suspend=_BOOLEAN,
    rayStartParams=_STRINGS,
    resources=_STRINGS,
    labels=_STRINGS,
    scaleStrategy=_closed([], workersToDelete={"type": "array", "items": _STRING}),
    template=_POD,
)
_AUTOSCALER = _closed(
    [],
    version=_one_of("v1", "v2"),
    upscalingMode=_one_of("Default", "Aggressive", "Conservative"),
    idleTimeoutSeconds=_COUNT,
    image=_STRING,
    imagePullPolicy=_STRING,
    env={"type": "array"},
    envFrom={"type": "array"},
    volumeMounts={"type": "array"},
    resources={"type": "object"},
    securityContext={"type": "object"},
)
_CLUSTER = _closed(
    ["headGroupSpec"],
    rayVersion=_STRING,
    authOptions=_closed(
        [],
        mode=_one_of("disabled", "token"),
        secretName=_STRING,
        enableK8sTokenAuth=_BOOLEAN,
    ),
    autoscalerOptions=_AUTOSCALER,
    enableInTreeAutoscaling=_BOOLEAN,
    gcsFaultToleranceOptions={"type": "object"},
    headGroupSpec=_HEAD,
    headServiceAnnotations=_STRINGS,
    managedBy=_STRING,
    suspend=_BOOLEAN,
    upgradeStrategy={"type": "object"},
    workerGroupSpecs={"type": "array", "items": _WORKERS},
)
RAYJOB = _closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata={
        "type": "object",
        # The operator's rule, because it derives longer names.
        "properties": {"name": {"pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 47}},
    },
    spec=_closed(
        [],
        activeDeadlineSeconds={"type": "integer", "minimum": 1},
        preRunningDeadlineSeconds={"type": "integer", "minimum": 1},
        backoffLimit=_COUNT,
        clusterSelector=_STRINGS,
        deletionStrategy={"type": "object"},
        entrypoint=_STRING,
        entrypointNumCpus={"type": "number"},
        entrypointNumGpus={"type": "number"},
        entrypointResources=_STRING,
        jobId=_STRING,
        managedBy=_STRING,
        metadata=_STRINGS,
        rayClusterSpec=_CLUSTER,
        runtimeEnvYAML=_STRING,
        shutdownAfterJobFinishes=_BOOLEAN,
        submissionMode=_one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
        submitterConfig=_closed([], backoffLimit=_COUNT),
        submitterPodTemplate=_POD,
        suspend=_BOOLEAN,
        ttlSecondsAfterFinished=_COUNT,
    ),
)


def kubernetes_errors(value: Any, kind: str, where: str) -> list[str]:
    """What is wrong with a part of a manifest as Kubernetes' `kind`, such as `V1PodTemplateSpec`.

    `kind` may be `List[...]` and `Dict[str, ...]` of the package's models, or a plain type.
    """
    if item := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{where}: {value!r} is not a list"]
        return [
            error
            for number, part in enumerate(value)
            for error in kubernetes_errors(part, item[1], f"{where}[{number}]")
        ]
    if item := re.fullmatch(r"[Dd]ict[\[(]str, (.+)[\])]", kind):
        if not isinstance(value, dict):
            return [f"{where}: {value!r} is not a mapping"]
        return [
            error
            for name, part in value.items()
            for error in kubernetes_errors(part, item[1], f"{where}.{name}")
        ]
    model = getattr(models, kind, None)
    if model is not None:
        return _model_errors(value, model, where)
    plain: Any = {"str": str, "int": int, "bool": bool, "float": (int, float)}.get(kind, object)
    fits = isinstance(value, plain) and (kind != "int" or not isinstance(value, bool))
    return [] if fits else [f"{where}: {value!r} is not of type {kind}"]


def _model_errors(value: Any, model: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is not of type {model.__name__}"]
    names = {wire: name for name, wire in model.attribute_map.items()}
    errors = [f"{where}: {model.__name__} has no {name}" for name in value if name not in names]
    known = {name: part for name, part in value.items() if name in names}
    for name, part in known.items():
        errors += kubernetes_errors(part, model.openapi_types[names[name]], f"{where}.{name}")
    try:
        # Raises if a required field is missing.
        model(**{names[name]: part for name, part in known.items()})
    except ValueError as error:
        errors.append(f"{where}: {error}")
    return errors
