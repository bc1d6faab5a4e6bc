#!/bin/sh
# Installs Ingot into .venv from a hashed lock: "runtime" to run it, "dev" to test it as well.
set -eu
kind=$1
. scripts/uv.sh
[ -x .venv/bin/python ] || "$UV" venv --quiet --python '>=3.11' .venv
export VIRTUAL_ENV="$PWD/.venv"
# The lock holds every hash; the project itself is built from this checkout, with nothing else resolved.
# Compiled now: the first start should not have to (measured: 1.9 s of CPU for `ingot version`, 0.6 s compiled).
"$UV" pip install --quiet --compile-bytecode --require-hashes -r "locks/$kind.txt"
"$UV" pip install --quiet --no-deps --no-build-isolation --editable .
.venv/bin/python -m compileall -q src/ingot
if [ "$kind" = dev ]; then
    if command -v npm >/dev/null 2>&1; then
        (cd tests/e2e/node && npm ci --silent --no-audit --no-fund --ignore-scripts)
    else
        echo "npm is missing: the Node tests will be skipped" >&2
    fi
    touch .venv/.installed-dev
fi
touch .venv/.installed
