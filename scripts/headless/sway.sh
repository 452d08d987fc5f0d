#!/bin/bash
# A headless sway with a keyboard, for dictating and testing without a desktop (no GPU, no seat).
#
#   sway.sh start [DIR]               start it; prints V2M_SWAY_DIR, WAYLAND_DISPLAY (absolute), SWAYSOCK,
#                                     V2M_SWAY_USER and, with V2M_XWAYLAND=enable, DISPLAY, quoted for `eval`
#   sway.sh terminal DIR [BANNER]     open a terminal that records what it receives; prints V2M_SINK
#                                     (the log, see ttysink.py) and V2M_SINK_PID (the terminal)
#   sway.sh open DIR LOG COMMAND…     start a program that writes "ready" to LOG; prints as `terminal` does
#   sway.sh run DIR COMMAND [ARG…]    run a command inside that desktop, as its user
#   sway.sh screenshot DIR FILE       save a picture (PNG)
#   sway.sh stop DIR                  end what `start` and `terminal` began
#
# sway refuses to run as root, so root gets an ordinary user for it ($V2M_DESK_USER, default v2mdesk).
# The desktop's XDG_RUNTIME_DIR is DIR and is not printed: the caller keeps its own. V2M_AS_CALLER=1 lets `open` and
# `run` keep the caller's user, for programs that the ordinary one cannot run on this machine.
# Debian: apt install sway foot grim xkb-data [xwayland]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
action=${1:-}
[ $# -gt 0 ] && shift

fail() { echo "sway.sh: $*" >&2; exit 1; }

# Poll a condition for ten seconds.
await() {
  local _
  for _ in $(seq 200); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.05
  done
  return 1
}

desk_user() { stat -c %U "$1"; }

# Set `composed` to a command line that runs as the desktop's user with nothing of the caller's environment.
compose() {
  local dir=$1 user
  shift
  user=$(desk_user "$dir")
  local runtime=$dir home
  if [ -n "${V2M_AS_CALLER:-}" ]; then
    user=$(id -un)
    runtime=$dir/caller
    mkdir -p "$runtime"
    chmod 700 "$runtime"
  fi
  home=$(getent passwd "$user" | cut -d: -f6)
  composed=()
  if [ "$(id -un)" != "$user" ]; then
    composed=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups)
  fi
  composed+=(env -C / -i "HOME=$home" "USER=$user" LANG=C.UTF-8
    PATH=/usr/local/bin:/usr/bin:/bin "XDG_RUNTIME_DIR=$runtime")
  [ -f "$dir/socket" ] && composed+=("WAYLAND_DISPLAY=$(cat "$dir/socket")")
  [ -f "$dir/ipc" ] && composed+=("SWAYSOCK=$(cat "$dir/ipc")")
  [ -s "$dir/display" ] && composed+=("DISPLAY=$(cat "$dir/display")")
  composed+=("$@")
}

in_desktop() {
  compose "$@"
  "${composed[@]}"
}

# Start a long-lived program in the desktop and note its pid: spawn DIR LOG COMMAND…
spawn() {
  local dir=$1 log=$2
  shift 2
  compose "$dir" "$@"
  setsid "${composed[@]}" >"$dir/$log" 2>&1 </dev/null &
  echo $! >>"$dir/pids"
}

find_sockets() {
  local path
  for path in "$1"/wayland-*; do
    [ -S "$path" ] && echo "$path" >"$1/socket"
  done
  for path in "$1"/sway-ipc.*.sock; do
    [ -S "$path" ] && echo "$path" >"$1/ipc"
  done
  [ -s "$1/socket" ] && [ -s "$1/ipc" ]
}

write_config() {
  cat <<CONFIG
output HEADLESS-1 resolution ${V2M_RESOLUTION:-1280x720} position 0,0
default_border none
focus_follows_mouse no
xwayland ${V2M_XWAYLAND:-disable}
seat seat0 fallback true
CONFIG
  if [ -n "${V2M_SWAY_CONFIG:-}" ]; then cat "$V2M_SWAY_CONFIG"; fi
}

start_keyboard() {
  local python=$root/.venv/bin/python
  [ -x "$python" ] || python=python3
  mkfifo "$1/keys"
  # Opened for reading and writing, so that the keyboard never sees the end of its input.
  PYTHONPATH="$root/src" setsid "$python" -P "$here/keyboard.py" "$(cat "$1/socket")" \
    <>"$1/keys" >"$1/keyboard.log" 2>&1 &
  echo $! >>"$1/pids"
  await grep -q up "$1/keyboard.log" || fail "the keyboard did not start; see $1/keyboard.log"
}

start() {
  local tool
  for tool in sway foot grim; do
    command -v $tool >/dev/null || fail "$tool is missing: apt install sway foot grim"
  done
  local dir=${1:-} user
  user=$(id -un)
  if [ "$(id -u)" = 0 ]; then
    user=${V2M_DESK_USER:-v2mdesk}
    ( # two desktops may be started at once
      flock 9
      id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user"
    ) 9>/run/lock/v2m-desk-user
  fi
  # A socket's path has at most 107 bytes, so the folder is not made in a perhaps long TMPDIR.
  if [ -z "$dir" ]; then dir=$(mktemp -d /tmp/v2m-sway.XXXXXX); fi
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  [ -f "$dir/pids" ] && fail "already started in $dir"
  : >"$dir/pids"
  write_config >"$dir/config"
  cp "$here/ttysink.py" "$dir/"
  chown -R "$user" "$dir"
  chmod 700 "$dir"
  spawn "$dir" sway.log env WLR_BACKENDS=headless WLR_LIBINPUT_NO_DEVICES=1 WLR_RENDERER=pixman \
    WLR_HEADLESS_OUTPUTS=1 sway -c "$dir/config"
  await find_sockets "$dir" || { cat "$dir/sway.log" >&2; stop "$dir"; fail "sway did not start"; }
  start_keyboard "$dir"
  if [ "${V2M_XWAYLAND:-disable}" != disable ]; then
    in_desktop "$dir" swaymsg -q exec "printenv DISPLAY >'$dir/display'"
    await test -s "$dir/display" || fail "XWayland did not start: apt install xwayland"
  fi
  printf 'V2M_SWAY_DIR=%q\nWAYLAND_DISPLAY=%q\nSWAYSOCK=%q\nV2M_SWAY_USER=%q\n' \
    "$dir" "$(cat "$dir/socket")" "$(cat "$dir/ipc")" "$user"
  if [ -s "$dir/display" ]; then printf 'DISPLAY=%q\n' "$(cat "$dir/display")"; fi
}

terminal() {
  local dir=$1 banner=${2:-} number sink
  number=$(find "$dir" -maxdepth 1 -name 'sink-*.json' | wc -l)
  sink=$dir/sink-$number.json
  open_window "$dir" "$sink" foot --log-level=error ${V2M_FOOT_CONFIG:+"--config=$V2M_FOOT_CONFIG"} python3 "$dir/ttysink.py" "$sink" "$banner"
}

open_window() {
  local dir=$1 sink=$2 output
  output=$(basename "$sink" .json).log
  shift 2
  spawn "$dir" "$output" "$@"
  local pid=$!
  await grep -q ready "$sink" || fail "$1 did not start; see $dir/$output"
  await focused "$dir" "$pid" || fail "$1 did not get the focus; see $dir/$output"
  printf 'V2M_SINK=%q\nV2M_SINK_PID=%q\n' "$sink" "$pid"
}

focused() {
  in_desktop "$1" swaymsg -t get_tree -r | python3 -c '
import json, sys
def walk(node):
    yield node
    for child in node.get("nodes", []) + node.get("floating_nodes", []):
        yield from walk(child)
sys.exit(not any(n.get("focused") and n.get("pid") == int(sys.argv[1]) for n in walk(json.load(sys.stdin))))' "$2"
}

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
  screenshot) in_desktop "$1" grim - >"$2" ;;
  stop) stop "$@" ;;
  *) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
