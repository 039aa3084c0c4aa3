#!/usr/bin/env bash
# What a CI job does: evaluate, judge, show. It ends with the gate's exit code.
#   ./pipeline.sh --model net.safetensors [more options of rb eval]
# OUT is the folder for what is worth keeping (default: out). RB, the command (default: rb).
set -euo pipefail
cd "$(dirname "$0")"
rb=${RB:-rb} out=${OUT:-out}
mkdir -p "$out"

# An evaluation that did not finish ends the job here: what was not judged is not green.
"$rb" eval --suite release --data digits --out "$out/run" "$@"

code=0
"$rb" gate "$out/run" --junit "$out/gate.xml" --summary "$out/gate.md" || code=$?

# The page and the summary matter most when the gate did not pass, so they come before its exit code.
"$rb" report "$out/run" --out "$out/report.html"
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then cat "$out/gate.md" >>"$GITHUB_STEP_SUMMARY"; fi
exit "$code"
