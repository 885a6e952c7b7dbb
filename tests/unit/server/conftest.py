"""Records to look at."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_dodas.options import Options
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Condition, InstanceStatus, Phase, Record


@pytest.fixture
def record() -> Callable[..., Record]:
    def make(name: str = "higgs", address: str = "http://127.0.0.1:8787", **options: Any) -> Record:
        asked = Options.model_validate(options).model_dump(mode="json")
        spec = ClusterSpec(name=name, uid="0123", kind="toy", owner="ada", created=time.time(), options=asked)
        instances = {
            "scheduler": InstanceStatus(role="scheduler", condition=Condition.READY, ports={"dashboard": 8787}, since=1.0),
            "worker-1": InstanceStatus(role="worker", group="worker", cores=2, memory=2**30, since=1.0),
        }
        addresses = {"dashboard": address, "scheduler": "tls://127.0.0.1:8786"}
        return Record(spec=spec, status=ClusterStatus(uid="0123", phase=Phase.READY, instances=instances, addresses=addresses))

    return make
