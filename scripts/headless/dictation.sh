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
desk='' look=()
sway() { env "${look[@]}" "$here/sway.sh" "$@"; } # what it looks like is not for the daemon's environment
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
  if [ -n "$desk" ]; then sway stop "$desk" || true; fi
  "$here/pipewire.sh" down || true
  rm -rf "$work"
}
trap cleanup EXIT

# Open a second terminal that follows the report, from the first key on; it ends with the compositor.
show_report() {
  : >"$report"
  sway run "$desk" foot --app-id=report --log-level=error --config="$desk/picture.foot" \
    sh -c "printf '\e[?25l'; tail -n +1 -f '$report' | sed -un '/toak --start/,\$p'" 2>"$work/foot.log" &
  local terminal=$!
  until sway run "$desk" swaymsg -t get_tree | grep -q '"app_id": "report"'; do
    kill -0 $terminal || exit 1
    sleep 0.05
  done
}

if [ -n "$picture" ]; then
  picture=$(readlink -f "$picture")
  look=("V2M_SWAY_CONFIG=$here/picture.sway" V2M_RESOLUTION=1060x316)
fi
export V2M_PW_DIR=$work/pw
"$here/pipewire.sh" up
eval "$("$here/pipewire.sh" env)"
variables=$(sway start)
eval "$variables"
desk=$V2M_SWAY_DIR
export WAYLAND_DISPLAY SWAYSOCK
banner='$ '
if [ -n "$picture" ]; then
  cp "$here/picture.foot" "$desk/"
  look+=("V2M_FOOT_CONFIG=$desk/picture.foot")
  banner=$'\e[32m~\e[0m $ cat > letter.txt\r\n'
fi
variables=$(sway terminal "$desk" "$banner")
eval "$variables"
report=$desk/report
if [ -n "$picture" ]; then show_report; fi

if [ -z "$speech" ]; then # a public-domain recording that comes with the speech model
  model=$(python -P -c 'from importlib.util import find_spec as f; print(f("moonshine_voice").submodule_search_locations[0])')
  speech=$work/speech.wav
  sox "$model/assets/two_cities.wav" -c 1 "$speech" trim 0.97 3.9
fi

status=0
python -P "$here/dictation.py" --speech "$speech" --sink "$V2M_SINK" --feed "$here/feed-mic.sh" --log "$work/toakd.log" |
  tee "$report" || status=$?
if [ "$status" != 0 ]; then
  echo "run: the dictation failed; the daemon said:" >&2
  cat "$work/toakd.log" >&2
elif [ -n "$picture" ]; then
  sleep 1 # until the report has been drawn
  sway screenshot "$desk" "$picture"
fi
exit "$status"
