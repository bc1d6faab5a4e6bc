#!/bin/sh
# Resolves pyproject.toml into locks with hashes, for every platform, without naming any registry.
# Releases younger than a week are left out: a poisoned one is usually found within days. The official clients
# that the tests drive are exempt, as their newest release is the contract.
set -eu
. scripts/uv.sh
before=$(date -u -d '7 days ago' +%Y-%m-%dT00:00:00Z 2>/dev/null || date -u -v-7d +%Y-%m-%dT00:00:00Z)
now=$(date -u +%Y-%m-%dT%H:00:00Z)
common="--quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --exclude-newer $before --exclude-newer-package openai=$now --exclude-newer-package anthropic=$now"
# shellcheck disable=SC2086
"$UV" pip compile $common pyproject.toml --group build -o locks/runtime.txt
# shellcheck disable=SC2086
"$UV" pip compile $common pyproject.toml --group build --group dev -c locks/runtime.txt -o locks/dev.txt
# Each client of the matrix has a lock of its own: one for all would hold every client back to what the others bear.
for folder in tests/clients/*/; do
    if [ -f "$folder/requirements.in" ]; then
        # shellcheck disable=SC2086
        "$UV" pip compile $common "$folder/requirements.in" -o "$folder/requirements.txt"
    elif [ -f "$folder/package.json" ] && command -v npm >/dev/null 2>&1; then
        case $folder in *anthropic-node/) until=$now ;; *) until=$before ;; esac
        (cd "$folder" && rm -f package-lock.json && npm install --silent --package-lock-only --no-audit --no-fund --ignore-scripts --before "$until")
    fi
done
