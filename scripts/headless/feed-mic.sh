#!/usr/bin/env bash
# feed-mic.sh FILE.wav - play a WAV of any rate into the virtual microphone of pipewire.sh.
#
# The stream is driven only once it is linked, so nothing is lost at the head. Returns when the
# file has been played; keep recording ~50 ms longer. Start the recorder first: what nobody
# records is gone. A file with more than one channel is mixed down first (needs sox).
#   V2M_PW_DIR  the session's state folder, as for pipewire.sh
#   V2M_MIC     the microphone (default v2m_mic); one with two channels hears the file in both
#   V2M_FEED_PORTS=1  without a session manager, which else makes the player's ports
set -euo pipefail

die() { echo "feed-mic: $*" >&2; exit 1; }
[[ $# == 1 && -r $1 ]] || die "usage: feed-mic.sh FILE.wav"
file=$1
mic=${V2M_MIC:-v2m_mic}
eval "$("$(dirname "$(readlink -f "$0")")/pipewire.sh" env)"
[[ -S $XDG_RUNTIME_DIR/pipewire-0 ]] || die "no session in $V2M_PW_DIR: run pipewire.sh up"

play='' mono=''
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
  [[ -z $play ]] || kill "$play" 2>/dev/null || true
  [[ -z $mono ]] || rm -f "$mono"
}
trap cleanup EXIT

channels=$(od -An -j22 -N2 -tu2 "$file" | tr -d ' ')
if [[ $channels != 1 ]]; then # two links cannot be made at one moment
  command -v sox >/dev/null || die "$file is not mono: sox is needed to mix it down"
  mono=$(mktemp --suffix=.wav)
  sox -D "$file" "$mono" channels 1
  file=$mono
fi

feed=v2m_feed_$$
ports=''
if [[ ${V2M_FEED_PORTS:-} == 1 ]]; then
  format='mediaType = audio mediaSubtype = raw format = F32P rate = 48000 channels = 1 position = [ MONO ]'
  ports="node.param.PortConfig = { direction = Output mode = dsp format = { $format } }"
fi
# A playback stream is never linked to an Audio/Source/Virtual by the session manager, hence pw-link.
pw-play --target 0 --quality 10 -P "{ node.name = $feed node.autoconnect = false $ports }" "$file" &
play=$!
for ((i = 0; i < 500; i++)); do
  kill -0 $play 2>/dev/null || die "pw-play failed"
  linked=0
  for port in $(pw-link --input | grep "^$mic:input_" || true); do
    if pw-link "$feed:output_MONO" "$port" 2>/dev/null; then linked=1; fi
  done
  if ((linked)); then break; fi
  sleep 0.01
done
((i < 500)) || die "no link to $mic: pw-link -iol shows the ports"
rc=0
wait $play || rc=$?
play=''
exit $rc
