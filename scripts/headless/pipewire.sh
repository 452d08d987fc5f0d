#!/usr/bin/env bash
# pipewire.sh up|down|status|env - private headless PipeWire session with a virtual microphone.
#
# Needs no systemd, logind, rtkit, display or sound card; runs as root or as a user.
#   pipewire.sh up && eval "$(pipewire.sh env)"      # then run the tests
#   pipewire.sh down
# up is idempotent and restarts what died; down stops only what up started.
#
#   V2M_PW_DIR          state folder             (default ${TMPDIR:-/tmp}/v2m-pw-UID)
#   V2M_PW_DEFAULT      default source           (default v2m_mic)
#   V2M_PW_SUSPEND      seconds idle->suspended  (default 1; a desktop has 5)
#   V2M_PW_MIN_QUANTUM  smallest graph quantum   (default 32; a stock VM has 1024)
#   V2M_PW_MIC2=1       also a second microphone, v2m_mic2 (default-source changes)
#   V2M_PW_STEREO=1     also a 48 kHz stereo microphone, v2m_stereo
set -euo pipefail

dir=${V2M_PW_DIR:-${TMPDIR:-/tmp}/v2m-pw-$(id -u)}
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
run=$dir/run cfg=$dir/config state=$dir/state data=$dir/data log=$dir/log
default=${V2M_PW_DEFAULT:-v2m_mic}
daemons=(dbus pipewire wireplumber pulse)

die() { echo "pipewire: $*" >&2; exit 1; }

print_env() {
  printf 'export %s=%q\n' \
    V2M_PW_DIR "$dir" \
    XDG_RUNTIME_DIR "$run" XDG_CONFIG_HOME "$cfg" XDG_STATE_HOME "$state" XDG_DATA_HOME "$data" \
    PIPEWIRE_RUNTIME_DIR "$run" PULSE_SERVER "unix:$run/pulse/native" \
    DBUS_SESSION_BUS_ADDRESS "unix:path=$run/bus"
  echo 'unset DISPLAY WAYLAND_DISPLAY PIPEWIRE_REMOTE PIPEWIRE_CONFIG_DIR PIPEWIRE_PROPS PULSE_RUNTIME_PATH'
}

# A pid file holds "PID STARTTIME": a recycled PID is never taken for ours, nor a zombie for alive.
stat_of() { # PID -> "STATE STARTTIME"
  local s
  s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  s=${s##*) }
  local fields
  read -ra fields <<<"$s"
  echo "${fields[0]} ${fields[19]}"
}
pid_of() {
  local pid began now
  read -r pid began 2>/dev/null <"$dir/$1.pid" || return 1
  now=$(stat_of "$pid") || return 1
  [[ $now == *" $began" && $now != Z* ]] && echo "$pid"
}
start() { # name command...
  local name=$1
  shift
  pid_of "$name" >/dev/null && return 0
  setsid "$@" >>"$log/$name.log" 2>&1 </dev/null 9>&- &
  local now
  now=$(stat_of $!) || die "$name did not start, see $log/$name.log"
  echo "$! ${now#* }" >"$dir/$name.pid"
}
stop() {
  local pid i
  if pid=$(pid_of "$1"); then
    kill "$pid" 2>/dev/null || true
    for ((i = 0; i < 60; i++)); do pid_of "$1" >/dev/null || break; sleep 0.05; done
    if pid=$(pid_of "$1"); then kill -9 "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$dir/$1.pid"
}
wait_for() { # what command...
  local what=$1 i
  shift
  for ((i = 0; i < 200; i++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done
  die "timeout: $what (logs in $log)"
}
# A client that asks a server which is just going away may wait for ever.
has_node() { [[ $(timeout 2 pw-cli ls Node) == *"node.name = \"$1\""* ]]; }
is_default() { [[ $(timeout 2 pw-metadata 0 default.audio.source) == *"\"$1\""* ]]; }
make_default() {
  # wpctl set-default refuses Audio/Source/Virtual on 0.4, so write the metadata
  timeout 2 pw-metadata 0 default.configured.audio.source "{ \"name\": \"$1\" }" Spa:String:JSON
  is_default "$1"
}

microphone() { # name description priority position
  cat <<C
  { factory = adapter
    args = {
      factory.name = support.null-audio-sink
      node.name = $1
      node.description = "$2"
      media.class = Audio/Source/Virtual
      audio.rate = 48000
      audio.position = [ $4 ]
      object.linger = true
      priority.session = $3
      node.pause-on-idle = true
      session.suspend-timeout-seconds = ${V2M_PW_SUSPEND:-1}
    }
  }
C
}
write_config() {
  local q=${V2M_PW_MIN_QUANTUM:-32}
  cat <<C
context.properties = {
  default.clock.rate = 48000
  default.clock.allowed-rates = [ 48000 ]
  default.clock.quantum = 1024
  default.clock.min-quantum = $q
  # PipeWire raises min-quantum to 1024 inside a VM; undo it, so that latencies match real hardware
  vm.overrides = { default.clock.min-quantum = $q }
}
C
  echo 'context.objects = ['
  microphone v2m_mic "v2m virtual microphone" 2000 MONO
  if [[ ${V2M_PW_MIC2:-} == 1 ]]; then
    microphone v2m_mic2 "v2m second microphone" 1600 MONO
  fi
  if [[ ${V2M_PW_STEREO:-} == 1 ]]; then
    microphone v2m_stereo "v2m stereo microphone" 1500 "FL FR"
  fi
  echo ']'
}

private() { (umask 077 && mkdir -p "$@"); }
lock() {
  private "$dir"
  [[ -O $dir ]] || die "$dir is not ours"
  exec 9>"$dir/lock"
  flock 9
}

case ${1:-} in
env) print_env ;;
status)
  rc=0
  for n in "${daemons[@]}"; do
    if pid=$(pid_of "$n"); then echo "$n up $pid"; else echo "$n down"; rc=1; fi
  done
  exit $rc
  ;;
down)
  [[ -d $dir ]] || exit 0
  lock
  for n in pulse wireplumber pipewire dbus; do stop "$n"; done
  rm -rf "$run" "$cfg" "$state" "$data" # the logs stay
  ;;
up)
  for c in dbus-daemon pipewire wireplumber pipewire-pulse pw-cli pw-metadata; do
    command -v "$c" >/dev/null || die "$c is missing: apt install pipewire pipewire-bin pipewire-pulse wireplumber dbus"
  done
  ((${#run} < 90)) || die "V2M_PW_DIR is too long for a Unix socket: $dir"
  lock
  private "$run" "$state" "$data" "$log" "$cfg/pipewire/pipewire.conf.d"
  eval "$(print_env)"
  if ! pid_of pipewire >/dev/null; then # its clients do not outlive it
    stop pulse
    stop wireplumber
    rm -f "$run"/pipewire-0* "$run/pulse/native"
    write_config >"$cfg/pipewire/pipewire.conf.d/10-v2m-test.conf"
  fi
  pid_of dbus >/dev/null || rm -f "$run/bus"
  start dbus dbus-daemon --session --nofork --nopidfile --address="unix:path=$run/bus"
  wait_for "the bus" test -S "$run/bus"
  start pipewire pipewire
  wait_for "the PipeWire socket" test -S "$run/pipewire-0"
  start wireplumber wireplumber
  start pulse pipewire-pulse
  wait_for "the PulseAudio socket" test -S "$run/pulse/native"
  wait_for "node $default" has_node "$default"
  wait_for "default source $default" make_default "$default"
  ;;
*) die "usage: pipewire.sh up|down|status|env" ;;
esac
