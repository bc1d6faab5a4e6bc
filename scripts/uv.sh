# Sourced: sets UV to a uv binary, from the package registry into .tools if none is installed.

# Debian keeps venv and pip in packages of their own; each way that may be there is tried.
uv_in_venv() {
    rm -rf .tools
    python3 -m venv .tools >/dev/null 2>&1 && .tools/bin/python -m pip install --quiet --disable-pip-version-check uv
}

uv_in_folder() {
    rm -rf .tools
    python3 -m pip --version >/dev/null 2>&1 || return 1
    python3 -m pip install --quiet --disable-pip-version-check --target .tools/lib uv && mkdir -p .tools/bin &&
        ln -s ../lib/bin/uv .tools/bin/uv
}

uv_after_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    echo "installing python3-venv" >&2
    { apt-get install -y -qq python3-venv || { apt-get update -qq && apt-get install -y -qq python3-venv; }; } \
        >/dev/null 2>&1 && uv_in_venv
}

if command -v uv >/dev/null 2>&1; then
    UV=uv
elif [ -x .tools/bin/uv ]; then
    UV=.tools/bin/uv
else
    echo "installing uv into .tools" >&2
    uv_in_venv || uv_in_folder || uv_after_apt || {
        echo "could not install uv: it needs python3 with venv or pip (Debian: apt-get install python3-venv)." >&2
        echo "Mend that, or install uv by hand, then run make again." >&2
        exit 1
    }
    UV=.tools/bin/uv
fi
