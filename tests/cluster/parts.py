"""Command lines of the parts of a control plane, all on loopback and without leader election."""

from pathlib import Path

from nextclick.stack.ports import HOST

Ports = dict[str, int]
_RATE = {"kube-api-qps": 500, "kube-api-burst": 1000}


def command_lines(folder: Path, ports: Ports) -> dict[str, list[str]]:
    """Arguments of each part, in the order of their start."""
    flags = {
        "etcd": _etcd(folder, ports),
        "kube-apiserver": _api_server(folder, ports),
        "kube-controller-manager": _controller_manager(folder),
        "kube-scheduler": {**_client(folder), **_RATE},
        # Port 0: no kubelet's API, which would listen on every address.
        "kwok": {
            "kubeconfig": folder / "kubeconfig",
            "config": folder / "stages.yaml",
            "manage-all-nodes": "true",
            "node-port": 0,
            "node-lease-duration-seconds": 40,
        },
    }
    return {part: [f"--{name}={value}" for name, value in each.items()] for part, each in flags.items()}


def _etcd(folder: Path, ports: Ports) -> dict[str, object]:
    clients, peers = (f"http://{HOST}:{ports[name]}" for name in ("etcd", "peer"))
    return {
        "data-dir": folder / "etcd",
        # The data goes with the test run.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
    }


def _api_server(folder: Path, ports: Ports) -> dict[str, object]:
    return {
        "etcd-servers": f"http://{HOST}:{ports['etcd']}",
        "bind-address": HOST,
        "advertise-address": HOST,
        "secure-port": ports["api"],
        # A loopback address may not become an endpoint, and nothing here asks for one.
        "endpoint-reconciler-type": "none",
        "tls-cert-file": folder / "server.pem",
        "tls-private-key-file": folder / "server.key",
        "client-ca-file": folder / "ca.pem",
        "authorization-mode": "RBAC",
        "profiling": "false",
        "service-account-key-file": folder / "accounts.key",
        "service-account-signing-key-file": folder / "accounts.key",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-cluster-ip-range": "10.96.0.0/16",
    }


def _controller_manager(folder: Path) -> dict[str, object]:
    return {
        **_client(folder),
        **_RATE,
        "service-account-private-key-file": folder / "accounts.key",
        "root-ca-file": folder / "ca.pem",
        "horizontal-pod-autoscaler-sync-period": "1s",
        # A busy machine must not make nodes look dead.
        "node-monitor-grace-period": "10m",
    }


def _client(folder: Path) -> dict[str, object]:
    return {"kubeconfig": folder / "kubeconfig", "secure-port": 0, "leader-elect": "false"}
