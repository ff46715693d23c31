# Installs the packages named as arguments into an archive, $LAYER_WORK/layer.tar. Runs in mounts and
# processes of its own. The mask lies in $LAYER_WORK/mask.
set -e
mount --make-rprivate /
work=$LAYER_WORK
unset LAYER_WORK
mkdir "$work/fresh"
mount -t tmpfs -o size=4g,mode=0755 tmpfs "$work/fresh"
cd "$work/fresh"
mkdir mask upper work root
cp -a --preserve=all ../mask/. mask/
mount -t overlay overlay -o "lowerdir=$PWD/mask:/,upperdir=$PWD/upper,workdir=$PWD/work,redirect_dir=follow" root
root=$PWD/root/m
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial" "$root/var/log/apt"
[ -s "$root/etc/resolv.conf" ] || cp -L --remove-destination /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || :
# services must not start where they are only installed
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
add() {
  chroot "$root" apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 --no-install-recommends install -- "$@"
}
add "$@" || {
  chroot "$root" apt-get -q -o APT::Sandbox::User=root update
  add "$@"
}
# what building leaves behind and no machine needs
cd upper/m
rm -rf var/lib/apt var/cache/apt var/cache/debconf var/log/apt var/log/dpkg.log var/log/alternatives.log \
  tmp run root dev proc sys etc/apt etc/resolv.conf usr/sbin/policy-rc.d
cd ../..
tar --create --xattrs '--xattrs-include=*' --numeric-owner --file=../layer.tar upper
