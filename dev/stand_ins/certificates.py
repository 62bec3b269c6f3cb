"""Makes a certificate authority for one run, and a server certificate that it signs."""

import datetime as dt
import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AS_MANY = 150
_AUTHORITY_NAME = "Throw-away certificate authority"


@dataclass(frozen=True)
class TlsFiles:
    """The paths of the certificates.

    Attributes:
        ca: The authority's certificate (PEM), which a client must trust.
        authorities: A folder with the same certificate, named by its hash, where OpenSSL finds it.
            It has as many files as a platform's folder; the others are empty.
        certificate: The server's private key and certificate in one file (PEM).
    """

    ca: Path
    authorities: Path
    certificate: Path


def make_certificates(*names: str, folder: Path) -> TlsFiles:
    """Make a certificate authority and a server certificate, valid for a week.

    The authority's key is not kept, so that nothing else can be signed with it.

    Args:
        *names: Host names (`*.` is allowed) and IP addresses that the server answers to.
        folder: An existing folder to write both files to.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority = (
        _certificate(_AUTHORITY_NAME, authority_key, signer=authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_may_sign_certificates(), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        _certificate("Stand-in", server_key, signer=authority_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    private_key = server_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    files = TlsFiles(
        ca=folder / "ca.pem",
        authorities=folder / "authorities",
        certificate=folder / "server.pem",
    )
    files.ca.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files.authorities.mkdir()
    for number in range(_AS_MANY):
        (files.authorities / f"{number:08x}.0").touch()
    (files.authorities / f"{_hash(_AUTHORITY_NAME)}.0").write_bytes(files.ca.read_bytes())
    files.certificate.touch(mode=0o600)
    files.certificate.write_bytes(private_key + server.public_bytes(serialization.Encoding.PEM))
    return files


def _certificate(
    common_name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(_name(_AUTHORITY_NAME))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=7))
        # Python 3.13 verifies strictly (RFC 5280), and then asks for both identifiers.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _hash(common_name: str) -> str:
    """Hash a name as `openssl x509 -hash` does: in lower case, without the outer header."""
    canonical = _name(common_name.lower()).public_bytes()[2:]
    digest = hashlib.sha1(canonical, usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _may_sign_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
