# The `http` step. Input: rw_url, rw_method, rw_status, rw_contains (may be empty), rw_timeout (seconds),
# rw_curl (the same as a curl configuration). Values go to the client on its standard input or in the
# environment, never in an argument list. Exit 0 as wanted; 1 not; 127 no client on this host.

line='
'
cr=$(printf '\r')

fetch() { # prints the body, a line break and the status
    if command -v curl >/dev/null 2>&1; then
        printf '%s' "$rw_curl" | curl -q --config -
    elif [ "$rw_method" = GET ] && wget --version 2>/dev/null | grep -q 'GNU Wget'; then
        said=$(printf '%s\n' "$rw_url" | wget --no-config --no-proxy --no-verbose --save-headers --content-on-error \
            --max-redirect=0 --tries=1 --timeout="$rw_timeout" --output-document=- --input-file=-)
        code=$?
        [ "$code" -eq 0 ] || [ "$code" -eq 8 ] || return "$code" # 8: the server answered with an error status
        status=${said#* }
        printf '%s\n%s' "${said#*"$cr$line$cr$line"}" "${status%%[!0-9]*}"
    elif command -v python3 >/dev/null 2>&1; then
        python3 -c '
import os, sys, urllib.error, urllib.request

class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None

open_ = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay()).open
request = urllib.request.Request(os.environ["rw_url"], method=os.environ["rw_method"])
try:
    answer = open_(request, timeout=float(os.environ["rw_timeout"]))
except urllib.error.HTTPError as error:
    answer = error
except (urllib.error.URLError, OSError) as error:
    sys.exit("%s: %s" % (os.environ["rw_url"], getattr(error, "reason", error)))
sys.stdout.buffer.write(answer.read(1000000))
sys.stdout.write("\n%d" % answer.status)
'
    else
        echo "No HTTP client was found on this host: neither curl, nor GNU wget (for GET), nor python3." >&2
        return 127
    fi
}

answer=$(fetch)
code=$?
[ "$code" -eq 127 ] && exit 127
if [ "$code" -ne 0 ]; then
    echo "$rw_method $rw_url did not answer (client exit $code)." >&2
    exit 1
fi
status=${answer##*"$line"}
body=${answer%"$line"*}
printf 'HTTP %s\n' "$status"
printf '%s\n' "$body" | head -c 2000
if [ "$status" != "$rw_status" ]; then
    echo "$rw_method $rw_url answered $status; wanted $rw_status." >&2
    exit 1
fi
if [ -n "$rw_contains" ]; then
    case $body in
        *"$rw_contains"*) ;;
        *)
            echo "$rw_method $rw_url answered $status, but the wanted text is not in it." >&2
            exit 1
            ;;
    esac
fi
exit 0
