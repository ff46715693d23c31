#!/bin/sh
# In a machine's user namespace a tmpfs names its owner by a number that means nothing there, so that
# mount(8) cannot hand a mount's own options back when it remounts it: the given ones alone, then.
# The root's file system belongs to the lab; making it read-only or writable again is done to its mount.
case " $* " in
  *[\ ,]remount[\ ,]*)
    case " $*|" in
      *[\ ,]r[ow][\ ,]*" /|") exec /usr/bin/mount --options-mode=ignore "$@" -o bind ;;
      *[\ ,]r[ow]" /|") exec /usr/bin/mount --options-mode=ignore "$@" -o bind ;;
    esac
    exec /usr/bin/mount --options-mode=ignore "$@"
    ;;
esac
exec /usr/bin/mount "$@"
