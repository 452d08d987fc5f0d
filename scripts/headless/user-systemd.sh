#!/bin/bash
# A real systemd user manager with its journal, where PID 1 is no systemd (a container, CI).
#
#   user-systemd.sh HOME USER [FOLDER…]   in the foreground until its standard input ends; prints "running" when it is
#
# The FOLDERs can be reached by USER in there, also where they lie in somebody's private home.
# HOME belongs to USER and is not below /run, /tmp or /dev (units get others of those); HOME/run is its XDG_RUNTIME_DIR. It
# works in mount and PID namespaces of its own: whoever wants to talk to it enters those of this script's child. Leaves
# no process and no cgroup. Needs root. Debian: apt install systemd util-linux dbus
set -euo pipefail

if [ "${1:-}" != --inside ]; then
  [ "$(id -u)" = 0 ] || { echo "user-systemd.sh: needs root" >&2; exit 77; }
  tag=v2m-user-$$ groups=()
  for top in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do # version 1, both, version 2
    if [ -e "$top/cgroup.procs" ]; then groups+=("$top/$tag"); fi
  done
  mkdir -p "${groups[@]}"
  trap 'sleep 0.2; find "${groups[@]}" -depth -type d -exec rmdir {} +' EXIT # what was killed is gone by then
  unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$0" --inside "$tag" "$@"
  exit
fi

tag=$2 home=$3 user=$4
shift 4
uid=$(id -u "$user") gid=$(id -g "$user")
slice=user.slice/user-$uid.slice/user@$uid.service # a journal finds a unit's name in its group's path
groups=()
for top in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
  if [ -d "$top/$tag" ]; then
    echo $$ >"$top/$tag/cgroup.procs"
    mkdir -p "$top/$tag/$slice"
    chown -R "$user" "$top/$tag/$slice"
    groups+=("$top/$tag/$slice/cgroup.procs")
  fi
done
mount -t tmpfs tmpfs /run
# PID 1 of a booted machine makes these: the first says that it is one, the second is for units with mounts.
mkdir -p /run/systemd/system /run/systemd/unit-root /run/systemd/journal /run/log/journal
journal=$(getent group systemd-journal | cut -d: -f3)
chgrp -R "${journal:-0}" /run/log/journal
chmod -R g+s /run/log/journal
/lib/systemd/systemd-journald >/dev/null 2>&1 </dev/null &
while [ ! -S /run/systemd/journal/stdout ]; do sleep 0.02; done

# Where a folder on the way is closed to others, an open one with nothing but what is wanted takes its place.
covered=()
for folder in "$@"; do
  mkdir -p "/run/folders/$folder"
  mount --bind "$folder" "/run/folders/$folder"
  above=$folder
  while above=$(dirname "$above"); [ "$above" != / ]; do
    case $(stat -c %a "$above") in *[02468]) covered+=("$above") ;; esac
  done
done
for above in $(printf '%s\n' "${covered[@]}" | sort -u); do
  if mountpoint -q "$above"; then continue; fi
  mount -t tmpfs -o mode=755 tmpfs "$above"
done
for folder in "$@"; do
  [ ${#covered[@]} -gt 0 ] || break
  mkdir -p "$folder"
  mount --bind "/run/folders/$folder" "$folder"
done

mkdir -p "$home/run"
chmod 700 "$home/run"
chown "$user" "$home/run"
runtime=/run/user/$uid # systemd expects it there, whatever the variable says
mkdir -p "$runtime"
mount --bind "$home/run" "$runtime"
as_user=(setpriv "--reuid=$user" "--regid=$gid" "--groups=${journal:-$gid}" env -C / -i "HOME=$home" "USER=$user" LANG=C.UTF-8
  PATH=/usr/local/bin:/usr/bin:/bin "XDG_RUNTIME_DIR=$runtime")
(
  for group in "${groups[@]}"; do echo "$BASHPID" >"$group"; done
  exec "${as_user[@]}" /lib/systemd/systemd --user </dev/null
) &
manager=$!
while ! "${as_user[@]}" systemctl --user is-system-running 2>/dev/null | grep -Eq 'running|degraded'; do
  kill -0 $manager || exit 1
  sleep 0.02
done
echo running
cat >/dev/null
kill $manager
wait $manager || true
