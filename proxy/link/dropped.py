"""Which fields of an answer's head need not cross the link, because nothing in a browser acts on them.

In: a response field's name, and whether a script may read the answer. Out: whether it is left out. Refuses: to touch
anything that browsers act on: caching, cookies, CORS, CSP and other security fields, types, hints, timing permissions.

A script that fetches something of its own site may read every field of the answer, and a few do (rate limits, request
numbers). So for answers to scripts only what names the server's software and its caches goes. docs/link.md has the same
lists; a test compares.
"""

from __future__ import annotations

# software, routes and caches of the server; reports about the network, which go around the link anyway
ALWAYS = frozenset(
    (
        "alt-svc",
        "cf-cache-status",
        "cf-ray",
        "cf-request-id",
        "expect-ct",
        "host-header",
        "keep-alive",
        "nel",
        "p3p",
        "proxy-connection",
        "report-to",
        "server",
        "via",
        "x-amz-cf-id",
        "x-amz-cf-pop",
        "x-amz-id-2",
        "x-amz-request-id",
        "x-aspnet-version",
        "x-aspnetmvc-version",
        "x-azure-ref",
        "x-cache",
        "x-cache-hits",
        "x-cdn",
        "x-drupal-cache",
        "x-drupal-dynamic-cache",
        "x-fastly-request-id",
        "x-generator",
        "x-github-request-id",
        "x-goog-generation",
        "x-goog-hash",
        "x-goog-metageneration",
        "x-goog-storage-class",
        "x-goog-stored-content-encoding",
        "x-goog-stored-content-length",
        "x-guploader-uploadid",
        "x-hacker",
        "x-nf-request-id",
        "x-nginx-cache",
        "x-pingback",
        "x-powered-by",
        "x-proxy-cache",
        "x-served-by",
        "x-timer",
        "x-turbo-charged-by",
        "x-varnish",
        "x-vercel-cache",
        "x-vercel-id",
    )
)
# of documents, pictures, style sheets and scripts that elements load: no script can read these heads
UNLESS_READ_BY_SCRIPTS = frozenset(
    (
        "content-md5",
        "digest",
        "x-akamai-transformed",
        "x-amz-meta-s3cmd-attrs",
        "x-amz-replication-status",
        "x-amz-server-side-encryption",
        "x-amz-storage-class",
        "x-amz-version-id",
        "x-amzn-requestid",
        "x-amzn-trace-id",
        "x-backend",
        "x-backend-server",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-edge-location",
        "x-envoy-upstream-service-time",
        "x-ms-request-id",
        "x-ms-version",
        "x-request-id",
        "x-response-time",
        "x-runtime",
        "x-trace-id",
    )
)


def is_dropped(name: str, for_script: bool) -> bool:
    """Whether the field called `name` (lower case) stays behind."""
    return name in ALWAYS or (not for_script and name in UNLESS_READ_BY_SCRIPTS)
