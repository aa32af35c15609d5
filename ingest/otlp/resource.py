"""What a resource becomes: `job` and `instance` on its series, and target_info for the rest."""

from __future__ import annotations

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from app.labels import METRIC_NAME, Labels, labels_from
from ingest.otlp.naming import merged_labels
from ingest.otlp.values import pairs

_IDENTIFYING = ("service.namespace", "service.name", "service.instance.id")


def identity_labels(resource: Resource) -> Labels:
    """`job` from service.namespace and service.name, `instance` from service.instance.id; none that is not there."""
    found = {key: value for key, value in pairs(resource.attributes) if key in _IDENTIFYING}
    labels = {}
    if "service.name" in found:
        namespace = found.get("service.namespace")
        labels["job"] = found["service.name"] if namespace is None else f"{namespace}/{found['service.name']}"
    if "service.instance.id" in found:
        labels["instance"] = found["service.instance.id"]
    return labels_from(labels)


def target_info_labels(resource: Resource) -> Labels:
    """The labels of a resource's target_info: what identifies it no series; () when it says nothing new or of nobody.

    Raises ValueError for an attribute whose name cannot be a label's.
    """
    identity = identity_labels(resource)
    rest = [(key, value) for key, value in pairs(resource.attributes) if key not in _IDENTIFYING]
    if not identity or not rest:
        return ()
    return labels_from({**merged_labels(rest), **dict(identity), METRIC_NAME: "target_info"})
