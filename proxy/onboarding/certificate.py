"""The proxy's CA certificate in the formats that platforms take; never its key.

In: the certificate's PEM file. Out: PEM, DER, an Apple configuration profile, the fingerprint people compare. Refuses:
files without a certificate, and files that hold a private key (`ValueError`).
"""

from __future__ import annotations

import hashlib
import plistlib
import re
import ssl
import uuid
from dataclasses import dataclass

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
NAME = "Sketchwire CA"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A CA certificate; `der` is its binary form."""

    pem: bytes
    der: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER form, as browsers show it."""
        digits = hashlib.sha256(self.der).hexdigest().upper()
        return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))

    def mobileconfig(self) -> bytes:
        """A configuration profile for iOS, iPadOS and macOS (Apple's Configuration Profile Reference, 2019)."""
        digest = hashlib.sha256(self.der).digest()
        outer, inner = (str(uuid.UUID(bytes=digest[i : i + 16], version=4)).upper() for i in (0, 16))
        payload = {
            "PayloadType": "com.apple.security.root",
            "PayloadVersion": 1,
            "PayloadIdentifier": f"internal.sketchwire.ca.{inner}",
            "PayloadUUID": inner,
            "PayloadDisplayName": NAME,
            "PayloadCertificateFileName": "sketchwire-ca.cer",
            "PayloadContent": self.der,
        }
        profile = {
            "PayloadType": "Configuration",
            "PayloadVersion": 1,
            "PayloadIdentifier": "internal.sketchwire.ca",
            "PayloadUUID": outer,
            "PayloadDisplayName": NAME,
            "PayloadDescription": "Lets this device trust the Sketchwire proxy, so that https pages are saved on, too.",
            "PayloadOrganization": "Sketchwire",
            "PayloadRemovalDisallowed": False,
            "PayloadContent": [payload],
        }
        return plistlib.dumps(profile)


def read_certificate(text: bytes) -> Certificate:
    """The first certificate of a PEM file. Raises ValueError."""
    content = text.decode("ascii", "replace")
    if "PRIVATE KEY" in content:
        raise ValueError("this file holds a private key and is not given away")
    found = _BLOCK.search(content)
    if found is None:
        raise ValueError("no certificate in the file")
    return Certificate(found[0].encode() + b"\n", ssl.PEM_cert_to_DER_cert(found[0]))
