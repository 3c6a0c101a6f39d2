#!/bin/sh
# Restores a backup of deploy/backup.sh into an empty database. wasup must be stopped.
#
#   deploy/restore.sh FILE                   the backup may be older than the last message
#   deploy/restore.sh --keep-sessions FILE   it is not: wasup was stopped when it was made and has not run since
#
# All or nothing: whatever fails leaves the database as it was. docs/backup.md says what comes before and after it, and why the first
# form forgets the Signal sessions of every company (no QR code is needed; each conversation begins a new session).
set -eu

HERE=$(cd "$(dirname "$0")/.." && pwd)
WASUP=$HERE/.venv/bin/wasup

fail() {
    echo "deploy/restore.sh: $*" >&2
    exit 1
}

ask() {
    psql -XAtq -v ON_ERROR_STOP=1 -c "$1"
}

keep=no
[ "${1-}" != --keep-sessions ] || { keep=yes && shift; }
[ $# = 1 ] && [ "${1#-}" = "$1" ] || fail "usage: deploy/restore.sh [--keep-sessions] FILE"
if [ -z "${BACKUP_HAS_DATABASE-}" ]; then
    [ -f "$1" ] && [ -r "$1" ] || fail "there is no file $1 that can be read"
    [ -x "$WASUP" ] || fail "$WASUP is missing: run this from an installed release, or from a checkout after 'make run'"
    [ $keep = no ] || set -- --keep-sessions "$1"
    BACKUP_HAS_DATABASE=yes exec "$WASUP" with-database "$0" "$@"
fi

pg_restore --list "$1" | grep -q 'TABLE DATA public whatsapp_auth ' || fail "$1 is no backup of wasup's database; nothing was changed"

others=$(ask "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type IS DISTINCT FROM 'autovacuum worker'") ||
    fail "the database does not answer: it has to exist, and to be empty"
[ "$others" = 0 ] || fail "$others connections to this database are open: stop wasup first; nothing was changed"

tables=$(ask "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
[ "$tables" = 0 ] || fail "this database is not empty ($tables tables): restore into a new one; nothing was changed"

# Roles belong to the server and are in no backup of a database.
for role in $(pg_restore --schema-only --file=- "$1" | sed -n 's/^ALTER TABLE .* OWNER TO "\{0,1\}\([^"]*\)"\{0,1\};$/\1/p' | sort -u); do
    [ "$(ask "SELECT count(*) FROM pg_roles WHERE rolname = '$role'")" = 1 ] ||
        fail "this server has no role $role, to which the backup's tables belong: CREATE ROLE it first; nothing was changed"
done

statements() {
    cat <<-'SQL'
	BEGIN;
	DO $$ BEGIN CREATE ROLE wasup_tenant NOLOGIN;
	EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL; END $$;
	SQL
    # What follows must not be committed after half a backup.
    pg_restore --file=- "$1" || echo 'SELECT 1 / 0 AS "the backup cannot be read to its end";'
    # Whoever held a company when the backup was made holds it no more: nothing it still has under way is written here.
    cat <<-'SQL'
	SET row_security = on;
	UPDATE public.whatsapp_leases SET owner = NULL, epoch = epoch + 1, expires_at = now();
	SQL
    # Keys of these sessions have been used since, and what is encrypted with one of them again is dropped by who gets it, without a
    # word. Where the device file still is, the session is taken from that: the journal's position says that the file knows more.
    [ $keep = yes ] || cat <<-'SQL'
	WITH gone AS (
	    DELETE FROM public.whatsapp_keys WHERE key_type IN ('whatsmeow-session', 'whatsmeow-sender-key') RETURNING company_id
	)
	UPDATE public.whatsapp_journal SET position = position - 1
	WHERE position > 0 AND company_id IN (SELECT company_id FROM gone);
	SQL
    echo 'COMMIT;'
}

statements "$1" | psql -Xq -v ON_ERROR_STOP=1 >/dev/null || fail "it failed, for the reason above; nothing was changed"
[ "$(ask "SELECT to_regclass('public.wasup_migrations') IS NOT NULL")" = t ] || fail "the backup ends in the middle; nothing was changed"
psql -Xq -c ANALYZE
