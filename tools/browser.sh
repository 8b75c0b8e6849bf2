#!/usr/bin/env bash
# Brings a Chromium for the browser tests: uses the one that is there, else Debian's and Ubuntu's package where it may.
set -eu
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
if [ -n "${UWU_CHROMIUM:-}" ] && [ -x "$UWU_CHROMIUM" ]; then exit 0; fi
if [ -d "/Applications/Google Chrome.app" ] || [ -d "/Applications/Chromium.app" ]; then exit 0; fi
if command -v apt-get >/dev/null; then
  as_root=""
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root="no"; fi
  fi
  if [ "$as_root" != "no" ]; then
    echo "installing Chromium for the browser tests"
    log=$(mktemp)
    if $as_root apt-get update -qq >"$log" 2>&1 && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends chromium fonts-liberation >>"$log" 2>&1; then
      rm -f "$log"
      exit 0
    fi
    tail -n 5 "$log" >&2
  fi
fi
echo "The browser tests need Chromium. Install it (Debian, Ubuntu: sudo apt-get install chromium; macOS: brew install --cask chromium)" >&2
echo "or set UWU_CHROMIUM to its path. Without it they are skipped here and fail in CI." >&2
[ -z "${CI:-}" ]
