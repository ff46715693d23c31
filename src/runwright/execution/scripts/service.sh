# The `service` step. Input: rw_unit, rw_state (start stop restart reload), rw_enabled (true false or empty).
# Exit 0 done; 3 the manager said yes but the unit failed; 127 no service manager; else what the manager said.

tell_why() { # what a person would look at next, on stderr, where the telemetry keeps it
    [ "$manager" = systemd ] || return 0
    systemctl status --no-pager --full --lines=0 -- "$rw_unit" >&2
    command -v journalctl >/dev/null 2>&1 && journalctl --no-pager --quiet --lines=20 --unit="$rw_unit" >&2
    return 0
}

act() {
    case $manager in
        systemd) systemctl "$rw_state" -- "$rw_unit" ;;
        openrc) rc-service -- "$rw_unit" "$rw_state" ;;
        sysv) service "$rw_unit" "$rw_state" ;;
    esac
}

in_a_runlevel() {
    rc-update show | cut -d '|' -f 1 | tr -d ' \t' | grep -qxF -- "$rw_unit"
}

leaves_all_runlevels() { # rc-update's own status says nothing here: it is 1 where one runlevel did not have it
    in_a_runlevel || return 0
    rc-update --all del "$rw_unit" >/dev/null 2>&1
    ! in_a_runlevel
}

enable() {
    case $manager:$rw_enabled in
        systemd:true) systemctl --quiet enable -- "$rw_unit" ;;
        systemd:false) systemctl --quiet disable -- "$rw_unit" ;;
        openrc:true) rc-update add "$rw_unit" default ;;
        openrc:false) leaves_all_runlevels ;;
        sysv:true) if command -v update-rc.d >/dev/null 2>&1; then update-rc.d "$rw_unit" defaults; else chkconfig "$rw_unit" on; fi ;;
        sysv:false) if command -v update-rc.d >/dev/null 2>&1; then update-rc.d "$rw_unit" disable; else chkconfig "$rw_unit" off; fi ;;
    esac
}

if [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
    manager=systemd
elif command -v rc-service >/dev/null 2>&1; then
    manager=openrc
elif command -v service >/dev/null 2>&1; then
    manager=sysv
else
    echo "No service manager was found: neither a running systemd, nor rc-service, nor service." >&2
    exit 127
fi

if [ -n "$rw_enabled" ]; then
    enable
    code=$?
    if [ "$code" -ne 0 ]; then
        tell_why
        exit "$code"
    fi
fi

act
code=$?
if [ "$code" -ne 0 ]; then
    tell_why
    exit "$code"
fi

# A unit of Type=simple counts as started before it ran: what failed at once has not been started.
if [ "$manager" = systemd ] && [ "$rw_state" != stop ] && [ "$(systemctl is-active -- "$rw_unit")" = failed ]; then
    echo "The manager accepted '$rw_state', and the unit failed right after." >&2
    tell_why
    exit 3
fi
exit 0
