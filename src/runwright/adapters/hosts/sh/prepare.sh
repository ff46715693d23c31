# Makes the base directory of attempts and finds a place for their cgroups. Handed in: nonce, base (may be empty).
# Answers one line: "<nonce> <uid> <cgroup or -> <base>" or "<nonce> E <why>".
umask 077
fail() { printf '%s E %s\n' "$nonce" "$1"; exit 0; }
uid=$(id -u)
if [ -z "$base" ]; then
  if [ "$uid" = 0 ]; then
    base=/run/runwright/attempts
    [ -d /run/runwright ] || mkdir -m 0755 /run/runwright 2>/dev/null
  # over SSH this directory is removed with the user's last connection: what must outlive that cannot be in it
  elif [ -n "$XDG_RUNTIME_DIR" ] && [ -z "$SSH_CONNECTION" ] && [ -O "$XDG_RUNTIME_DIR" ] && [ -w "$XDG_RUNTIME_DIR" ]; then
    base=$XDG_RUNTIME_DIR/runwright-attempts
  else
    for base in /tmp /var/tmp /dev/shm "$HOME"; do
      [ ! -d "$base" ] || [ ! -w "$base" ] || break
    done
    base=$base/runwright-$uid
  fi
fi
[ -d "$base" ] || mkdir -p -m 0700 -- "$base" 2>/dev/null
[ ! -L "$base" ] || fail "$base is a symbolic link; remove it"
[ -d "$base" ] || fail "$base could not be made"
[ -O "$base" ] || fail "$base belongs to somebody else; remove it or name another base directory"
chmod 0700 "$base" && [ -w "$base" ] || fail "$base cannot be written"
# what was given up before it began is kept for a day, lest a stalled request starts it: no longer
find "$base" -mindepth 2 -maxdepth 2 -name exit -mmin +1440 2>/dev/null | while read -r old; do
  code=
  { read -r code <"$old"; } 2>/dev/null
  [ "$code" != - ] || rm -rf -- "${old%/exit}"
done
found=-
for root in /sys/fs/cgroup/unified /sys/fs/cgroup /sys/fs/cgroup/pids /sys/fs/cgroup/freezer /sys/fs/cgroup/systemd; do
  [ -e "$root/cgroup.procs" ] && [ -w "$root" ] || continue
  place=$root/runwright-attempts
  [ -d "$place" ] || mkdir "$place" 2>/dev/null
  try=$place/.try-$$
  mkdir "$try" 2>/dev/null || continue
  if (echo 0 >"$try/cgroup.procs") 2>/dev/null; then found=$place; fi
  rmdir "$try" 2>/dev/null
  [ "$found" = - ] || break
done
printf '%s %s %s %s\n' "$nonce" "$uid" "$found" "$base"
exit 0
