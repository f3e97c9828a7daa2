#!/usr/bin/env bash
# Writes requirements.lock anew: resolves every extra in a fresh environment and keeps what was chosen.
# Usage: deploy/lock.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
pip="$folder/venv/bin/pip"

"$python" -m venv "$folder/venv"
# torch comes first and alone: a resolver that meets it among the others may choose a build for graphics cards.
torch=$(sed -n 's/^ *"\(torch==[^"]*\)",$/\1/p' pyproject.toml)
"$pip" install -qq --no-compile "$torch"
"$pip" install -qq --no-compile --editable '.[llm,server,sql,objects,eval,dev,bench]'
"$pip" check

{
    echo "# Every package of every extra, pinned. Written by \`make lock\`; used as constraints (pip install -c)."
    # Local build tags (+cpu) and what only a graphics card needs depend on the machine, so they stay out.
    "$pip" freeze --exclude-editable --exclude ambit \
        | sed -e 's/+[a-z0-9.]*$//' \
        | grep -E '^[A-Za-z0-9._-]+==' \
        | grep -Ev '^(nvidia-|triton==|cuda-)' \
        | LC_ALL=C sort -f
} > "$folder/lock"
mv "$folder/lock" requirements.lock
echo "requirements.lock: $(grep -c == requirements.lock) packages"
