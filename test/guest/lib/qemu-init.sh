#!/bin/sh
# qemu-init.sh: process 1 of the QEMU guest, in the initial RAM disk: makes the overlay
# root over 9p, with the job at /run/guest, and goes on in inside.sh there. A failure
# ends process 1, which the kernel answers with a panic, and run with status 125.
set -e
b=/bin/busybox
if [ "${probe:-}" = kvm ]; then # the kernel hands unknown parameters on as environment
	echo "guest is alive"
	$b sleep 1
	$b poweroff -f
fi
for module in /modules/*.ko; do $b insmod "$module"; done
nine=trans=virtio,version=9p2000.L,msize=512000
$b mount -t 9p -o $nine,cache=loose,ro root /lower
$b mount -t tmpfs -o size=75% tmpfs /upper
$b mkdir /upper/upper /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work overlay /root
$b mount -t tmpfs -o mode=755 tmpfs /root/run
$b mkdir /root/run/guest
$b mount -t 9p -o $nine job /root/run/guest
exec $b switch_root /root /bin/bash /run/guest/inside.sh
