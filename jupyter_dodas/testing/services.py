"""What a service owes the controller: pure descriptions, valid options, no secret where others can read. Nothing runs here."""

# ruff: noqa: D102 - a test's name says what it shows

import asyncio
import base64
import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from jupyter_dodas.options import Options, validate
from jupyter_dodas.services.base import Endpoint, Instance, Report, Role, Service, Site
from jupyter_dodas.spec import ClusterSpec
from jupyter_dodas.testing.stores import a_spec

__all__ = ["ServiceContract"]

_AT_ONCE: Final = 1.0
"""Seconds within which a connection answers, whether or not there is a service."""

_BEYOND: Final = 64_000


@pytest.mark.anyio
class ServiceContract:
    """Subclass it, supply `service`, and name the options that make a difference."""

    examples: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Options of the kind, besides those that every kind has."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Everything here is asyncio's."""
        return "asyncio"

    @pytest.fixture
    def service(self) -> Service:
        """Return the service."""
        raise NotImplementedError

    # -- words --------------------------------------------------------------------------------------------------------

    def test_it_introduces_itself(self, service: Service) -> None:
        assert service.kind.isidentifier()
        assert service.kind == service.kind.lower()
        assert service.title
        assert service.worker
        assert service.summary.endswith(".")

    # -- options ------------------------------------------------------------------------------------------------------

    def test_its_options_are_data(self, service: Service) -> None:
        schema = service.Options.model_json_schema()
        assert json.loads(json.dumps(schema)) == schema
        assert schema["additionalProperties"] is False
        for name, field in service.Options.model_fields.items():
            assert field.description, f"{name} has no description"
            assert field.description.endswith("."), name
            assert not field.is_required(), f"{name} has no default, so there is no plain launch"

    def test_options_come_back_from_a_record_as_they_were(self, service: Service) -> None:
        for options in self.all_options(service):
            stored = json.loads(json.dumps(options.model_dump(mode="json")))
            assert validate(service.Options, service.kind, stored) == options

    # -- instances ----------------------------------------------------------------------------------------------------

    def test_its_roles_make_a_cluster(self, service: Service) -> None:
        for options in self.all_options(service):
            roles = service.roles(options)
            assert roles == service.roles(options)
            names = [role.name for role in roles]
            assert len(set(names)) == len(names) > 0
            for number, role in enumerate(roles):
                assert role.name.isalpha()
                assert len(set(role.ports)) == len(role.ports)
                assert set(role.after) <= set(names[:number]), f"{role.name} waits for what starts later"

    def test_its_instances_are_what_was_asked_for(self, service: Service) -> None:
        for options in self.all_options(service):
            for instance, role, group in self.all_instances(service, options):
                assert (instance.cluster, instance.role) == ("higgs", role.name)
                assert instance.command
                assert all(instance.command)
                assert instance.grace >= 0
                if role.scaled:
                    asked = options.all_groups()[group or "worker"]
                    assert (instance.cores, instance.memory) == (asked.cores, int(asked.memory))
                    assert instance.gpus in (0, asked.gpus)

    def test_describing_is_pure(self, service: Service, tmp_path: Path) -> None:
        for options in self.all_options(service):
            first, second = (self.all_instances(service, options, secrets=tmp_path / "nowhere") for _ in range(2))
            assert first == second
        assert list(tmp_path.iterdir()) == []

    def test_names_come_from_the_caller(self, service: Service) -> None:
        for options in self.all_options(service):
            names = [instance.name for instance, _, _ in self.all_instances(service, options)]
            assert names == [name for name, _, _ in _wanted(service, options)]

    def test_what_it_preloads_can_be_imported(self, service: Service) -> None:
        commands = [i.command for options in self.all_options(service) for i, _, _ in self.all_instances(service, options)]
        modules = {command[2] for command in commands if command[:2] == ("python", "-m")}
        if service.preload:
            assert modules <= set(service.preload), "an instance runs a module that is not preloaded"

    # -- secrets ------------------------------------------------------------------------------------------------------

    def test_every_cluster_has_secrets_of_its_own(self, service: Service) -> None:
        one, other = self.secrets(service, self.spec(service, {})), self.secrets(service, self.spec(service, {}))
        assert one.keys() == other.keys()
        for file, secret in one.items():
            assert file == Path(file).name
            assert secret
            assert secret != other[file], f"{file} is the same for two clusters"

    def test_no_secret_is_where_others_can_read(self, service: Service, tmp_path: Path) -> None:
        for options in self.all_options(service):
            secrets = self.secrets(service, self.spec(service, options.model_dump(mode="json")))
            folder = _laid(secrets, tmp_path)
            site = _site(service, options, folder)
            instances = [i for i, _, _ in self.all_instances(service, options, secrets=folder)]
            shown = repr([dataclasses.asdict(i) for i in instances]) + repr(dict(service.addresses(site)))
            for file, secret in secrets.items():
                for spelled in _spellings(secret):
                    assert spelled not in shown, f"{file} is in a command, a variable or an address"

    # -- reaching it --------------------------------------------------------------------------------------------------

    def test_addresses_are_plain_words(self, service: Service) -> None:
        for options in self.all_options(service):
            addresses = service.addresses(_site(service, options, Path("/nowhere")))
            assert all(isinstance(word, str) for pair in addresses.items() for word in pair)
            assert service.addresses(Site("higgs", {}, Path("/nowhere"))) == {}, "nothing has an address yet"

    async def test_a_link_bears_that_nobody_answers(self, service: Service, tmp_path: Path) -> None:
        options = service.Options()
        site = _site(service, options, _laid(self.secrets(service, self.spec(service, {})), tmp_path))
        before = asyncio.all_tasks()
        link = service.link(lambda: site, lambda: None)
        try:
            for _ in range(3):
                async with asyncio.timeout(_AT_ONCE):
                    assert await link.report() == Report()
                    with suppress(OSError, EOFError):
                        assert list(await link.drain(["worker-1"])) == []
                await asyncio.sleep(0)
        finally:
            async with asyncio.timeout(_AT_ONCE):
                await link.close()
        assert asyncio.all_tasks() == before, "closing left something running"

    async def test_a_link_bears_a_site_without_anything(self, service: Service, tmp_path: Path) -> None:
        link = service.link(lambda: Site("higgs", {}, tmp_path), lambda: None)
        async with asyncio.timeout(_AT_ONCE):
            await asyncio.sleep(0)
            assert await link.report() == Report()
            await link.close()

    async def test_a_link_bears_somebody_else_on_its_ports(self, service: Service, tmp_path: Path) -> None:
        """A port is free again as soon as its owner dies, and then anybody may have it."""
        spoken = asyncio.Event()

        async def stranger(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n\x00{}\n[]\nnull\n")
            writer.close()
            spoken.set()

        secrets = _laid(self.secrets(service, self.spec(service, {})), tmp_path)
        async with await asyncio.start_server(stranger, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            endpoints = {
                name: Endpoint("127.0.0.1", dict.fromkeys(role.ports, port))
                for name, role, _ in _wanted(service, service.Options())
                if role.ports
            }
            link = service.link(lambda: Site("higgs", endpoints, secrets), lambda: None)
            async with asyncio.timeout(10):
                await spoken.wait()
                assert await link.report() == Report()
                await link.close()

    # -- helpers ------------------------------------------------------------------------------------------------------

    def secrets(self, service: Service, spec: ClusterSpec) -> Mapping[str, bytes]:
        """Return the secrets of a new cluster; override it to add those that are handed over."""
        return service.secrets(spec)

    def spec(self, service: Service, options: Mapping[str, Any]) -> ClusterSpec:
        """Return the spec of a cluster with these options."""
        return a_spec(kind=service.kind, options=dict(options), created=1.0, uid="0123456789ab")

    def all_options(self, service: Service) -> Sequence[Options]:
        """Return the options to try: the plain ones, groups, adapting, and the kind's own examples."""
        groups = {"gpu": {"workers": 1, "gpus": 1, "cores": 4, "memory": "4 GiB"}, "spare": {"adapt": [0, 3]}}
        common: Sequence[Mapping[str, Any]] = ({}, {"workers": 3, "cores": 2}, {"adapt": [0, 10]}, {"groups": groups})
        return [validate(service.Options, service.kind, options) for options in (*common, *self.examples)]

    def all_instances(
        self, service: Service, options: Options, secrets: Path = Path("/nowhere")
    ) -> Sequence[tuple[Instance, Role, str | None]]:
        """Return every instance of a cluster, with its role and group."""
        spec, site = self.spec(service, options.model_dump(mode="json")), _site(service, options, secrets)
        groups = options.all_groups()
        return [
            (service.instance(name, role, groups[group or "worker"], spec, site), role, group)
            for name, role, group in _wanted(service, options)
        ]


def _wanted(service: Service, options: Options) -> Sequence[tuple[str, Role, str | None]]:
    """Name every instance as the controller does: after its role, or its group and a number."""
    found: list[tuple[str, Role, str | None]] = []
    for role in service.roles(options):
        if not role.scaled:
            found.append((role.name, role, None))
            continue
        for group, asked in options.all_groups().items():
            found += [(f"{group}-{number}", role, group) for number in range(1, asked.bounds()[1] + 1)]
    return found


def _site(service: Service, options: Options, secrets: Path) -> Site:
    """Return a place where every instance that listens has ports, beyond those that systems give out by themselves."""
    endpoints, free = {}, itertools.count(_BEYOND)
    for name, role, _ in _wanted(service, options):
        if role.ports:
            endpoints[name] = Endpoint("127.0.0.1", {port: next(free) for port in role.ports})
    return Site("higgs", endpoints, secrets)


def _laid(secrets: Mapping[str, bytes], folder: Path) -> Path:
    for file, secret in secrets.items():
        (folder / file).write_bytes(secret)
    return folder


def _spellings(secret: bytes) -> set[str]:
    found = {base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode(), secret.hex()}
    with suppress(UnicodeDecodeError):
        text = secret.decode().strip()
        found |= {text, *(line for line in text.splitlines() if len(line) > 16 and not line.startswith("-----"))}
    return found
