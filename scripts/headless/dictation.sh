#!/usr/bin/env bash
# One dictation from key to window where there is no desktop and no microphone: a private PipeWire session whose
# virtual microphone plays recorded human speech, a headless compositor, a real terminal in it, the real chain between.
#   dictation.sh [--headless] [--picture FILE] [--speech FILE.wav]
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
picture='' speech=''
while [ $# -gt 0 ]; do
  case $1 in
    --headless) ;;
    --picture) picture=$2; shift ;;
    --speech) speech=$2; shift ;;
    *) sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
  esac
  shift
done

work=$(mktemp -d /tmp/v2m-run.XXXXXX)
desk='' daemon=''
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
  if [ -n "$daemon" ]; then kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; fi
  if [ -n "$desk" ]; then "$here/sway.sh" stop "$desk" || true; fi
  "$here/pipewire.sh" down || true
  rm -rf "$work"
}
trap cleanup EXIT

export V2M_PW_DIR=$work/pw
"$here/pipewire.sh" up
eval "$("$here/pipewire.sh" env)"
variables=$("$here/sway.sh" start)
eval "$variables"
desk=$V2M_SWAY_DIR
export WAYLAND_DISPLAY SWAYSOCK
variables=$("$here/sway.sh" terminal "$desk" "\$ ")
eval "$variables"

if [ -z "$speech" ]; then # a public-domain recording that comes with the speech model
  model=$(python -P -c 'from importlib.util import find_spec as f; print(f("moonshine_voice").submodule_search_locations[0])')
  speech=$work/speech.wav
  sox "$model/assets/two_cities.wav" -c 1 "$speech" trim 0.97 3.9
fi

toakd >"$work/toakd.log" 2>&1 &
daemon=$!
status=0
python -P "$here/dictation.py" --speech "$speech" --sink "$V2M_SINK" --feed "$here/feed-mic.sh" || status=$?
if [ "$status" != 0 ]; then
  echo "run: the dictation failed; the daemon said:" >&2
  cat "$work/toakd.log" >&2
elif [ -n "$picture" ]; then
  "$here/sway.sh" screenshot "$desk" "$picture"
fi
exit "$status"
