# uml-root.sh JOB: process 1 of a UML guest while its root is still the bare, read-only
# host: makes the overlay root, with the job at /run/guest, and goes on in inside.sh there.
# A failure ends process 1, which the kernel answers with a panic, and run with status 125.
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -nt tmpfs -o size=75% tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -nt overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -nt tmpfs -o mode=755 tmpfs run
mkdir run/guest
mount -nt hostfs -o "$1" none run/guest
pivot_root . mnt
exec chroot . /bin/bash /run/guest/inside.sh
