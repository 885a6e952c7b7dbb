"""Spark as a kind of cluster: a standalone master, workers that register there, and a Connect server if wanted.

The controller and every client import this module, so nothing heavy is imported with it.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Final

from jupyter_dodas.options import GroupOptions, validate
from jupyter_dodas.options import Options as CommonOptions
from jupyter_dodas.services.base import Endpoint, Instance, Link, Role, Service, Site
from jupyter_dodas.services.spark import conf, credentials, java, mounting
from jupyter_dodas.services.spark.link import SparkLink
from jupyter_dodas.services.spark.options import SparkOptions
from jupyter_dodas.spec import ClusterSpec

__all__ = ["SparkService"]

_DAEMON: Final = "jupyter_dodas.services.spark.daemon"
_NOTICE: Final = 25.0
"""Seconds, so that with its grace a worker has the half minute that nodes are emptied with by default."""

_EXAMPLE: Final = """\
# Pi from random points: twice the executors, half the time.
points = spark.range(0, 200_000_000, numPartitions=40)
points = points.selectExpr("rand() AS x", "rand() AS y")
points.selectExpr("4 * avg(IF(x*x + y*y < 1, 1, 0)) AS pi").show()"""


class SparkService(Service):
    """See `Service`."""

    kind: ClassVar[str] = "spark"
    title: ClassVar[str] = "Spark"
    summary: ClassVar[str] = "SQL, data frames and RDDs over large data."
    snippet: ClassVar[str] = "spark = cluster.session()"
    example: ClassVar[str] = _EXAMPLE
    worker: ClassVar[str] = "executor"
    preload: ClassVar[tuple[str, ...]] = (_DAEMON,)
    packages: ClassVar[tuple[str, ...]] = ("pyspark", "pandas", "pyarrow", "numpy")
    # Scripts of Spark's pages take whatever follows this word in their address for an application.
    reserved: ClassVar[frozenset[str]] = frozenset({"proxy"})
    Options: ClassVar[type[CommonOptions]] = SparkOptions

    def roles(self, asked: CommonOptions) -> tuple[Role, ...]:
        """Return the master and the workers, to be started together: a worker waits for its master."""
        wants_connect = isinstance(asked, SparkOptions) and asked.connect
        connect = Role("connect", ports=("grpc",), after=("master",), step="Connect server answers")
        return (
            Role("master", ports=("rpc", "web"), step="Master answers"),
            Role("worker", ports=("rpc", "web", "control"), scaled=True, step="Workers register"),
            *([connect] if wants_connect else []),
        )

    def instance(self, name: str, role: Role, group: GroupOptions, spec: ClusterSpec, site: Site) -> Instance:
        """Describe a master, a worker or a Connect server."""
        options = validate(SparkOptions, self.kind, spec.options)
        endpoint = site.endpoints[name]
        common = (
            *("python", "-m", _DAEMON, role.name),
            *(f"--name={name}", f"--cluster={spec.uid}", f"--host={endpoint.host}", f"--secrets={site.secrets}"),
            *(f"--{port}={endpoint.ports[port]}" for port in role.ports),
            *([f"--listen={site.listen}"] if site.listen else []),
        )
        match role.name:
            case "master":
                command, cores, memory = common, 1, 0
            case "worker":
                command = (*common, f"--master={_master(site)['rpc']}", f"--cores={group.cores}", f"--memory={int(group.memory)}")
                cores, memory = group.cores, int(group.memory)
            case _:
                settings = {**conf.of_applications(f"{spec.name} (Connect)", options), **conf.OF_CONNECT, **options.configuration}
                command = (
                    *(*common, f"--master={_master(site)['rpc']}", f"--memory={int(options.driver_memory)}"),
                    *(f"--setting={name}={value}" for name, value in settings.items()),
                    *(f"--package={package}" for package in options.packages),
                )
                cores, memory = 1, int(options.driver_memory)
        return Instance(
            name=name,
            cluster=spec.name,
            role=role.name,
            group=name.rpartition("-")[0] if role.scaled else None,
            command=command,
            endpoint=endpoint,
            notice=_NOTICE if role.scaled else 0.0,
            any_port=role.name != "master",  # of executors and drivers
            cores=cores,
            memory=memory,
            gpus=group.gpus if role.scaled else 0,
        )

    def secrets(self, spec: ClusterSpec) -> Mapping[str, bytes]:
        """Make the secret that all processes share, the key of the pages and the token of the Connect server."""
        return credentials.issue(cores=validate(SparkOptions, self.kind, spec.options).cores)

    def require(self, asked: CommonOptions) -> str:
        """See that there is a Java, and a pyspark."""
        found = java.find_java(os.environ)
        if asked.environment.python not in (None, sys.executable):
            return f"Java {found.version}, {found.program}"  # of another environment nothing is known here
        return f"Spark {java.find_spark().version} on Java {found.version}, {found.program}"

    def apart(self, asked: CommonOptions) -> CommonOptions:
        """Have a Connect server: executors must reach their driver, which then is a part of the cluster."""
        return asked.model_copy(update={"connect": True})

    def link(self, site: Callable[[], Site], changed: Callable[[], None]) -> Link:
        """Look at what the master and the drivers of its applications show."""
        return SparkLink(site, changed)

    def addresses(self, site: Site) -> Mapping[str, str]:
        """Return where drivers, clients and browsers go, once the master has a place."""
        try:
            master = _master(site)
        except LookupError:
            return {}
        found = {"master": f"spark://{master['rpc']}", "dashboard": f"http://{master['web']}"}
        if (connect := site.endpoints.get("connect")) is not None:
            # By this very name, clients send a token without TLS; an address of digits makes them insist on it.
            host = "localhost" if connect.host.startswith("127.") else connect.host
            found["connect"] = f"sc://{host}:{connect.ports['grpc']}"
        return found

    def key(self, dashboard: str, secrets: Path, now: float) -> Mapping[str, str]:
        """Return the headers that open its pages for some minutes: a token signed with the cluster's key."""
        return {"Authorization": credentials.bearer(credentials.read(secrets), now + 300)}

    def mounted(self, page: str, path: str, mount: str, address: str) -> str:
        """Return a page of the master, or of a worker or an application by way of it."""
        return mounting.mounted(page, path, mount, address)


def _master(site: Site) -> Endpoint:
    return site.endpoints["master"]
