#!/usr/bin/env bash
# Runs aimock, another project's mock of model servers, on loopback; installs it first if it is not there.
# usage: start.sh FOLDER PORT [options of aimock]     FOLDER keeps the installation; needs node and npm
set -euo pipefail
version=1.43.0
folder=$1
port=$2
shift 2
package="$folder/node_modules/@copilotkit/aimock"
if [ ! -f "$package/package.json" ]; then
  mkdir -p "$folder"
  # Scripts of packages stay off: nothing of it has to be built.
  npm install --silent --ignore-scripts --no-audit --no-fund --no-save --prefix "$folder" "@copilotkit/aimock@$version"
fi
exec node "$package/dist/cli.js" --host 127.0.0.1 --port "$port" --log-level warn \
  --fixtures "$(cd "$(dirname "$0")" && pwd)/fixtures.json" "$@"
