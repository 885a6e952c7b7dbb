"""The Infrastructure Manager as a process of tests, run by the Python of its own environment: ``python im_process.py SETTINGS``.

It is the real one. What is not: where it reads its configuration, so that several may run at once; the table of EC2's machine
types, which it would fetch from GitHub; and for the clouds in `pretend` (Dummy, unless a test says more) the contextualization,
since their machines take no SSH. That one pretends: after some seconds every task has succeeded, or failed, or hangs, as the
file `control` says at that moment. Machines of Dummy have addresses of this machine, and are off or dead if `control` says so.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

__all__: list[str] = []

settings: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))

from IM import config  # noqa: E402 - before the rest of it, which takes defaults from there

for name, value in settings["config"].items():
    setattr(config.Config, name, value)

from IM.ConfManager import ConfManager  # noqa: E402
from IM.connectors.Dummy import DummyCloudConnector  # noqa: E402
from IM.connectors.EC2 import EC2CloudConnector, InstanceTypeInfo  # noqa: E402
from IM.im_service import main  # noqa: E402
from IM.InfrastructureInfo import InfrastructureInfo  # noqa: E402
from IM.InfrastructureList import InfrastructureList  # noqa: E402
from IM.VirtualMachine import VirtualMachine  # noqa: E402

EC2CloudConnector.instance_type_list = [
    InstanceTypeInfo(name=f"t3.{size}", cpu_arch=["x86_64"], num_cpu=cores, cores_per_cpu=1, mem=memory << 10, price=0.01 * cores)
    for size, cores, memory in (("small", 2, 2), ("xlarge", 4, 16), ("2xlarge", 8, 32))
]


def controlled() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(settings["control"]).read_text("utf-8"))
    return found


def called(inf: Any) -> str:
    return str(inf.radl.description.getValue("name") or "") if inf.radl.description else ""


# -- machines of the Dummy cloud ---------------------------------------------------------------------------------------


def seen(self: Any, vm: Any, auth_data: Any) -> tuple[bool, Any]:
    control, number = controlled(), vm.im_id
    if number in control["off"].get(called(vm.inf), ()):
        vm.state = VirtualMachine.OFF
    elif vm.state == VirtualMachine.PENDING:
        vm.state = VirtualMachine.RUNNING  # a cloud knows of what was just being made when the Infrastructure Manager was killed
    dead = number in control["dead"].get(called(vm.inf), ())
    for interface in range(vm.getNumNetworkIfaces()):
        # Nothing listens there, but something says so at once. To the other address nothing can be sent.
        address = "255.255.255.255" if dead else f"127.{100 + interface}.{number // 250}.{1 + number % 250}"
        vm.info.systems[0].setValue(f"net_interface.{interface}.ip", address)
    return True, vm


def quotas(self: Any, auth_data: Any, region: Any = None) -> dict[str, Any]:
    limits = controlled()["quota"]
    return {name: {"used": 1, "limit": limits[name]} for name in limits}


def launched(self: Any, inf: Any, radl: Any, requested_radl: Any, num_vm: int, auth_data: Any) -> list[tuple[bool, Any]]:
    found: list[tuple[bool, Any]] = launch(self, inf, radl, requested_radl, num_vm, auth_data)
    for _, vm in found:
        seen(self, vm, auth_data)
    return found


def added(self: Any, vm: Any) -> None:
    if not vm.creating:
        time.sleep(controlled()["between"])
    add(self, vm)


add = InfrastructureInfo.add_vm
InfrastructureInfo.add_vm = added
launch = DummyCloudConnector.launch
DummyCloudConnector.launch = launched
DummyCloudConnector.updateVMInfo = seen
DummyCloudConnector.get_quotas = quotas


# -- their contextualization -------------------------------------------------------------------------------------------

real = ConfManager.run


def run(self: Any) -> None:
    if not all(vm.cloud.type in settings["pretend"] for vm in self.inf.get_vm_list()):
        real(self)
        return
    while not self._stop_thread:
        self.inf.ctxt_tasks.get()
        if not self._stop_thread:
            drain(self.inf)
            contextualize(self)


def drain(inf: Any) -> bool:
    """Take all that is to be done, and tell whether there was anything."""
    found = False
    while not inf.ctxt_tasks.empty():
        inf.ctxt_tasks.get()
        found = True
    return found


def contextualize(self: Any) -> None:
    inf, since = self.inf, time.monotonic()
    inf.conf_threads = []
    inf.add_cont_msg("Contextualization is pretended: these machines are of a test")
    while not self._stop_thread:
        if drain(inf):
            since = time.monotonic()  # somebody has changed it meanwhile
        control = controlled()
        says = [word for word in ("fail", "hang") if any(one in called(inf) for one in (word, *control[word]))]
        over = time.monotonic() > since + control["seconds"]
        broken = any(one in called(inf) for one in control["ssh_error"])
        if over and broken and "Contextualization Error" not in inf.cont_out:
            inf.add_cont_msg("Contextualization Error: Error Waiting the Master VM to have the SSH active.")  # and it goes on
        if over and "hang" not in says and not broken and (tasks := wanted(inf, since)) is not None:
            finish(inf, tasks, control, well="fail" not in says)
            return
        time.sleep(0.05)


def wanted(inf: Any, since: float) -> "dict[tuple[str, str], set[str]] | None":
    """The tasks of which outputs are asked, by machine and task of IM; None as long as the template is not there."""
    if "TOSCA" not in inf.extra_info:
        return None if time.monotonic() < since + 10 else {}
    found: dict[tuple[str, str], set[str]] = {}

    def search(tree: Any) -> None:
        if isinstance(tree, dict) and isinstance(words := tree.get("get_attribute"), list) and "ansible_output" in words:
            node, _, conf, _, task = words[:5]
            found.setdefault((node, conf), set()).add(task)
        for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
            search(part)

    search(inf.extra_info["TOSCA"].yaml["topology_template"].get("outputs") or {})
    return found


def finish(inf: Any, tasks: "dict[tuple[str, str], set[str]]", control: dict[str, Any], *, well: bool) -> None:
    for vm in inf.get_vm_list():
        role, said = vm.info.systems[0].name, ""
        for (node, conf), names in tasks.items():
            if node == role:
                said += f"Launch task: {conf}\n"
                said += "".join(task(name, role, control, well) for name in sorted(names))
        vm.cont_out = said or f"Launch task: {role}\n" + task("install", role, control, well)
        vm.ctxt_pid, vm.configured = None, well
    inf.add_cont_msg("Contextualization finished" if well else "Error configuring VMs")
    inf.configured = well
    InfrastructureList.save_data(inf.id)


def task(name: str, role: str, control: dict[str, Any], well: bool) -> str:
    said = "Failed to update the cache of packages"
    if well:
        said = Path(control["outputs"][name]).read_text("utf-8") if name in control["outputs"] else f"pretended {name}"
    ignored = 'fatal: [front]: FAILED! => {"msg": "this one does not matter"}\n...ignoring\n'
    word = f"ok: [{role}] =>" if well else f"fatal: [{role}]: FAILED! =>"
    return f"\nTASK [maybe] ****\n{ignored}\nTASK [{name}] ****\n{word} {json.dumps({'changed': False, 'msg': said})}\n\n"


ConfManager.run = run
sys.argv = ["im_service"]
main()
