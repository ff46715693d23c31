# Ends the process tree of an attempt. Handed in: id, base (may be empty for an unsupervised round trip), nonce,
# bury (not empty: if the attempt has not begun, see to it that it never does).
# Answers "<nonce> <method> <ended> <survivors, comma separated, or ->".
boot= pid=0 start= own=
d=$base/$id
if [ -n "$base" ] && [ -n "$bury" ]; then
  umask 077
  mkdir -- "$d" 2>/dev/null
  set -C
  if { true >"$d/claim"; } 2>/dev/null; then
    echo - >"$d/exit"
    printf '%s none 0 -\n' "$nonce"
    exit 0
  fi
  set +C
fi
turn=0
while [ -n "$base" ] && [ -e "$d/claim" ]; do
  { read -r boot; read -r pid; read -r start; read -r own; } <"$d/meta" 2>/dev/null
  # claimed a moment ago: who the supervisor is will be written in a moment
  [ -z "$start" ] && [ ! -e "$d/exit" ] && [ "$turn" -lt 50 ] || break
  turn=$((turn + 1))
  sleep 0.02
done
read -r now </proc/sys/kernel/random/boot_id
[ -z "$boot" ] || [ "$boot" = "$now" ] || { pid=0 own=; }
[ -n "$pid" ] || pid=0
method=session+environment
[ -z "$own" ] || [ ! -e "$own/cgroup.procs" ] && own= || method=cgroup
if [ "$pid" != 0 ]; then
  stat=
  { read -r stat </proc/"$pid"/stat; } 2>/dev/null
  set -- ${stat##*) }
  shift 19 2>/dev/null
  # the supervisor is gone and its pid may be another's by now: the session cannot be trusted either
  [ "$1" = "$start" ] || pid=0
fi

# Everything of the attempt that still lives, but not the supervisor and its two tees.
members() {
  found=
  if [ -n "$own" ]; then
    for group in "$own" "$own"/*/ "$own"/*/*/; do
      while read -r one; do found="$found $one"; done <"$group/cgroup.procs"
    done 2>/dev/null
  fi
  for file in $(grep -lszxF -- "RUNWRIGHT_ATTEMPT=$id" /proc/[0-9]*/environ 2>/dev/null); do
    one=${file#/proc/}
    found="$found ${one%/environ}"
  done
  if [ "$pid" != 0 ]; then
    for file in /proc/[0-9]*/stat; do
      { read -r stat <"$file"; } 2>/dev/null || continue
      one=${stat%% *} stat=${stat##*) }
      set -- $stat
      [ "$4" = "$pid" ] || continue
      [ "$one" = "$pid" ] && continue
      # the tees: children of the supervisor that run tee
      if [ "$2" = "$pid" ]; then
        name=
        { read -r name </proc/"$one"/comm; } 2>/dev/null
        [ "$name" = tee ] && continue
      fi
      found="$found $one"
    done
  fi
  alive=
  for one in $found; do
    case " $alive " in *" $one "*) continue ;; esac
    [ "$one" != $$ ] || continue
    stat=Z
    { read -r stat </proc/"$one"/stat && stat=${stat##*) }; } 2>/dev/null
    case $stat in Z* | X*) continue ;; esac
    alive="$alive $one"
  done
}
seen=
note() { for one in $alive; do case "$seen " in *" $one "*) ;; *) seen="$seen $one" ;; esac; done; }
members
note
turn=0
# the supervisor is there and the step is not: neither begun nor over
while [ "$pid" != 0 ] && [ -z "$alive" ] && [ ! -e "$d/exit" ] && [ "$turn" -lt 50 ]; do
  sleep 0.02
  members
  note
  turn=$((turn + 1))
done
if [ -n "$alive" ]; then
  kill -TERM $alive 2>/dev/null
  turn=0
  while [ "$turn" -lt 10 ]; do
    sleep 0.02
    members
    note
    [ -n "$alive" ] || break
    turn=$((turn + 1))
  done
fi
turn=0
while [ -n "$alive" ] && [ "$turn" -lt 100 ]; do
  [ -z "$own" ] || [ ! -e "$own/cgroup.kill" ] || echo 1 >"$own/cgroup.kill"
  kill -KILL $alive
  sleep 0.02
  members
  note
  turn=$((turn + 1))
done 2>/dev/null
count=0
for one in $seen; do
  case "$alive " in *" $one "*) ;; *) count=$((count + 1)) ;; esac
done
list=
for one in $alive; do list="$list${list:+,}$one"; done
[ "$count" != 0 ] || [ -n "$list" ] || method=none
printf '%s %s %s %s\n' "$nonce" "$method" "$count" "${list:--}"
exit 0
