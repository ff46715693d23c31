# Supervises one attempt. Handed in before this text: id, base, nonce, cgroup (may be empty), become,
# most (bytes kept of each stream), secrets, step, look (read-only text that leaves a line in look_saw; may be empty).
# Runs in a session of its own.
#
# Answers on standard error: "<nonce> S" once started, "<nonce> K" if the id is known already,
# "<nonce> E <why>" if nothing could be started, and "<nonce> <exit code>[ <look before> / <look after>]" at the end; the end of
# standard output is marked by the nonce alone. Everything else is the command's own output.
#
# Every process started here costs as much as a small step does. So all that the shell can do it does itself, and
# what must be started is started beside something else.
umask 077
trap '' HUP PIPE XFSZ
fail() { printf '%s E %s\n' "$nonce" "$1" >&2; exit 0; }
# Names are looked up in the directory that is entered here, and not by its path again: in /tmp that may be another's
# by then, or a link of another user that leads elsewhere every time.
cd -P -- "$base" 2>/dev/null || fail "the attempt's file $base/$id.claim could not be made"
[ -O . ] && [ "${PWD##*/}" = "${base##*/}" ] || fail "$base belongs to somebody else; remove it"
d=$id
set -C # with noclobber the redirection is O_EXCL: whoever creates the file owns the id
if { true >"$d.claim"; } 2>/dev/null; then :
elif [ -e "$d.claim" ]; then
  printf '%s K\n' "$nonce" >&2
  exit 0
else
  fail "the attempt's file $base/$d.claim could not be made"
fi
own= making=
if [ -n "$cgroup" ]; then
  own=$cgroup/$id
  mkdir -- "$own" 2>/dev/null & making=$!
fi
read -r boot </proc/sys/kernel/random/boot_id
read -r stat </proc/$$/stat
set -- ${stat##*) }
# whoever creates it decides whether the attempt begins
printf '%s\n' "$boot" "$$" "${20}" "$own" "$become" "$nonce" "$most" >"$d.meta" ||
  fail "it was given up before it began, or there is no room for its files in $base"
set +C
[ -z "$secrets" ] || printf '%s' "$secrets" >"$d.secrets" || fail "no room for the attempt's files in $base"
# Three pipes: a shell keeps a here-document in one. Where it makes a file of it, named pipes do.
exec </dev/null 5<<o 7<<e 9<<s
o
e
s
if [ -p /proc/self/fd/5 ] && [ -p /proc/self/fd/7 ] && [ -p /proc/self/fd/9 ]; then
  exec 6>/proc/self/fd/5 8>/proc/self/fd/7 4>/proc/self/fd/9
else
  mkfifo "$d.o" "$d.e" "$d.s" || fail "no pipes could be made in $base"
  exec 5<>"$d.o" 6>"$d.o" 7<>"$d.e" 8>"$d.e" 9<>"$d.s" 4>"$d.s"
  rm -f -- "$d.o" "$d.e" "$d.s"
fi
printf '%s S\n' "$nonce" >&2
(
  trap - HUP PIPE XFSZ
  export RUNWRIGHT_ATTEMPT="$id"
  exec <&9 >&6 2>&8 4>&- 5<&- 6>&- 7<&- 8>&- 9<&-
  case $become in
    '') exec /bin/sh ;;
    password) exec sudo -S -p '' -- /bin/sh -c "$sudo_sh" ;;
    *) exec sudo -n -- /bin/sh ;;
  esac
) & run=$!
# tee keeps the first part in a file for a caller that comes back, and goes on when the connection is gone
(
  ulimit -f "$((most / 512))"
  exec tee -a "$d.stdout" <&5 2>/dev/null 4>&- 5<&- 6>&- 7<&- 8>&- 9<&-
) &
(
  ulimit -f "$((most / 512))"
  exec tee -a "$d.stderr" <&7 >&2 2>/dev/null 4>&- 5<&- 6>&- 7<&- 8>&- 9<&-
) &
exec 5<&- 7<&- 9<&-
# The step's shell waits for its text, which it gets once it is where its whole tree can be found.
if [ -n "$making" ]; then
  wait "$making"
  { echo "$run" >"$own/cgroup.procs"; } 2>/dev/null || rmdir -- "$own" 2>/dev/null
fi
saw=
[ -z "$look" ] || { look_when=before; eval "$look"; saw=$look_saw; }
{ printf '%s' "$lead" "$step" >&4; } 2>/dev/null
exec 4>&-
wait "$run"
code=$?
printf '%s\n' "$code" >"$d.exit"
[ -z "$look" ] || { look_when=after; eval "$look"; saw="$saw / $look_saw"; }
# All that the step wrote is in the pipes before these marks, whatever still holds the streams open.
{ printf '%s' "$nonce" >&6; } 2>/dev/null || printf '%s' "$nonce"
{ printf '%s %s %s\n' "$nonce" "$code" "$saw" >&8; } 2>/dev/null || printf '%s %s %s\n' "$nonce" "$code" "$saw" >&2
exit 0
