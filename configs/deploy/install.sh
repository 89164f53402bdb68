#!/bin/sh
# Installs one role into a virtual environment of its own: the same step in the images and outside of them.
# Usage: install.sh ROLE PREFIX [SOURCE]   ROLE: upstream, downstream, runtime-cpu, runtime-cuda; SOURCE: the source tree
set -eu
role=${1:?install.sh ROLE PREFIX [SOURCE]} prefix=${2:?install.sh ROLE PREFIX [SOURCE]}
source=${3:-$(cd "$(dirname "$0")/../.." && pwd)}
python=${PYTHON:-python3}

case $role in
upstream) extras=upstream,postgres,shared ;;
downstream) extras=downstream,postgres,ldap ;;
runtime-cpu) extras=runtime,scale ;;
runtime-cuda) extras=runtime,diffusion,scale ;;
*)
    echo "install.sh: no role $role; roles: upstream downstream runtime-cpu runtime-cuda" >&2
    exit 2
    ;;
esac

version=$("$python" -c 'import sys; print("3.11" if sys.version_info < (3, 12) else "3.12")')
"$python" -m venv "$prefix"
# constraints name the CPU build's version of torch; on CUDA machines the same version comes with its CUDA libraries
"$prefix/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check \
    -c "$source/constraints-$version.txt" "$source[$extras]"
"$prefix/bin/python" -m pip check --disable-pip-version-check
"$prefix/bin/sketchwire" --help >/dev/null
echo "$role is installed in $prefix"
