# inside.sh: process 1 of the guest once its root is in place, with the job (command,
# env, settings) at /run/guest. Makes the guest a usable machine, runs the command,
# leaves its status in /run/guest/status and powers off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
cd / && . /run/guest/settings

mounts() {
	[ "$engine" = uml ] && umount -l /mnt # the bare root that uml-root.sh came from
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t devtmpfs dev /dev
	mkdir -p /dev/pts /dev/shm /dev/net /run/lock /run/netns
	mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
	mount -t tmpfs tmpfs /dev/shm
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mount -t bpf bpf /sys/fs/bpf
	mount -t debugfs debugfs /sys/kernel/debug
	mount --make-rshared / # as systemd has it; ip netns needs it
	[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
	ln -sfn /proc/self/fd /dev/fd
	ln -sf /proc/self/fd/0 /dev/stdin; ln -sf /proc/self/fd/1 /dev/stdout; ln -sf /proc/self/fd/2 /dev/stderr
	local i
	for i in "${!outs[@]}"; do share "$i" "${outs[i]}"; done
}

share() { # NUMBER DIR: mount a host directory for writing, where it is on the host
	case $engine in
	uml) mount -t hostfs -o "$2" none "$2";;
	qemu) mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=mmap "out$1" "$2";;
	esac
}

kernel() {
	local controller release
	release=$(uname -r)
	if [ -d "$modules" ]; then mkdir -p "/lib/modules/$release" && mount --bind "$modules" "/lib/modules/$release"; fi
	# what no request of a program loads by itself
	modprobe -qa br_netfilter fou fou6 ip_vs nf_conntrack_netlink
	for controller in $(</sys/fs/cgroup/cgroup.controllers); do
		echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
	done
	echo guest >/proc/sys/kernel/hostname
	ulimit -n 1048576
	ip link set lo up
}

obey() { # run the command; its output goes through a pipe, so that it sees no terminal
	local out relay i
	case $engine in
	uml) out=/dev/ttyS0; stty -F $out raw -echo;;
	qemu) out=$(ls /dev/vport*p1);;
	esac
	mapfile -d '' -t command <run/guest/command
	mapfile -d '' -t environment <run/guest/env
	mkfifo /run/output
	cat </run/output >"$out" & relay=$!
	exec 4>/run/output
	cd "$cwd" || exit
	SECONDS=0
	env -i "${environment[@]}" timeout -s QUIT -k 10 "$seconds" "${command[@]}" </dev/null >&4 2>&1 4>&-
	status=$?
	# timeout gives 137 when it had to kill
	[ $status = 137 ] && [ $SECONDS -ge "$seconds" ] && status=124
	exec 4>&-
	# what the command left running may hold the pipe open: two seconds of patience
	for i in {1..20}; do kill -0 $relay 2>/dev/null || break; sleep 0.1; done
}

{ mounts; kernel; obey; } </dev/null >/dev/console 2>&1
sync
echo $status >/run/guest/status
sync
echo o >/proc/sysrq-trigger
while :; do sleep 1000; done
