# Whether sudo lets this user become root, asked once and not three times. Handed in: nonce, become, password, sudo_sh.
# Answers "<nonce> ok", "<nonce> missing" or "<nonce> refused" and what sudo said.
command -v sudo >/dev/null 2>&1 || { printf '%s missing\n' "$nonce"; exit 0; }
if [ "$become" = password ]; then
  said=$(printf '%s\n' "$password" | sudo -k -S -p '' -- /bin/sh -c "$sudo_sh" 2>&1)
else
  said=$(sudo -n -- /bin/sh </dev/null 2>&1)
fi && { printf '%s ok\n' "$nonce"; exit 0; }
printf '%s refused\n%s\n' "$nonce" "$said"
exit 0
