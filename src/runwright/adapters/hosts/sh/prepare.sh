# Makes the base directory of attempts and finds a place for their cgroups. Handed in: nonce, base (may be empty),
# days (files of attempts that nobody came back for are kept so long).
# Answers one line: "<nonce> <uid> <cgroup or -> <base>" or "<nonce> E <why>".
umask 077
fail() { printf '%s E %s\n' "$nonce" "$1"; exit 0; }
base=${base%/} uid=
while read -r key _ one _; do [ "$key" != Uid: ] || { uid=$one; break; }; done </proc/$$/status
[ -n "$uid" ] || uid=$(id -u)
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
cd -P -- "$base" 2>/dev/null || { chmod 0700 "$base" && cd -P -- "$base"; } 2>/dev/null || fail "$base cannot be written"
[ -O . ] && [ "${PWD##*/}" = "${base##*/}" ] || fail "$base belongs to somebody else; remove it"
chmod 0700 . && [ -w . ] || fail "$base cannot be written"
# Swept: what was given up before it began, after a day, lest a stalled request starts it; what is over, or has no
# supervisor any more, after the days given.
read -r now </proc/sys/kernel/random/boot_id
find . -maxdepth 1 -name '*.claim' -mtime +0 2>/dev/null | while read -r old; do
  d=${old%.claim} code= boot= pid= start= own= stat=
  { read -r code <"$d.exit"; } 2>/dev/null
  if [ "$code" != - ]; then
    last=$d.exit
    [ -n "$code" ] || last=$d.claim
    [ -n "$(find "$last" -mtime "+$((days - 1))" 2>/dev/null)" ] || continue
    { read -r boot; read -r pid; read -r start; read -r own; } <"$d.meta" 2>/dev/null
    if [ -z "$code" ] && [ "$boot" = "$now" ]; then
      { read -r stat </proc/"$pid"/stat; } 2>/dev/null
      set -- ${stat##*) }
      [ "${20}" != "$start" ] || continue
    fi
    [ ! -d "$own" ] || rmdir -- "$own" 2>/dev/null
  fi
  rm -f -- "$d.claim" "$d.meta" "$d.exit" "$d.secrets" "$d.stdout" "$d.stderr"
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
