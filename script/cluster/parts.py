"""What a cluster consists of: the programs with their options, in the order in which they start."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cluster.keys import KEYS
from cluster.layout import CGROUP, NAME, RUN, SOCKET, STORE, Network

__all__ = ["CONTAINERD", "CONTROL", "ETCD", "KUBELET", "NAMES", "PAUSE", "PROXY", "SERVER", "Part", "configure"]

PAUSE: Final = "localhost/pause:1"


@dataclass(frozen=True)
class Part:
    """A program that runs as long as the cluster does."""

    name: str
    arguments: Sequence[str]


def _flags(**values: object) -> list[str]:
    """Return options as they stand on a command line: `secure_port=0` is `--secure-port=0`, True is `true`."""
    text = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
    return [f"--{name.replace('_', '-')}={value}" for name, value in text.items()]


def _component(user: str, **values: object) -> list[str]:
    # One of each runs, so that none has to be elected; nobody asks them anything.
    alone = _flags(leader_elect=False, secure_port=0)
    return _flags(kubeconfig=KEYS / f"{user}.conf", kube_api_qps=500, kube_api_burst=1000, **values) + alone


_STORE_AT = "http://127.0.0.1:2379"

ETCD: Final = Part(
    "etcd",
    [
        *_flags(data_dir=RUN / "etcd", log_level="warn", listen_client_urls=_STORE_AT, advertise_client_urls=_STORE_AT),
        # A cluster begins empty at each start, so that nothing has to survive a power cut.
        "--unsafe-no-fsync",
    ],
)
SERVER: Final = Part(
    "kube-apiserver",
    _flags(
        advertise_address=Network.NODE,
        allow_privileged=True,
        audit_log_path=RUN / "audit.log",
        audit_policy_file=RUN / "audit.json",
        authorization_mode="Node,RBAC",
        client_ca_file=KEYS / "ca.crt",
        enable_admission_plugins="NodeRestriction",
        etcd_servers=_STORE_AT,
        kubelet_client_certificate=KEYS / "admin.crt",
        kubelet_client_key=KEYS / "admin.key",
        kubelet_preferred_address_types="InternalIP",
        service_account_issuer="https://kubernetes.default.svc",
        service_account_key_file=KEYS / "tokens.key",
        service_account_signing_key_file=KEYS / "tokens.key",
        service_cluster_ip_range=Network.SERVICES,
        tls_cert_file=KEYS / "apiserver.crt",
        tls_private_key_file=KEYS / "apiserver.key",
    ),
)
CONTROL: Final = (
    Part(
        "kube-controller-manager",
        _component(
            "controllers",
            allocate_node_cidrs=True,
            cluster_cidr=Network.PODS,
            cluster_signing_cert_file=KEYS / "ca.crt",
            cluster_signing_key_file=KEYS / "ca.key",
            node_cidr_mask_size=24,
            node_monitor_grace_period="20s",
            root_ca_file=KEYS / "ca.crt",
            service_account_private_key_file=KEYS / "tokens.key",
            use_service_account_credentials=True,
        ),
    ),
    Part("kube-scheduler", _component("scheduler")),
)
CONTAINERD: Final = Part("containerd", ["--config", f"{RUN}/containerd.toml"])
KUBELET: Final = Part(
    "kubelet",
    _flags(
        config=RUN / "kubelet.json",
        kubeconfig=KEYS / "kubelet.conf",
        hostname_override=NAME,
        node_ip=Network.NODE,
        root_dir=RUN / "kubelet",
        cert_dir=RUN / "kubelet-keys",
    ),
)
PROXY: Final = Part("kube-proxy", _flags(config=RUN / "proxy.json"))
NAMES: Final = tuple(part.name for part in (ETCD, SERVER, *CONTROL, CONTAINERD, KUBELET, PROXY))


def configure(cni: Path) -> None:
    """Write the files that the parts read.

    Parameters
    ----------
    cni
        Where the plug-ins for the network of pods lie.
    """
    (RUN / "containerd.toml").write_text(_containerd(cni))
    for name, content in {
        "audit.json": _AUDIT,
        "kubelet.json": _KUBELET,
        "proxy.json": _PROXY,
        "network/10-pods.conflist": _PODS,
    }.items():
        (RUN / name).parent.mkdir(exist_ok=True)
        (RUN / name).write_text(json.dumps(content, indent=1))
    (RUN / "resolv.conf").write_text("# nobody outside of the cluster is asked for a name\n")


def _containerd(cni: Path) -> str:
    return f"""\
version = 2
root = "{STORE}"
state = "{RUN}/containerd"
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# even root may lack the right to protect a process
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni}"
conf_dir = "{RUN}/network"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


# Each pod has a cable of its own to the node, which routes: no bridge, and no filter for it in the kernel.
_PODS: Final = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "ptp",
            "ipam": {"type": "host-local", "subnet": Network.PODS, "routes": [{"dst": "0.0.0.0/0"}], "dataDir": f"{RUN}/addresses"},
        }
    ],
}
_KUBELET: Final[dict[str, Any]] = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "containerRuntimeEndpoint": f"unix://{SOCKET}",
    "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": f"{KEYS}/ca.crt"}, "webhook": {"enabled": True}},
    "authorization": {"mode": "Webhook"},
    "tlsCertFile": f"{KEYS}/kubelet.crt",
    "tlsPrivateKeyFile": f"{KEYS}/kubelet.key",
    "cgroupDriver": "cgroupfs",
    "cgroupRoot": f"/{CGROUP}",
    "enforceNodeAllocatable": [],
    "failCgroupV1": False,
    "failSwapOn": False,
    "clusterDNS": [Network.DNS],
    "clusterDomain": "cluster.local",
    "resolvConf": f"{RUN}/resolv.conf",
    # Images cannot be fetched again: however full the disk is, they stay.
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"},
    "nodeStatusUpdateFrequency": "5s",
    "podLogsDir": f"{RUN}/pod-logs",
    "volumePluginDir": f"{RUN}/volume-plugins",
}
_PROXY: Final[dict[str, Any]] = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "mode": "nftables",
    "bindAddress": Network.NODE,
    "clientConnection": {"kubeconfig": f"{KEYS}/proxy.conf"},
    "clusterCIDR": Network.PODS,
    "hostnameOverride": NAME,
    # What the kernel tracks is the machine's affair.
    "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
}
# A line for each request of a user, and none for what the cluster itself asks: tests count them.
_AUDIT: Final[dict[str, Any]] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
        {
            "level": "None",
            "users": ["system:apiserver", "system:kube-controller-manager", "system:kube-proxy", "system:kube-scheduler"],
        },
        {"level": "None", "nonResourceURLs": ["/readyz*", "/healthz*", "/livez*"]},
        {"level": "Metadata"},
    ],
}
