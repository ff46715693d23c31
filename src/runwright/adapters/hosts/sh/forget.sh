# Removes the files of attempts that are over. Handed in: ids (separated by spaces), base, nonce.
# Answers "<nonce> ok <ids that still run>". What was given up before it began stays, lest a request that was
# stalled on its way starts it.
read -r now </proc/sys/kernel/random/boot_id
over= groups= running=
# Names are looked up in the directory that is entered here, and not by its path again: in /tmp that may be another's
# by then, or a link of another user that leads elsewhere every time.
cd -P -- "$base" 2>/dev/null && [ -O . ] && [ "${PWD##*/}" = "${base##*/}" ] || ids=
for id in $ids; do
  d=$id code= boot= pid= start= own= stat=
  [ -e "$d.claim" ] || continue
  { read -r code <"$d.exit"; } 2>/dev/null
  [ "$code" != - ] || continue
  { read -r boot; read -r pid; read -r start; read -r own; } <"$d.meta" 2>/dev/null
  # claimed a moment ago: who supervises it will be written in a moment
  [ -n "$boot$code" ] || { running="$running $id"; continue; }
  if [ -z "$code" ] && [ "$boot" = "$now" ]; then
    { read -r stat </proc/"$pid"/stat; } 2>/dev/null
    set -- ${stat##*) }
    case $1 in Z | X) ;; *) [ "${20}" != "$start" ] || { running="$running $id"; continue; } ;; esac
  fi
  [ ! -d "$own" ] || groups="$groups $own"
  # no id has a character that is special here
  over="$over $id.claim $id.meta $id.exit $id.secrets $id.stdout $id.stderr"
done
# a cgroup in which a daemon lives on cannot be removed, and must not be
[ -z "$groups" ] || rmdir $groups 2>/dev/null
[ -z "$over" ] || rm -f -- $over
printf '%s ok%s\n' "$nonce" "$running"
exit 0
