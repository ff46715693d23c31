# One unsupervised round trip. Handed in: nonce, become, sudo_sh, lead, step; as for an attempt.
# Its output, then the nonce on standard output and "<nonce> <exit code>" on standard error.
trap '' PIPE
case $become in
  # what the text does not declare is not there: it sees neither the mark nor any other name of this program
  '') (trap - PIPE; eval "unset nonce become sudo_sh lead step; $step") ;;
  password) printf '%s' "$lead" "$step" | (trap - PIPE; exec sudo -S -p '' -- /bin/sh -c "$sudo_sh") ;;
  *) printf '%s' "$step" | (trap - PIPE; exec sudo -n -- /bin/sh) ;;
esac
code=$?
printf '%s' "$nonce"
printf '%s %s\n' "$nonce" "$code" >&2
exit 0
