"""The Infrastructure Manager as a process of tests, run by the Python of its own environment: ``python im_process.py SETTINGS``.

It is the real one. What is not: where it reads its configuration, so that several may run at once; the table of EC2's machine
types, which it would fetch from GitHub; and for the clouds in `pretend` (Dummy, unless a test says more) the contextualization,
since their machines take no SSH. That one pretends: after some seconds every task has succeeded, or failed, or hangs, as the
file `control` says at that moment.
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
from IM.connectors.EC2 import EC2CloudConnector, InstanceTypeInfo  # noqa: E402
from IM.im_service import main  # noqa: E402
from IM.InfrastructureList import InfrastructureList  # noqa: E402

EC2CloudConnector.instance_type_list = [
    InstanceTypeInfo(name=f"t3.{size}", cpu_arch=["x86_64"], num_cpu=cores, cores_per_cpu=1, mem=memory << 10, price=0.01 * cores)
    for size, cores, memory in (("small", 2, 2), ("xlarge", 4, 16), ("2xlarge", 8, 32))
]

real = ConfManager.run


def pretended(inf: Any) -> bool:
    return all(vm.cloud.type in settings["pretend"] for vm in inf.get_vm_list())


def run(self: Any) -> None:
    if not pretended(self.inf):
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
        control = json.loads(Path(settings["control"]).read_text("utf-8"))
        called = str(inf.radl.description.getValue("name") or "") if inf.radl.description else ""
        says = [word for word in ("fail", "hang") if word in called or any(one and one in called for one in control[word])]
        over = time.monotonic() > since + control["seconds"]
        if over and "hang" not in says and (tasks := wanted(inf, since)) is not None:
            finish(inf, tasks, control, well="fail" not in says)
            return
        if over and control.get("ssh_error"):
            inf.add_cont_msg("Contextualization Error: it is pretended that no machine takes SSH")
            control["ssh_error"] = False
            Path(settings["control"]).write_text(json.dumps(control), "utf-8")
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
