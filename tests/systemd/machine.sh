#!/bin/sh
# Becomes systemd as process 1 of its own mount, process, IPC, host name and control group namespaces, over a copy-on-write
# view of this machine's root: nothing it writes stays. $1: an empty directory; $2: the project; the rest: systemd's arguments.
set -eu
base=$1 project=$2
shift 2

mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
cd "$base/root"

# It has never had wasup, whatever its host has: state, releases, settings, units, the user.
rm -rf var/lib/wasup opt/wasup etc/wasup etc/systemd/system/wasup* etc/systemd/system/*.wants/wasup* \
    usr/lib/sysusers.d/wasup.conf usr/lib/tmpfiles.d/wasup.conf
sed -i '/^wasup:/d' etc/passwd etc/group etc/shadow etc/gshadow

mkdir -p srv/wasup old
mount --bind "$project" srv/wasup
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount --rbind /dev dev

# What a machine does for itself and this one must not do to its host.
for unit in systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service systemd-remount-fs.service \
    systemd-random-seed.service systemd-update-utmp.service systemd-tmpfiles-setup-dev.service systemd-udevd.service \
    proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount \
    sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount tmp.mount; do
    ln -sfn /dev/null "etc/systemd/system/$unit"
done

pivot_root . old
umount -l /old
exec /lib/systemd/systemd --system "$@"
