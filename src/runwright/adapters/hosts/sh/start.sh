# Supervises one attempt. Handed in before this text: id, base, nonce, cgroup (may be empty), become,
# blocks (512 bytes each, kept of each stream), secrets, step, look (read-only text that leaves a line in
# look_saw; may be empty). Runs in a session of its own.
#
# Answers on standard error: "<nonce> S" once started, "<nonce> K" if the id is known already,
# "<nonce> E <why>" if nothing could be started, and "<nonce> <exit code>[ <look before> / <look after>]" at the end; the end of
# standard output is marked by the nonce alone. Everything else is the command's own output.
umask 077
trap '' HUP PIPE XFSZ
fail() { printf '%s E %s\n' "$nonce" "$1" >&2; exit 0; }
d=$base/$id
own=
[ -z "$cgroup" ] || own=$cgroup/$id
mkdir -- "$d" ${own:+"$own"} 2>/dev/null
set -C # with noclobber the redirection is O_EXCL: whoever creates the file owns the id
if { true >"$d/claim"; } 2>/dev/null; then
  set +C
elif [ -e "$d/claim" ]; then
  # over or buried already: the group just made is nobody's
  [ -z "$own" ] || [ ! -e "$d/exit" ] || rmdir "$own" 2>/dev/null
  printf '%s K\n' "$nonce" >&2
  exit 0
else
  fail "the attempt's directory $d could not be made"
fi
[ -z "$own" ] || [ -w "$own/cgroup.procs" ] || own=
read -r boot </proc/sys/kernel/random/boot_id
read -r stat </proc/$$/stat
set -- ${stat##*) }
set -C # whoever creates it decides whether the attempt begins
printf '%s\n' "$boot" "$$" "${20}" "$own" "$become" >"$d/meta" || fail "it was given up before it began, or there is no room for its files in $d"
set +C
[ -z "$secrets" ] || printf '%s' "$secrets" >"$d/secrets" || fail "no room for the attempt's files in $d"
printf '%s' "$step" >"$d/step" || fail "no room for the attempt's files in $d"
mkfifo "$d/o" "$d/e" || fail "no pipes could be made in $d"
unset step secrets
printf '%s S\n' "$nonce" >&2
exec </dev/null
cd /
was=
[ -z "$look" ] || { look_when=before; eval "$look"; was=$look_saw; }
# tee keeps the first part in a file for a caller that comes back, and goes on when the connection is gone
(ulimit -f "$blocks"; exec tee -a "$d/stdout" <"$d/o" 2>/dev/null) & out=$!
(ulimit -f "$blocks"; exec tee -a "$d/stderr" <"$d/e" >&2 2>/dev/null) & err=$!
(
  trap - HUP PIPE XFSZ
  exec >"$d/o" 2>"$d/e"
  [ -z "$own" ] || { echo 0 >"$own/cgroup.procs"; } 2>/dev/null
  export RUNWRIGHT_ATTEMPT="$id"
  if [ -n "$become" ]; then exec sudo -n -- /bin/sh <"$d/step"; fi
  exec /bin/sh <"$d/step"
) & run=$!
wait "$run"
code=$?

# A tee that sleeps in its read has passed on all that was written before: a write wakes it at once.
# So this is over although a daemon may keep the stream open. Fails while something is on its way.
drained() {
  for pid in "$out" "$err"; do
    [ -n "$pid" ] || return 1
    state=Z where=
    { read -r stat </proc/"$pid"/stat && state=${stat##*) }; } 2>/dev/null
    case $state in Z*) continue ;; S*) ;; *) return 1 ;; esac
    { read -r where </proc/"$pid"/wchan; } 2>/dev/null
    case $where in *read*) ;; *) return 1 ;; esac
  done
}
turn=0 blind=0
until drained; do
  turn=$((turn + 1))
  [ "$turn" -gt 20 ] || continue
  [ "$turn" -gt 21 ] || printf '%s\n' "$code" >"$d/exit"
  # a kernel that does not say where a process sleeps: half a second must do
  case $where in 0 | '') blind=$((blind + 1)) ;; esac
  [ "$blind" -lt 150 ] && [ "$turn" -lt 9000 ] || break
  sleep 0.002
done
[ "$turn" -gt 20 ] || printf '%s\n' "$code" >"$d/exit"
saw=
[ -z "$look" ] || { look_when=after; eval "$look"; saw="$was / $look_saw"; }
printf '%s' "$nonce"
printf '%s %s%s\n' "$nonce" "$code" "$saw" >&2
exit 0
