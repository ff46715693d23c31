# The `wait_for` step. Input: rw_kind (port path service run), rw_value, rw_port_hex (of a port),
# rw_for and rw_every (seconds). Exit 0 came true; 1 did not in time.

listens() { # state 0A is LISTEN; read as the kernel has it, so no tool is needed
    for table in /proc/net/tcp /proc/net/tcp6; do
        [ -r "$table" ] || continue
        while read -r _ here _ state _; do
            case $here:$state in *":$rw_port_hex:0A") return 0 ;; esac
        done <"$table"
    done
    return 1
}

runs() {
    if [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
        systemctl is-active --quiet -- "$rw_value"
    elif command -v rc-service >/dev/null 2>&1; then
        rc-service -- "$rw_value" status >/dev/null 2>&1
    else
        service "$rw_value" status >/dev/null 2>&1
    fi
}

holds() {
    case $rw_kind in
        port) listens ;;
        path) [ -e "$rw_value" ] ;;
        service) runs ;;
        run) (eval "$rw_value") ;;
    esac
}

end=$(($(date +%s) + rw_for))
until holds; do
    if [ "$(date +%s)" -ge "$end" ]; then
        echo "Waited $rw_for s for $rw_kind, and it did not come true." >&2
        if [ "$rw_kind" = service ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
            systemctl status --no-pager --full --lines=0 -- "$rw_value" >&2
            command -v journalctl >/dev/null 2>&1 && journalctl --no-pager --quiet --lines=20 --unit="$rw_value" >&2
        fi
        exit 1
    fi
    sleep "$rw_every" 2>/dev/null || sleep 1
done
exit 0
