#!/bin/sh
# Starts a role in a container. Secrets come as files that the orchestrator mounts, often readable by a group; they are
# copied to where the role keeps its state, 0600. The certificate authority that all proxies of a role share is put
# where the role looks for its own, once.
# HOME: the state's root (/var/lib/sketchwire). SKETCHWIRE_SECRETS: the folder with the mounted files.
set -eu
umask 077
role=${1:?entry.sh ROLE [OPTIONS]}
if [ -n "${SKETCHWIRE_SECRETS:-}" ]; then
    mkdir -p "$HOME/secrets" "$HOME/$role"
    for file in "$SKETCHWIRE_SECRETS"/*; do
        [ -f "$file" ] || continue
        cat "$file" >"$HOME/secrets/.new"
        mv "$HOME/secrets/.new" "$HOME/secrets/$(basename "$file")"
    done
    ca=$HOME/secrets/$role-ca.pem
    if [ -e "$ca" ] && [ ! -e "$HOME/$role/mitmproxy-ca.pem" ]; then
        openssl x509 -in "$ca" -out "$HOME/$role/mitmproxy-ca-cert.pem"
        cp "$ca" "$HOME/$role/.new"
        mv "$HOME/$role/.new" "$HOME/$role/mitmproxy-ca.pem"
    fi
fi
exec "${SKETCHWIRE_PROGRAM:-/opt/sketchwire/bin/sketchwire}" "$@"
