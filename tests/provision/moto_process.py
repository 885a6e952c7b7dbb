"""moto as a process of tests, run by the Python of its own environment: ``python moto_process.py PORT``.

As at Amazon, and unlike in moto, to end a machine that has ended changes nothing.
"""

import sys
from typing import Any

from moto.ec2.models.instances import InstanceBackend
from moto.server import main

__all__: list[str] = []

real = InstanceBackend.terminate_instances


def terminate(self: Any, instance_ids: list[str]) -> Any:
    there = {one.id: one for one in self.all_instances()}
    ended = [one for one in instance_ids if one in there and there[one].state == "terminated"]
    changed = real(self, [one for one in instance_ids if one not in ended]) if len(ended) < len(instance_ids) else []
    return [*changed, *((there[one], {"name": "terminated", "code": 48}) for one in ended)]


InstanceBackend.terminate_instances = terminate
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
