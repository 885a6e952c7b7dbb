"""The disk image of the machines: Debian with what the Infrastructure Manager would fetch from the Internet, made once and kept."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["image"]

_HERE: Final = Path(__file__).parent
_WHEELS: Final = _HERE / "wheels.txt"

_PACKAGES: Final = (
    # What every image of a cloud has ...
    *("ca-certificates", "iproute2", "openssh-client", "openssh-server", "openssl", "procps", "python3", "sudo"),
    # ... what the Infrastructure Manager would install, and what the recipe "programs" wants to be there, beside Kubernetes itself.
    *("python3-apt", "sshpass", "unzip", "wget"),
    *("containerd", "containernetworking-plugins", "etcd-server", "nftables", "runc"),
)
_SUITE: Final = "bookworm"
_PYTHON: Final = "3.11"
"""Of that suite."""

_SHELF: Final = Path("var/tmp/.mamba")
"""Where the Infrastructure Manager has micromamba and its environments."""

# Of ninety collections, those of which its recipes use something.
_COLLECTIONS: Final = ("ansible/posix", "ansible/windows", "community/general")

# It calls this as `run -n ansible COMMAND ...`, `create ...` and `install ...`; the environment is there already.
_MICROMAMBA: Final = f"""#!/bin/sh
[ "$1" = run ] || exit 0
shift 3
PATH=/{_SHELF}/envs/ansible/bin:$PATH exec "$@"
"""

# One of the test cluster's images; and root here may lack the right to protect a process.
_CONTAINERD: Final = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "/etc/cni/net.d"
"""

PROGRAMS: Final = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")


def image(pip: Sequence[str] = (sys.executable, "-m", "pip")) -> Path:
    """Return the folder with the image, which nobody may write to. Takes a minute or two if it is not there yet."""
    shelf = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyter-dodas" / "machines"
    made = shelf / _fingerprint()
    shelf.mkdir(parents=True, exist_ok=True)
    with (shelf / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            half = shelf / "half"
            if half.exists():
                shutil.rmtree(half)
            _make(half, shelf / "wheels", pip)
            half.rename(made)
    return made


def _fingerprint() -> str:
    return hashlib.sha256(Path(__file__).read_bytes() + _WHEELS.read_bytes()).hexdigest()[:12]


def _make(root: Path, wheels: Path, pip: Sequence[str]) -> None:
    download = ["download", "--quiet", "--no-deps", "--dest", str(wheels), "--requirement", str(_WHEELS), *_platform()]
    with subprocess.Popen([*pip, *download], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as fetched:
        slim = [f"--dpkgopt=path-exclude=/usr/share/{one}/*" for one in ("doc", "info", "locale", "man")]
        _run("mmdebstrap", "--quiet", "--variant=minbase", *slim, f"--include={','.join(_PACKAGES)}", _SUITE, str(root))
        output, _ = fetched.communicate()
    if fetched.returncode:
        raise RuntimeError(f"pip download: {output[-2000:]}")
    _ansible(root, wheels, pip)
    (root / "etc/containerd/config.toml").write_text(_CONTAINERD)
    # The programs themselves come when a machine starts: the same as those of the test cluster.
    for name in PROGRAMS:
        (root / "usr/local/bin" / name).symlink_to(f"/opt/kubernetes/{name}")
    for folder in ("opt/kubernetes", "var/lib/kubernetes/images", "mnt"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    # There is nowhere to ask for packages or names, and asking must not take long.
    (root / "etc/apt/sources.list").write_text("")
    for file in (root / "etc/apt/sources.list.d").iterdir():
        file.unlink()
    (root / "etc/resolv.conf").write_text("")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()


def _ansible(root: Path, wheels: Path, pip: Sequence[str]) -> None:
    place = root / _SHELF / "envs/ansible"
    _run("chroot", str(root), "python3", "-m", "venv", "--without-pip", f"/{_SHELF}/envs/ansible")
    packages = place / "lib" / f"python{_PYTHON}" / "site-packages"
    single = [line for line in _WHEELS.read_text().splitlines() if not line.startswith(("#", "ansible=="))]
    install = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--find-links",
        str(wheels),
        "--target",
        str(packages),
    ]
    _run(*pip, *install, *_platform(), *single)
    for script in (packages / "bin").iterdir():
        lines = script.read_text().splitlines(keepends=True)
        (place / "bin" / script.name).write_text("".join([f"#!/{_SHELF}/envs/ansible/bin/python3\n", *lines[1:]]))
        (place / "bin" / script.name).chmod(0o755)
    (whole,) = wheels.glob("ansible-*.whl")
    with zipfile.ZipFile(whole) as archive:
        wanted = tuple(f"ansible_collections/{one}/" for one in _COLLECTIONS)
        archive.extractall(packages, [name for name in archive.namelist() if name.startswith((*wanted, "ansible-"))])
    caller = root / _SHELF / "bin/micromamba"
    caller.parent.mkdir()
    caller.write_text(_MICROMAMBA)
    caller.chmod(0o755)


def _platform() -> list[str]:
    kinds = [f"{kind}_{os.uname().machine}" for kind in ("manylinux2014", "manylinux_2_28", "manylinux_2_34")]
    platforms = [word for kind in (*kinds, "any") for word in ("--platform", kind)]
    return ["--only-binary=:all:", "--implementation", "cp", "--python-version", _PYTHON, *platforms]


def _run(*command: str) -> None:
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{command[0]}: {ran.stdout[-2000:]}")
