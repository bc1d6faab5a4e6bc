# Sourced: sets UV to a uv binary, from the package registry if none is installed.
if command -v uv >/dev/null 2>&1; then
    UV=uv
elif [ -x .tools/bin/uv ]; then
    UV=.tools/bin/uv
else
    echo "installing uv into .tools" >&2
    # Debian keeps venv and pip in packages of their own; each way that may be there is tried.
    python3 -m venv .tools >/dev/null 2>&1 && .tools/bin/python -m pip install --quiet uv ||
        python3 -m pip install --quiet --target .tools/lib --upgrade uv && mkdir -p .tools/bin && ln -sf ../lib/bin/uv .tools/bin/uv ||
        { apt-get install -y -qq python3-venv >/dev/null && python3 -m venv .tools && .tools/bin/python -m pip install --quiet uv; } ||
        { echo "could not install uv: install it by hand, then run make again" >&2; exit 1; }
    UV=.tools/bin/uv
fi
