#!/bin/sh
# Installs this checkout as a systemd service, or the next release beside the last one. As root:
#
#   deploy/install.sh                 install or upgrade, and (re)start
#   deploy/install.sh --rollback      go back to the release before
#   deploy/install.sh --no-start      put everything in place only
#
# Each release lies in its own directory under /opt/wasup/releases with its own environment; /opt/wasup/current names the one
# that runs, /opt/wasup/previous the one before. PYTHON=/usr/bin/python3.12 chooses the interpreter. docs/deployment.md.
set -eu

PREFIX=/opt/wasup
STATE=/var/lib/wasup
PYTHON=${PYTHON:-python3}
KEEP=3
HERE=$(cd "$(dirname "$0")/.." && pwd)

fail() {
    echo "deploy/install.sh: $*" >&2
    exit 1
}

switch() { # link target: changed in one step, so that there is always a current release
    ln -sfn "$2" "$1.new"
    mv -T "$1.new" "$1"
}

check() {
    [ "$(id -u)" = 0 ] || fail "run this as root"
    [ -d /run/systemd/system ] || fail "systemd does not run here"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "$PYTHON is no Python 3.11 or later; name one: PYTHON=/usr/bin/python3.12 $0"
}

install_files() {
    install -D -m 0644 "$1/deploy/wasup.sysusers" /usr/lib/sysusers.d/wasup.conf
    install -D -m 0644 "$1/deploy/wasup.tmpfiles" /usr/lib/tmpfiles.d/wasup.conf
    install -D -m 0644 "$1/deploy/wasup.service" /etc/systemd/system/wasup.service
    systemd-sysusers /usr/lib/sysusers.d/wasup.conf
    adopt_state
    systemd-tmpfiles --create /usr/lib/tmpfiles.d/wasup.conf
    systemctl daemon-reload
}

adopt_state() { # what `make run` or a command as root made there: the service's user could not open it
    [ -d "$STATE" ] && [ -n "$(find "$STATE" ! -user wasup -print -quit)" ] || return 0
    echo "deploy/install.sh: $STATE has files of other users, as \`make run\` as root makes them: they become user wasup's"
    chown -R -h -P wasup:wasup "$STATE"
}

check_state() { # before anything is changed
    [ ! -L "$STATE" ] || fail "$STATE is a symbolic link: put the state directory itself there, or mount it"
    [ -e "$STATE/daemon.lock" ] && ! systemctl --quiet is-active wasup || return 0
    flock --nonblock --shared "$STATE/daemon.lock" true || fail "a daemon runs on $STATE (\`make run\`?): stop it first"
}

new_release() {
    release=$PREFIX/releases/$(date -u +%Y%m%dT%H%M%SZ)
    umask 022
    mkdir -p "$release"
    # What git has, or, without git, everything but what a checkout makes for itself.
    if git -C "$HERE" rev-parse --git-dir >/dev/null 2>&1; then
        git -C "$HERE" archive HEAD | tar -x -C "$release"
    else
        tar -c -C "$HERE" --exclude=.venv --exclude=.state --exclude=.cache . | tar -x -C "$release"
    fi
    "$PYTHON" "$release/deploy/venv.py" run || { rm -rf "$release"; fail "the environment could not be made; nothing was changed"; }
    install_files "$release"
    # The service's user must reach the interpreter too: one below somebody's home directory it cannot.
    runuser -u wasup -- "$release/.venv/bin/wasup" --version >/dev/null || {
        rm -rf "$release"
        fail "user wasup cannot run $PYTHON; name another: PYTHON=/usr/bin/python3 $0"
    }
    runuser -u wasup -- env WASUP_CONFIG=/etc/wasup/wasup.toml WASUP_STATE_DIR=/var/lib/wasup "$release/.venv/bin/wasup" check-config >/dev/null || {
        rm -rf "$release"
        fail "the settings in /etc/wasup/wasup.toml are refused by this release; nothing was switched"
    }
    [ ! -L "$PREFIX/current" ] || switch "$PREFIX/previous" "$(readlink "$PREFIX/current")"
    switch "$PREFIX/current" "$release"
    remove_old
}

remove_old() { # never the current or the previous one
    ls -1d "$PREFIX"/releases/* | sort -r | tail -n "+$((KEEP + 1))" | while read -r old; do
        [ "$old" = "$(readlink "$PREFIX/current")" ] || [ "$old" = "$(readlink "$PREFIX/previous" || true)" ] || rm -rf "$old"
    done
}

rollback() {
    [ -L "$PREFIX/previous" ] || fail "there is no release before the current one"
    back=$(readlink "$PREFIX/previous")
    switch "$PREFIX/previous" "$(readlink "$PREFIX/current")"
    switch "$PREFIX/current" "$back"
    install_files "$back"
}

start() {
    systemctl enable --quiet wasup
    systemctl restart wasup || fail "it did not start: journalctl -u wasup; to go back: $0 --rollback"
    systemctl --no-pager status wasup | sed -n 1,4p
}

check
check_state
case ${1-} in
    "")
        new_release # not joined by &&: that would take `set -e` from within it
        start
        ;;
    --no-start) new_release ;;
    --rollback)
        rollback
        start
        ;;
    *) fail "unknown option $1; see the head of this file" ;;
esac
