# Says what became of an attempt. Handed in: id, base, nonce, seconds (how long to wait for its end), bury
# (not empty: if it has not begun, see to it that it never does).
# Answers "<nonce> U" (unknown), "<nonce> N" (not begun, and never will), "<nonce> E <why>", or
# "<nonce> <R|F|L|B> <code or -> <started> <ended or -> <out bytes> <err bytes> <secret bytes> <mark or ->"
# in seconds since 1970, then the secrets' names, the output and the error output, each up to the mark, if it is
# there. L: ended without a recorded outcome. B: the host restarted in between.
# Names are looked up in the directory that is entered here, and not by its path again: in /tmp that may be another's
# by then, or a link of another user that leads elsewhere every time.
d=/nonexistent/$id
if cd -P -- "$base" 2>/dev/null; then
  [ -O . ] && [ "${PWD##*/}" = "${base##*/}" ] || { printf '%s E %s belongs to somebody else\n' "$nonce" "$base"; exit 0; }
  d=$id
fi
if [ ! -e "$d.claim" ] && [ -z "$bury" ]; then
  printf '%s U\n' "$nonce"
  exit 0
fi
if [ ! -e "$d.claim" ]; then
  umask 077
  set -C # with noclobber the redirection is O_EXCL: whoever creates the file owns the id
  if { true >"$d.claim"; } 2>/dev/null; then
    set +C
    echo - >"$d.exit" || : # a claim alone holds as well
    printf '%s N\n' "$nonce"
    exit 0
  fi
  set +C
  [ -e "$d.claim" ] || { printf '%s E %s could not be made\n' "$nonce" "$base/$id.claim"; exit 0; }
fi
# Claimed for a second, and nobody said who supervises it: over. To bury it, its meta file is taken as well: a
# supervisor that was only slow finds it taken and starts nothing.
never() {
  state=L
  [ -n "$bury" ] || return 0
  set -C
  if { true >"$d.meta"; } 2>/dev/null; then
    set +C
    echo - >"$d.exit" || :
    state=F code=-
    return 0
  fi
  set +C
  [ "$turn" -ge 40 ] || state=R # it has just come, and writes
}
look() {
  code= boot= pid= start=
  { read -r code <"$d.exit"; } 2>/dev/null
  [ -z "$code" ] || { state=F; return 0; }
  { read -r boot; read -r pid; read -r start; } <"$d.meta" 2>/dev/null
  read -r now </proc/sys/kernel/random/boot_id
  state=R
  if [ -z "$start" ]; then
    # claimed a moment ago, or its supervisor died before it could start anything
    [ "$turn" -lt 20 ] || never
    return 0
  fi
  [ "$boot" = "$now" ] || { state=B; return 0; }
  stat=
  { read -r stat </proc/"$pid"/stat; } 2>/dev/null
  if [ -n "$stat" ]; then
    set -- ${stat##*) }
    case $1 in Z | X) stat= ;; esac
    [ "${20}" = "$start" ] || stat=
  fi
  [ -n "$stat" ] && return 0
  { read -r code <"$d.exit"; } 2>/dev/null
  [ -z "$code" ] && state=L || state=F
}
turn=0
end=$(($(date +%s) + seconds))
while :; do
  look
  [ "$state" = R ] || break
  turn=$((turn + 1))
  # an attempt whose supervisor has not written its own pid yet is given a second
  if [ "$(date +%s)" -ge "$end" ] && { [ -n "$start" ] || [ "$turn" -gt 40 ]; }; then break; fi
  sleep 0.05
done
if [ "$code" = - ]; then
  printf '%s N\n' "$nonce"
  exit 0
fi
mark=
{ read -r _; read -r _; read -r _; read -r _; read -r _; read -r mark; read -r most; } <"$d.meta" 2>/dev/null
# The outcome is recorded before the last output is: what a tee still holds is given half a second.
whole() {
  for stream in "$d.stdout" "$d.stderr"; do
    grep -qF -e "$mark" -- "$stream" && continue
    [ "$(wc -c <"$stream")" -ge "$most" ] || return 1
  done 2>/dev/null
}
turn=0
while [ "$state" = F ] && [ -n "$mark" ] && [ "$turn" -lt 25 ] && ! whole; do
  turn=$((turn + 1))
  sleep 0.02
done
size() { if [ -e "$1" ]; then wc -c <"$1"; else echo 0; fi; }
ended=-
[ "$state" != F ] || ended=$(date -r "$d.exit" +%s)
out=$(($(size "$d.stdout"))) err=$(($(size "$d.stderr"))) sec=$(($(size "$d.secrets")))
printf '%s %s %s %s %s %s %s %s %s\n' \
  "$nonce" "$state" "${code:--}" "$(date -r "$d.claim" +%s)" "$ended" "$out" "$err" "$sec" "${mark:--}"
[ "$sec" = 0 ] || head -c "$sec" "$d.secrets"
[ "$out" = 0 ] || head -c "$out" "$d.stdout"
[ "$err" = 0 ] || head -c "$err" "$d.stderr"
exit 0
