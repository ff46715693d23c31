# Ends the process tree of an attempt. Handed in: id, base (may be empty for an unsupervised round trip), nonce,
# bury (not empty: if the attempt has not begun, see to it that it never does), also (further pids to end), uid (of the
# directory's owner: this may run as root).
# Answers "<nonce> <method> <ended> <survivors, comma separated, or ->".
boot= pid=0 start= own=
# Names are looked up in the directory that is entered here, and not by its path again: in /tmp that may be another's
# by then, or a link of another user that leads elsewhere every time.
if [ -n "$base" ]; then
  d=/nonexistent/$id
  if cd -P -- "$base" 2>/dev/null && [ "${PWD##*/}" = "${base##*/}" ]; then
    # what another user wrote there names processes to end: never believed
    if [ -O . ] || [ "$(stat -c %u . 2>/dev/null)" = "$uid" ]; then d=$id; fi
  fi
fi
if [ -n "$base" ] && [ -n "$bury" ]; then
  umask 077
  set -C
  if { true >"$d.claim"; } 2>/dev/null; then
    echo - >"$d.exit"
    printf '%s none 0 -\n' "$nonce"
    exit 0
  fi
  set +C
fi
turn=0
while [ -n "$base" ] && [ -e "$d.claim" ]; do
  { read -r boot; read -r pid; read -r start; read -r own; } <"$d.meta" 2>/dev/null
  # claimed a moment ago: who the supervisor is will be written in a moment
  [ -z "$start" ] && [ ! -e "$d.exit" ] && [ "$turn" -lt 50 ] || break
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
  # the supervisor is gone and its pid may be another's by now: the session cannot be trusted either
  [ "${20}" = "$start" ] || pid=0
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
    # its session, and its children and theirs: inside a machine entered from outside there is no session
    family=" $pid " size=0
    while [ "$size" != "${#family}" ]; do
      size=${#family}
      for file in /proc/[0-9]*/stat; do
        { read -r stat <"$file"; } 2>/dev/null || continue
        one=${stat%% *} stat=${stat##*) }
        case $family in *" $one "*) continue ;; esac
        set -- $stat
        case $family in
          *" $2 "*)
            name=
            [ "$2" != "$pid" ] || { read -r name </proc/"$one"/comm; } 2>/dev/null
            [ "$name" != tee ] || continue # the supervisor's own
            ;;
          *) [ "$4" = "$pid" ] || continue ;;
        esac
        family="$family$one "
        found="$found $one"
      done
    done
  fi
  # once seen, a process counts until it is gone, whatever it makes of its parents and its environment
  alive=
  for one in $seen; do
    [ "$(token "${one%:*}")" != "$one" ] || alive="$alive $one"
  done
  for one in $found; do
    [ "$one" != $$ ] || continue
    case " $alive" in *" $one:"*) continue ;; esac
    one=$(token "$one")
    [ -z "$one" ] || alive="$alive $one"
  done
  for one in $alive; do
    case "$seen " in *" $one "*) ;; *) seen="$seen $one" ;; esac
  done
}
# A live process as "pid:start time"; nothing for one that is gone or a zombie.
token() {
  stat=
  { read -r stat </proc/"$1"/stat; } 2>/dev/null
  [ -n "$stat" ] || return 0
  set -- "$1" ${stat##*) }
  case $2 in Z | X) return 0 ;; esac
  echo "$1:${21}"
}
pids() { for one in $alive; do echo "${one%:*}"; done; }
seen=
for one in $also; do
  one=$(token "$one")
  [ -z "$one" ] || seen="$seen $one"
done
members
turn=0
# the supervisor is there and the step is not: neither begun nor over
while [ "$pid" != 0 ] && [ -z "$alive" ] && [ ! -e "$d.exit" ] && [ "$turn" -lt 50 ]; do
  sleep 0.02
  members
  turn=$((turn + 1))
done
if [ -n "$alive" ]; then
  kill -TERM $(pids) 2>/dev/null
  turn=0
  while [ "$turn" -lt 10 ]; do
    sleep 0.02
    members
    [ -n "$alive" ] || break
    turn=$((turn + 1))
  done
fi
turn=0 same=0
while [ -n "$alive" ] && [ "$turn" -lt 100 ] && [ "$same" -lt 15 ]; do
  [ -z "$own" ] || [ ! -e "$own/cgroup.kill" ] || echo 1 >"$own/cgroup.kill"
  kill -KILL $(pids)
  sleep 0.02
  before=$alive
  members
  [ "$alive" = "$before" ] && same=$((same + 1)) || same=0
  turn=$((turn + 1))
done 2>/dev/null
# a supervisor that has not said how it ended has a step that lives on, seen from here or not
turn=0
while [ "$pid" != 0 ] && [ ! -e "$d.exit" ] && [ "$turn" -lt 50 ]; do
  stat=
  { read -r stat </proc/"$pid"/stat; } 2>/dev/null
  case ${stat##*) } in '' | Z*) break ;; esac
  turn=$((turn + 1))
  sleep 0.02
done
[ "$turn" -lt 50 ] || alive="$alive $pid:$start"
count=0
for one in $seen; do
  case "$alive " in *" $one "*) ;; *) count=$((count + 1)) ;; esac
done
list=
for one in $alive; do list="$list${list:+,}${one%:*}"; done
[ "$count" != 0 ] || [ -n "$list" ] || method=none
printf '%s %s %s %s\n' "$nonce" "$method" "$count" "${list:--}"
exit 0
