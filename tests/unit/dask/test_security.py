"""Nobody without the cluster's certificate is let in, and its key is seen nowhere."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from dask_processes import Processes
from distributed import Client

from jupyter_dodas.certificates import issue
from jupyter_dodas.credentials import AUTHORITY, CERTIFICATE, KEY, accepting, connecting
from jupyter_dodas.services.base import Report, Site
from jupyter_dodas.services.dask.security import security
from jupyter_dodas.services.dask.signin import DASHBOARD
from jupyter_dodas.services.link import ReportingLink

pytestmark = pytest.mark.anyio


def test_one_certificate_for_a_year_signed_by_an_authority_without_a_key() -> None:
    files = issue("higgs", DASHBOARD)
    assert set(files) == {AUTHORITY, CERTIFICATE, KEY, DASHBOARD}
    authority, certificate = (x509.load_pem_x509_certificate(files[name]) for name in (AUTHORITY, CERTIFICATE))
    certificate.verify_directly_issued_by(authority)
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert timedelta(days=364) < certificate.not_valid_after_utc - datetime.now(UTC) <= timedelta(days=365)
    assert b"PRIVATE" not in files[AUTHORITY] + files[CERTIFICATE]
    assert files[KEY].count(b"PRIVATE KEY") == 2, "one key, and not that of the authority"
    assert not set(files.values()) & set(issue("higgs", DASHBOARD).values())


@pytest.mark.parametrize("port", ["comm", "control"])
@pytest.mark.parametrize("way", ["plain text", "no certificate", "another cluster's certificate"])
async def test_only_the_certificate_opens_a_port(shared: Processes, tmp_path: Path, port: str, way: str) -> None:
    context = None if way == "plain text" else _context(tmp_path, way)
    host, number = shared.endpoint.host, shared.endpoint.ports[port]
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await _hear(host, number, context)
    assert await _hear(host, number, connecting(shared.site.secrets)), "with it, the other end speaks first"


def _context(folder: Path, way: str) -> ssl.SSLContext:
    if way == "no certificate":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        for name, content in issue("higgs", DASHBOARD).items():
            (folder / name).write_bytes(content)
        context = connecting(folder)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _hear(host: str, port: int, context: ssl.SSLContext | None) -> bytes:
    """Return the first bytes that somebody says who lets us in."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            return await reader.readexactly(2)
        finally:
            writer.transport.abort()


async def test_a_link_with_another_clusters_secrets_hears_nothing(shared: Processes, tmp_path: Path) -> None:
    for name, content in issue("higgs", DASHBOARD).items():
        (tmp_path / name).write_bytes(content)
    link = ReportingLink(lambda: Site("higgs", shared.site.endpoints, tmp_path), lambda: None)
    try:
        async with shared.link() as watched:
            await watched.until(lambda report: report.ready)
            assert await link.report() == Report()
    finally:
        await link.close()


async def test_a_plain_client_is_refused(shared: Processes) -> None:
    address = shared.addresses["scheduler"].replace("tls://", "tcp://")
    with pytest.raises(OSError, match=r".+"):
        await Client(address, asynchronous=True, timeout=2, set_as_default=False)  # type: ignore[no-untyped-call]


async def test_workers_refuse_strangers_too_and_serve_no_pages(shared: Processes, tmp_path: Path) -> None:
    async with shared.client(asynchronous=True) as client:
        await client.wait_for_workers(2)
        workers = client.scheduler_info(n_workers=-1)["workers"]
    for address, worker in workers.items():
        assert worker["services"] == {}
        host, port = address.removeprefix("tls://").rsplit(":", 1)
        assert host == "127.0.0.1"
        for context in (None, _context(tmp_path, "no certificate")):
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await _hear(host, int(port), context)


def test_keys_are_in_no_arguments_environment_or_log(shared: Processes) -> None:
    secrets = [shared.site.secrets / name for name in (KEY, DASHBOARD)]
    words = [line for path in secrets for line in path.read_bytes().split(b"\n") if line and b"-----" not in line]
    for name, process in shared.running.items():
        proc = Path(f"/proc/{process.pid}")
        seen = b"".join((proc / part).read_bytes() for part in ("cmdline", "environ")) + shared.log(name).encode()
        assert not [word for word in words if word in seen]
    assert "Local (" in repr(security(shared.site.secrets))


def test_both_ends_of_the_control_channel_ask_for_a_certificate(shared: Processes) -> None:
    for context in (accepting(shared.site.secrets), connecting(shared.site.secrets)):
        assert context.verify_mode is ssl.CERT_REQUIRED
