#!/bin/sh
# Proves that a backup can be restored, beside the running wasup; wasup-backup.service does so after each backup.
#
#   deploy/restore-drill.sh FILE
#
# Restores FILE into a database of its own on the same server, opens everything in it with the master key, and drops it again. Nothing
# connects to WhatsApp, and the database in use is only counted. Another server: DATABASE_URL=… deploy/restore-drill.sh FILE.
# Ends with 0 when the backup is good. The role needs CREATEDB. docs/backup.md.
set -eu

HERE=$(cd "$(dirname "$0")/.." && pwd)
WASUP=$HERE/.venv/bin/wasup

fail() {
    echo "deploy/restore-drill.sh: $*" >&2
    exit 1
}

[ $# = 1 ] && [ "${1#-}" = "$1" ] || fail "usage: deploy/restore-drill.sh FILE"
if [ -z "${BACKUP_HAS_DATABASE-}" ]; then
    [ -f "$1" ] && [ -r "$1" ] || fail "there is no file $1 that can be read"
    [ -x "$WASUP" ] || fail "$WASUP is missing: run this from an installed release, or from a checkout after 'make run'"
    BACKUP_HAS_DATABASE=yes exec "$WASUP" with-database "$0" "$1"
fi

count() { # of linked companies in the database in use, 0 when it has none of wasup's
    psql -XAtq -v ON_ERROR_STOP=1 <<-'SQL'
	SELECT to_regclass('whatsapp_auth') IS NOT NULL AS ours \gset
	\if :ours
	SELECT count(*) FROM whatsapp_auth;
	\else
	SELECT 0;
	\endif
	SQL
}

in_use=$(count) || fail "the database does not answer"
scratch=wasup_drill_$$
began=$(date +%s)
psql -XAtq -v ON_ERROR_STOP=1 -c "CREATE DATABASE $scratch" || fail "no database could be made for the drill: the role needs CREATEDB"
server=${PGDATABASE-}
trap 'PGDATABASE=$server psql -Xq -c "DROP DATABASE $scratch WITH (FORCE)"' EXIT
trap 'exit 130' INT TERM

export PGDATABASE=$scratch
DATABASE_URL=$(printf '%s' "$DATABASE_URL" | sed "s|^\([^:]*://[^/?]*\)\(/[^?]*\)\{0,1\}|\1/$scratch|")
export DATABASE_URL

"$HERE/deploy/restore.sh" --keep-sessions "$1" || fail "the backup cannot be restored"
restored=$(date +%s)
"$WASUP" migrate || fail "its schema cannot be brought up to this release"
"$WASUP" verify || fail "not everything in it can be opened and used"
"$WASUP" audit --limit 1 >/dev/null || fail "its audit log was tampered with"
found=$(count)
[ "$found" -gt 0 ] || [ "$in_use" = 0 ] || fail "it has no company, and the database in use has $in_use"

echo "the backup is good: $found linked companies (in use now: $in_use), restored in $((restored - began)) s, read in $(($(date +%s) - restored)) s"
