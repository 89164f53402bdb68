"""An origin for measurements: many https hosts with one certificate, resources of any size, and heads as real ones are.

In: a folder. Out: an aiohttp server on a free port, a CA file, a ready file. Refuses: paths it does not know (404).

    python -m evaluation.linkbench.site FOLDER

What lies in FOLDER/pages is served at `/pages/`.
`/r/SIZE/SEED` gives SIZE reproducible bytes that do not compress; `/t/SIZE/SEED` words that do.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import functools
import json
import random
import ssl
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DOMAIN = "link.test"
MAX_BYTES = 64 * 1024 * 1024
# what a site behind a content network sends with a small resource
HEAD = {
    "Server": "cloudfront-nginx/1.25.3",
    "Cache-Control": "public, max-age=31536000",
    "Last-Modified": "Tue, 03 Nov 2026 09:12:44 GMT",
    "Vary": "Accept-Encoding",
    "Via": "1.1 5f2b9a1e7c6d4f0e8b3a2c1d0e9f8a7b.cloudfront.test (CloudFront)",
    "X-Cache": "Hit from cloudfront",
    "X-Amz-Cf-Pop": "KHI50-C1",
    "X-Amz-Cf-Id": "mB2pU0Qk4c7d9ZxkQ1v0h8s5T3r6Y2w9E4n7C1a8L5o0K3j6G9f2D==",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",
}


@functools.lru_cache(maxsize=512)
def noise(size_bytes: int, seed: str) -> bytes:
    """Bytes that do not compress."""
    return random.Random(f"noise {seed}").randbytes(size_bytes)


@functools.lru_cache(maxsize=512)
def words(size_bytes: int, seed: str) -> bytes:
    """Text of a small vocabulary."""
    chance = random.Random(f"words {seed}")
    stock = ["".join(chance.choice("abcdefghiklmnoprstu") for _ in range(chance.randint(2, 9))) for _ in range(400)]
    text = " ".join(chance.choice(stock) for _ in range(size_bytes // 4 + 1))
    return text.encode()[:size_bytes]


async def resource(request: web.Request) -> web.Response:
    """A body of the size and seed in the path."""
    size = min(int(request.match_info["size"]), MAX_BYTES)
    seed = request.host + request.match_info["seed"]
    noisy = request.match_info["kind"] == "r"
    kind = "application/octet-stream" if noisy else "text/css"
    body = (noise if noisy else words)(size, seed)
    tag = f'"{random.Random(seed).randrange(16**16):016x}"'
    return web.Response(body=body, content_type=kind, headers=HEAD | {"ETag": tag, "X-Request-Id": tag.strip('"')})


def make_certificate(folder: Path) -> ssl.SSLContext:
    """A certificate for all hosts under the domain, its authority in `ca.pem`."""
    now = datetime.datetime.now(datetime.UTC)
    keys = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Measurement authority")])

    def builder(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) if name else issuer
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        made = made.not_valid_after(now + datetime.timedelta(days=2))
        return made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)

    ca = builder("", keys[0]).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    alternatives = x509.SubjectAlternativeName([x509.DNSName(f"*.{DOMAIN}"), x509.DNSName(DOMAIN)])
    leaf = builder(DOMAIN, keys[1]).add_extension(alternatives, critical=False)
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key())
    leaf = leaf.add_extension(issuer_key, critical=False)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.sign(keys[0], hashes.SHA256()).public_bytes(pem))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "leaf.pem"
    file.write_bytes(keys[1].private_bytes(pem, *plain) + leaf.sign(keys[0], hashes.SHA256()).public_bytes(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


async def run(folder: Path) -> None:
    """Serve http and https until the process is ended."""
    app = web.Application()
    app.router.add_get("/{kind:[rt]}/{size:\\d+}/{seed}", resource)
    if (folder / "pages").is_dir():
        app.router.add_static("/pages", folder / "pages")
    runner = web.AppRunner(app)
    await runner.setup()
    context = make_certificate(folder)
    for tls in (None, context):
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls, backlog=512).start()
    ports = [int(address[1]) for address in runner.addresses]
    draft = folder / "site.json.tmp"
    draft.write_text(json.dumps({"http": ports[0], "https": ports[1]}), encoding="utf-8")
    draft.replace(folder / "site.json")
    await asyncio.Event().wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    asyncio.run(run(parser.parse_args().folder))


if __name__ == "__main__":
    main()
