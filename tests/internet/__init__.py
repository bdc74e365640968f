"""All servers of the internet in one: whatever name a process asks for, it is this one that answers, over TLS.

For programs that know their services' addresses by heart. Nothing of them is changed: they resolve names as ever, and
trust another authority. `environment` is what a child process needs for it.
"""

from __future__ import annotations

import os
import socket
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

import aiohttp
import aiohttp.resolver
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rasa_handoff.testing import wire
from tests.internet.internet_names import Names

HOSTS = (
    "api.telegram.org",
    "api.twilio.com",
    "chat.googleapis.com",
    "files.slack.com",
    "graph.facebook.com",
    "login.botframework.com",
    "login.microsoftonline.com",
    "oauth2.googleapis.com",
    "slack.com",
    "smba.trafficmanager.net",
    "webexapis.com",
    "www.googleapis.com",
    "callback.example",
    "chat.example",
    "enterprise.example",
    "files.example",
    "mattermost.example",
)


class Internet(wire.Wire):
    """A `Wire` that is every server; the name that was asked for is in a request's ``host`` header.

    Args:
        folder: for its certificates.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._authority = folder / "authority.pem"
        self._certificate = folder / "certificate.pem"
        _certify(self._authority, self._certificate)

    def _listening(self) -> wire._Server:
        server = super()._listening()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate)
        # Handshakes are left to the connections' own threads.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        return server

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be every server for this process, until the test is over."""
        names = Names(self._port)
        monkeypatch.setattr(socket, "getaddrinfo", names.look_up)
        monkeypatch.setattr(aiohttp.resolver.ThreadedResolver, "resolve", names.resolver())
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, str(self._authority))
        self.forget()

    @staticmethod
    def forget() -> None:
        """Trust, from now on, whom the environment says: aiohttp looks there once in a process."""
        aiohttp.TCPConnector._make_ssl_context.cache_clear()

    def asked_of(self, host: str) -> list[wire.Asked]:
        """What *host* was asked."""
        return [each for each in self.asked if each.headers["host"] == host]

    @property
    def environment(self) -> dict[str, str]:
        """For a child process: its names lead here, and it trusts what answers."""
        here = str(Path(__file__).parent)
        return {
            "PYTHONPATH": os.pathsep.join([here, str(Path(__file__).parents[2])]),
            "INTERNET_PORT": str(self._port),
            "INTERNET_AUTHORITY": str(self._authority),
            "SSL_CERT_FILE": str(self._authority),
            "REQUESTS_CA_BUNDLE": str(self._authority),
        }


def _certify(authority: Path, certificate: Path) -> None:
    """Write an authority's certificate, and a server's with its key."""
    issuer_key, key = _key(), _key()
    issuer = _name("Internet")
    issuer_certificate = (
        _draft(issuer, issuer, issuer_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
    signed = _draft(_name("everybody"), issuer, key).add_extension(names, critical=False)
    authority.write_bytes(_pem(issuer_certificate))
    certificate.write_bytes(_private(key) + _pem(signed.sign(issuer_key, hashes.SHA256())))


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _draft(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
