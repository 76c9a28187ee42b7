"""The made-up machines: three without and two with GPUs, in two zones; and a load balancer before them."""

from typing import Any

GPU = "nvidia.com/gpu"
GPUS_OF_A_NODE = 4


def _node(name: str, zone: str, gpus: int = 0) -> dict[str, Any]:
    room = {
        "cpu": "64",
        "memory": "512Gi",
        "ephemeral-storage": "1Ti",
        "pods": "110",
        **({GPU: str(gpus)} if gpus else {}),
    }
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": zone}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        # Labels and taint are those of NVIDIA's GPU operator and of managed GPU pools.
        "metadata": {"name": name, "labels": {**labels, **({f"{GPU}.present": "true"} if gpus else {})}},
        "spec": {"taints": [{"key": GPU, "value": "present", "effect": "NoSchedule"}] if gpus else []},
        "status": {"allocatable": room, "capacity": room},
    }


NODES = [
    _node("cpu-1", "a"),
    _node("cpu-2", "a"),
    _node("cpu-3", "b"),
    _node("gpu-1", "a", GPUS_OF_A_NODE),
    _node("gpu-2", "b", GPUS_OF_A_NODE),
]

LOAD_BALANCER: dict[str, Any] = {
    "apiVersion": "kwok.x-k8s.io/v1alpha1",
    "kind": "Stage",
    "metadata": {"name": "load-balancer"},
    "spec": {
        "resourceRef": {"apiGroup": "v1", "kind": "Service"},
        "selector": {
            "matchExpressions": [
                {"key": ".spec.type", "operator": "In", "values": ["LoadBalancer"]},
                {"key": ".status.loadBalancer.ingress", "operator": "DoesNotExist"},
            ]
        },
        # An address for documentation, as a cloud would assign a real one; Helm waits for it.
        "next": {"statusTemplate": "loadBalancer:\n  ingress:\n  - ip: 192.0.2.1\n"},
    },
}
