# qemu.sh: the QEMU engine of ../run: the distribution's stock kernel, downloaded and not
# installed, with this machine's root over 9p. KVM where a guest boots with it, else
# emulation (TCG), which is 10 to 100 times slower.

# The newest stock kernel that a release has, first: bookworm-security, Debian, Ubuntu.
stock_kernels="linux-image-6.12-amd64 linux-image-amd64 linux-image-generic"

# What the initial RAM disk loads: the way to the root and to the channel for the output.
boot_modules="virtio_pci 9pnet_virtio 9p overlay virtio_console virtio_rng"

qemu_prepare() {
	need qemu-system-x86_64:qemu-system-x86
	[ -e "$cache/qemu/release" ] || qemu_build
	modules=$cache/qemu/lib/modules/$(<"$cache/qemu/release") cpus=${cpus:-$(nproc)}
	if qemu_kvm; then accel=(-accel kvm -cpu host) boot=60
	else accel=(-accel tcg,thread=multi -cpu max) boot=300 # on a busy machine it has been seen to need 200
	fi
}

qemu_packages() { # sets packages to those that make up the stock kernel
	local meta
	for meta in $stock_kernels; do
		packages=$(apt-cache depends --important "$meta" | sed -n 's/.* \(linux-\(image\|modules-extra\)-[0-9][^ ]*\)$/\1/p' | sort -u)
		[ -n "$packages" ] && break
	done
	[ -n "$packages" ] || return
	# Ubuntu has the modules apart
	packages+=" $(apt-cache depends --important $packages | sed -n 's/.* \(linux-modules-[0-9][^ ]*\)$/\1/p' | sort -u)"
}

qemu_download() { (cd "$1" && qemu_packages && apt-get -q download $packages busybox-static); }

qemu_build() { # kernel, modules and initial RAM disk, into $cache/qemu
	local fresh deb release
	need cpio:cpio xz:xz-utils zstd:zstd
	say "downloading the distribution's kernel, once"
	fresh=$(mktemp -d "$cache/new.XXXXXX") || exit 125
	chmod 755 "$fresh"
	fetched qemu_download "$fresh"
	for deb in "$fresh"/*.deb; do dpkg -x "$deb" "$fresh" && rm "$deb" || die "cannot unpack $deb"; done
	release=$(cd "$fresh/boot" && echo vmlinuz-*) release=${release#vmlinuz-}
	cp -L "$fresh/boot/vmlinuz-$release" "$fresh/vmlinuz" && cp "$fresh/boot/config-$release" "$fresh/config" || die "no kernel in $fresh"
	[ -d "$fresh/lib/modules" ] || mv "$fresh/usr/lib" "$fresh/lib" # since /usr was merged
	qemu_modules "$fresh" "$release"
	qemu_ramdisk "$fresh" "$release"
	rm -rf "$fresh"/{bin,boot,usr,etc,disk}
	echo "$release" >"$fresh/release"
	rm -rf "$cache/qemu" && mv "$fresh" "$cache/qemu"
}

qemu_modules() { # DIR RELEASE: keep what a guest may want, uncompressed, as that loads faster
	local tree=$1/lib/modules/$2
	rm -rf "$tree/kernel/sound"
	find "$tree/kernel/drivers" -mindepth 1 -maxdepth 1 ! -name net ! -name virtio ! -name char ! -name block -exec rm -rf {} +
	rm -rf "$tree"/kernel/drivers/net/{ethernet,wireless,usb,phy}
	find "$tree" -name '*.ko.xz' -exec xz -d {} +
	find "$tree" -name '*.ko.zst' -exec zstd -dq --rm {} +
	depmod -b "$1" "$2" || die "depmod failed in $1"
}

qemu_ramdisk() { # DIR RELEASE: busybox, the boot modules in their order, and init
	local disk=$1/disk module n=10
	mkdir -p "$disk"/{bin,modules,proc,dev,lower,upper,root}
	cp "$(find "$1" -path '*bin/busybox' | head -n 1)" "$disk/bin/busybox" && cp "$here/lib/qemu-init.sh" "$disk/init" && chmod 755 "$disk/init" || die "cannot make $disk"
	ln -s busybox "$disk/bin/sh"
	for module in $(modprobe -d "$1" -S "$2" -aD $boot_modules 2>/dev/null | awk '$1 == "insmod" && !seen[$2]++ {print $2}'); do
		cp "$module" "$disk/modules/$((n++)).ko"
	done
	(cd "$disk" && find . | cpio -oH newc --quiet | gzip -1 >"$1/initrd") || die "cannot make $1/initrd"
}

qemu_kvm() { # does a guest boot with KVM here? /dev/kvm alone doesn't tell; asked once per boot of the host
	local answer=$cache/qemu/kvm-$(</proc/sys/kernel/random/boot_id)
	[ -w /dev/kvm ] || return
	if [ ! -e "$answer" ]; then
		rm -f "$cache"/qemu/kvm-*
		{ timeout -s KILL 20 qemu-system-x86_64 "${qemu_machine[@]}" -accel kvm -cpu host -m 512 \
			-kernel "$cache/qemu/vmlinuz" -initrd "$cache/qemu/initrd" -append "console=ttyS0 quiet panic=-1 probe=kvm" \
			-serial file:"$work/probe.log" </dev/null; } >/dev/null 2>&1
		if grep -qs 'guest is alive' "$work/probe.log"; then echo yes; else echo no; fi >"$answer"
	fi
	[ "$(<"$answer")" = yes ]
}

qemu_machine=(-machine q35 -nodefaults -no-user-config -display none -no-reboot)

qemu_command() { # sets command
	local i
	command=(qemu-system-x86_64 "${qemu_machine[@]}" "${accel[@]}" -smp "$cpus" -m "$mem"
		-kernel "$cache/qemu/vmlinuz" -initrd "$cache/qemu/initrd"
		-append "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic mitigations=off no_timer_check audit=0 nowatchdog rcupdate.rcu_expedited=1 rcupdate.rcu_cpu_stall_suppress=1"
		-add-fd fd=7,set=7 -chardev file,id=log,path=/dev/fdset/7 -serial chardev:log
		-add-fd fd=8,set=8 -chardev file,id=output,path=/dev/fdset/8,append=on
		-device virtio-serial-pci -device virtserialport,chardev=output -device virtio-rng-pci
		-fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=root,mount_tag=root
		-fsdev "local,id=job,path=$job,security_model=none" -device virtio-9p-pci,fsdev=job,mount_tag=job)
	for i in "${!outs[@]}"; do
		command+=(-fsdev "local,id=out$i,path=${outs[i]},security_model=none" -device "virtio-9p-pci,fsdev=out$i,mount_tag=out$i")
	done
}
