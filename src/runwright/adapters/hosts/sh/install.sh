# Installs the packages named as arguments into a layer. Runs in mounts and processes of its own.
# Handed in by the environment: LAYER_MASK, LAYER_UPPER, LAYER_WORK, LAYER_ROOT.
set -e
mount --make-rprivate /
options="lowerdir=$LAYER_MASK:/,upperdir=$LAYER_UPPER,workdir=$LAYER_WORK,redirect_dir=follow"
mount -t overlay overlay -o "$options" "$LAYER_ROOT"
root=$LAYER_ROOT/m
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial" "$root/var/log/apt"
[ -e "$root/etc/resolv.conf" ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || :
# services must not start where they are only installed
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
unset LAYER_MASK LAYER_UPPER LAYER_WORK LAYER_ROOT
add() {
  chroot "$root" apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 --no-install-recommends install -- "$@"
}
add "$@" || {
  chroot "$root" apt-get -q -o APT::Sandbox::User=root update
  add "$@"
}
