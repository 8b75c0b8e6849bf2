#!/usr/bin/env bash
# Brings the npm packages of the tests (an OpenID provider), as tests/node/package-lock.json pins them.
set -eu
cd "$(dirname "$0")/../tests/node"
if [ -f node_modules/.ready ] && [ node_modules/.ready -nt package-lock.json ]; then exit 0; fi
if ! command -v npm >/dev/null; then
  echo "The sign-in tests need node 20 or newer and npm (Debian, Ubuntu: sudo apt-get install npm; macOS: brew install node)." >&2
  echo "Without them they are skipped here and fail in CI." >&2
  [ -z "${CI:-}" ] && exit 0 || exit 1
fi
echo "installing the npm packages of the tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "npm ci failed. Without these packages the sign-in tests are skipped here and fail in CI." >&2
  [ -z "${CI:-}" ] && exit 0 || exit 1
fi
touch node_modules/.ready
