"""How each platform is made to trust the CA certificate, as people do it.

In: nothing. Out: names, files and steps. Refuses: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

PEM, DER, PROFILE = "sketchwire-ca.pem", "sketchwire-ca.cer", "sketchwire-ca.mobileconfig"


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of device, the file it takes, and what to do with it."""

    name: str
    file: str
    steps: tuple[str, ...]


PLATFORMS = (
    Platform(
        "Windows",
        DER,
        (
            "Download the certificate and open it.",
            "Choose Install Certificate, then Current User (or Local Machine for all users).",
            "Choose “Place all certificates in the following store”, Browse, Trusted Root Certification Authorities.",
            "Finish, and confirm the security question after comparing the fingerprint.",
        ),
    ),
    Platform(
        "macOS",
        DER,
        (
            "Download the certificate and open it; Keychain Access adds it to the login keychain.",
            "Find “mitmproxy” under Certificates and open it.",
            "Under Trust, set “When using this certificate” to Always Trust, close, and enter your password.",
        ),
    ),
    Platform(
        "iPhone and iPad",
        PROFILE,
        (
            "Open this page in Safari, download the profile and allow it.",
            "Settings, General, VPN & Device Management: install the profile “Sketchwire CA”.",
            "Settings, General, About, Certificate Trust Settings: switch full trust on for “mitmproxy”.",
        ),
    ),
    Platform(
        "Android",
        DER,
        (
            "Download the certificate.",
            "Settings, Security, Encryption & credentials, Install a certificate, CA certificate.",
            "Confirm “Install anyway” and choose the downloaded file.",
            "Chrome trusts it then. Most apps do not; Sketchwire notices that and leaves them alone.",
        ),
    ),
    Platform(
        "Firefox, on any system",
        PEM,
        (
            "Settings, Privacy & Security, Certificates, View Certificates, Authorities, Import.",
            "Choose the downloaded file and tick “Trust this CA to identify websites”.",
        ),
    ),
    Platform(
        "Linux",
        PEM,
        (
            "Debian, Ubuntu: copy the file to /usr/local/share/ca-certificates/sketchwire.crt, then sudo "
            "update-ca-certificates.",
            "Fedora: copy it to /etc/pki/ca-trust/source/anchors/, then sudo update-ca-trust.",
            "Chromium: certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n Sketchwire -i sketchwire-ca.pem",
        ),
    ),
)
