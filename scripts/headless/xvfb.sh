#!/bin/bash
# An X server without a screen, with a window manager, for dictating and testing without a desktop.
#
#   xvfb.sh start [DIR]               start it; prints V2M_X_DIR, DISPLAY and XAUTHORITY, quoted for `eval`
#   xvfb.sh terminal DIR [BANNER]     open a terminal that records what it receives; prints V2M_SINK
#                                     (the log, see ttysink.py) and V2M_SINK_PID (the terminal)
#   xvfb.sh open DIR LOG COMMAND…     start a program that writes "ready" to LOG; prints as `terminal` does
#   xvfb.sh run DIR COMMAND [ARG…]    run a command inside that desktop
#   xvfb.sh screenshot DIR FILE       save a picture (PNG)
#   xvfb.sh stop DIR                  end what `start` and `terminal` began
#
# Debian: apt install xvfb xauth openbox xterm x11-utils xdotool imagemagick
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
action=${1:-}
[ $# -gt 0 ] && shift

fail() { echo "xvfb.sh: $*" >&2; exit 1; }

# Poll a condition for ten seconds.
await() {
  local _
  for _ in $(seq 200); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.05
  done
  return 1
}

in_desktop() {
  local dir=$1
  shift
  env -u WAYLAND_DISPLAY -u WAYLAND_SOCKET "DISPLAY=$(cat "$dir/display")" "XAUTHORITY=$dir/cookies" LANG=C.UTF-8 "$@"
}

# Start a long-lived program in its own session and note its pid: spawn DIR LOG COMMAND…
spawn() {
  local dir=$1 log=$2
  shift 2
  setsid "$@" >"$dir/$log" 2>&1 </dev/null &
  echo $! >>"$dir/pids"
}

start() {
  local tool
  for tool in Xvfb xauth openbox xterm xprop xdotool; do
    command -v $tool >/dev/null || fail "$tool is missing: apt install xvfb xauth openbox xterm x11-utils xdotool"
  done
  local dir=${1:-}
  if [ -z "$dir" ]; then dir=$(mktemp -d /tmp/v2m-x11.XXXXXX); fi
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  chmod 700 "$dir"
  [ -f "$dir/pids" ] && fail "already started in $dir"
  : >"$dir/pids"
  local cookie
  cookie=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  # The server takes any entry of its file; clients look for their own display's number.
  xauth -q -f "$dir/server-cookies" add :0 . "$cookie" 2>/dev/null
  : >"$dir/number"
  # Without -noreset it starts anew, and refuses whoever connects, when its last client leaves: `managed`, before openbox.
  setsid Xvfb -displayfd 3 -screen 0 1280x720x24 -noreset -nolisten tcp -auth "$dir/server-cookies" \
    3>"$dir/number" >"$dir/xvfb.log" 2>&1 </dev/null &
  echo $! >>"$dir/pids"
  await grep -q . "$dir/number" || { cat "$dir/xvfb.log" >&2; stop "$dir"; fail "Xvfb did not start"; }
  echo ":$(cat "$dir/number")" >"$dir/display"
  xauth -q -f "$dir/cookies" add "$(cat "$dir/display")" . "$cookie" 2>/dev/null
  local display=(env -u WAYLAND_DISPLAY "DISPLAY=$(cat "$dir/display")" "XAUTHORITY=$dir/cookies")
  spawn "$dir" openbox.log "${display[@]}" openbox
  await managed "$dir" || fail "openbox did not start; see $dir/openbox.log"
  printf 'V2M_X_DIR=%q\nDISPLAY=%q\nXAUTHORITY=%q\n' "$dir" "$(cat "$dir/display")" "$dir/cookies"
}

managed() { in_desktop "$1" xprop -root _NET_SUPPORTING_WM_CHECK | grep -q 'window id'; }

terminal() {
  local dir=$1 banner=${2:-} number sink
  number=$(find "$dir" -maxdepth 1 -name 'sink-*.json' | wc -l)
  sink=$dir/sink-$number.json
  open_window "$dir" "$sink" xterm -u8 -fa Monospace -fs 12 -e python3 "$here/ttysink.py" "$sink" "$banner"
}

open_window() {
  local dir=$1 sink=$2 output
  output=$(basename "$sink" .json).log
  shift 2
  spawn "$dir" "$output" env -u WAYLAND_DISPLAY "DISPLAY=$(cat "$dir/display")" "XAUTHORITY=$dir/cookies" \
    LANG=C.UTF-8 "$@"
  local pid=$!
  await grep -q ready "$sink" || fail "$1 did not start; see $dir/$output"
  await focused "$dir" "$pid" || fail "$1 did not get the focus; see $dir/$output"
  printf 'V2M_SINK=%q\nV2M_SINK_PID=%q\n' "$sink" "$pid"
}

focused() { [ "$(in_desktop "$1" xdotool getwindowfocus getwindowpid)" = "$2" ]; }

# A zombie has ended too: in a container nobody may collect it.
ended() { ! grep -q "^State:.[^Z]" "/proc/$1/status"; }

stop() {
  local dir=$1 pid pids
  [ -f "$dir/pids" ] || fail "nothing was started in '$dir'"
  mapfile -t pids < <(tac "$dir/pids")
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    await ended "$pid" || kill -KILL "$pid" 2>/dev/null || true
  done
  rm -rf -- "$dir"
}

case $action in
  start) start "$@" ;;
  terminal) terminal "$@" ;;
  open) open_window "$@" ;;
  run) in_desktop "$@" ;;
  screenshot) in_desktop "$1" import -window root "png:$2" ;;
  stop) stop "$@" ;;
  *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
