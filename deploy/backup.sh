#!/bin/sh
# Writes a backup of wasup's database, while wasup runs or not:
#
#   deploy/backup.sh FILE
#
# FILE is in pg_dump's custom format, readable by its owner alone, and there only when it is whole. Run it as the user who runs
# wasup, with the same settings (WASUP_CONFIG, DATABASE_URL). The master key is not in it: keep that elsewhere. docs/backup.md.
set -eu

HERE=$(cd "$(dirname "$0")/.." && pwd)
WASUP=$HERE/.venv/bin/wasup

fail() {
    echo "deploy/backup.sh: $*" >&2
    exit 1
}

[ $# = 1 ] && [ "${1#-}" = "$1" ] || fail "usage: deploy/backup.sh FILE"
if [ -z "${BACKUP_HAS_DATABASE-}" ]; then
    [ ! -e "$1" ] || fail "$1 exists already: nothing was written"
    [ -d "$(dirname "$1")" ] || fail "there is no directory $(dirname "$1")"
    [ -x "$WASUP" ] || fail "$WASUP is missing: run this from an installed release, or from a checkout after 'make run'"
    BACKUP_HAS_DATABASE=yes exec "$WASUP" with-database "$0" "$1"
fi

umask 077
# Of a name that cannot be foretold: in a directory that others may write to, one could lie there already, and lead elsewhere.
partial=$(mktemp "$(dirname -- "$1")/.$(basename -- "$1").XXXXXXXXXX") || fail "nothing can be written to $(dirname -- "$1")"
trap 'rm -f "$partial"' EXIT
trap 'exit 130' INT TERM

ask() {
    psql -XAtq -v ON_ERROR_STOP=1 -c "$1"
}

# Row security is forced on every table. A superuser is above it; any other role has to ask for the rows that it may see, which for
# wasup's own role are all of them, and for another one none, without a word.
above=$(ask "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user") || fail "the database does not answer"
[ "$(ask "SELECT to_regclass('public.whatsapp_auth') IS NOT NULL")" = t ] || fail "this is no database of wasup's; nothing was written"
own=$(ask "SELECT count(*) FROM pg_policies WHERE tablename = 'whatsapp_auth' AND policyname = 'daemon' AND current_user = ANY (roles)")
case $above$own in
    t*) security= ;;
    f1) security=--enable-row-security ;;
    *) fail "the role $(ask 'SELECT current_user') may not see every row: use wasup's own, or a superuser; nothing was written" ;;
esac

pg_dump $security --format=custom --file="$partial"
sync "$partial" # a backup that the disk has not got is none
mv -n "$partial" "$1"
[ ! -e "$partial" ] || fail "$1 was made meanwhile: nothing was written"
