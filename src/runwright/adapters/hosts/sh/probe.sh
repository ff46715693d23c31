# One unsupervised round trip. Handed in: nonce, become, step.
# Its output, then the nonce on standard output and "<nonce> <exit code>" on standard error.
trap '' PIPE
if [ -n "$become" ]; then
  printf '%s' "$step" | (trap - PIPE; exec sudo -n -- /bin/sh)
else
  (trap - PIPE; eval "$step")
fi
code=$?
printf '%s' "$nonce"
printf '%s %s\n' "$nonce" "$code" >&2
exit 0
