"""This installation's key: made once, kept private, replaced by rotation.

In: a folder. Out: a private key and a certificate that says nothing but its public key. Refuses: nothing.

The certificate is only a container that TLS understands: nobody reads its name, and it does not expire, because who is
trusted is decided by its fingerprint alone, and boxes at the far end of a thin link often have no working clock.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from proxy.link.secure import fingerprint

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sketchwire link")])
_BEGIN = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class Key:
    """Files of a key pair, and its name."""

    certificate: Path
    private: Path
    pem: str
    fingerprint: str

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature."""
        private = serialization.load_pem_private_key(self.private.read_bytes(), None)
        assert isinstance(private, ed25519.Ed25519PrivateKey)
        return private.sign(message)


def load_or_make(folder: Path, name: str = "link") -> Key:
    """The key in `folder`, which is made on first use."""
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    if not (certificate.exists() and private.exists()):
        make(folder, name)
    pem = certificate.read_text(encoding="ascii")
    return Key(certificate, private, pem, fingerprint_of(pem))


def make(folder: Path, name: str = "link") -> None:
    """Write a new key pair, over an older one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ed25519.Ed25519PrivateKey.generate()
    builder = x509.CertificateBuilder().subject_name(_NAME).issuer_name(_NAME).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(_BEGIN).not_valid_after(_END)
    certificate = builder.sign(key, None)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(folder / f"{name}.key", private)
    write_private(folder / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM))


def replace_with(folder: Path, name: str) -> None:
    """Make the key called `name` this installation's."""
    (folder / f"{name}.key").replace(folder / "link.key")
    (folder / f"{name}.pem").replace(folder / "link.pem")


def fingerprint_of(pem: str) -> str:
    """The fingerprint of a certificate in PEM form. Raises ValueError."""
    return fingerprint(der_of(pem))


def der_of(pem: str) -> bytes:
    """A certificate's DER form. Raises ValueError."""
    try:
        return x509.load_pem_x509_certificate(pem.encode("ascii")).public_bytes(serialization.Encoding.DER)
    except Exception as error:  # the library has errors of its own besides ValueError, such as InvalidVersion
        raise ValueError(f"not a certificate: {error}") from error


def verified(pem: str, signature: bytes, message: bytes) -> bool:
    """Whether the holder of the key in certificate `pem` signed `message`."""
    try:
        public = x509.load_pem_x509_certificate(pem.encode("ascii")).public_key()
        if not isinstance(public, ed25519.Ed25519PublicKey):
            return False
        public.verify(signature, message)
    except Exception:  # InvalidSignature, ValueError, UnsupportedAlgorithm: in any case it is not proved
        return False
    return True


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its user can read, in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
    draft.replace(path)
