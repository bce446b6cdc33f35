# uml.sh: the User-Mode-Linux engine of ../run. The kernel is an ordinary program that
# reads the host's files directly (hostfs): boots in a second and needs no KVM.

uml_named() { # sets kernel to the file that holds a UML kernel; fails where there is none
	kernel=${KUBE_ROUTER_GUEST_KERNEL:-$here/../../../shared/guest/linux-uml.tar.xz}
	[ -f "$kernel" ]
}

uml_find() { # sets kernel to a ready UML kernel; fails where none is to be had
	if ! uml_named; then
		[ -z "${KUBE_ROUTER_GUEST_KERNEL:-}" ] || die "KUBE_ROUTER_GUEST_KERNEL: no file $kernel"
		return 1
	fi
	case $kernel in *.tar|*.tar.*|*.tgz) uml_unpack "$kernel";; esac
	kernel=$(readlink -f "$kernel")
	[ -x "$kernel" ] || die "not a program: $kernel"
	plain "the kernel's path" "$kernel"
}

uml_unpack() { # TARBALL: into the cache, under the name of its digest; sets kernel
	local dir fresh
	case $1 in *.xz) need xz:xz-utils;; esac
	dir=$cache/uml-$(sha256sum <"$1" | cut -c1-16)
	kernel=$dir/linux-uml
	[ -d "$dir" ] && return
	fresh=$(mktemp -d "$cache/new.XXXXXX") && chmod 755 "$fresh" && tar xf "$1" -C "$fresh" &&
		[ -f "$fresh/linux-uml" ] && mv "$fresh" "$dir" && return
	rm -rf "$fresh"; die "$1 holds no linux-uml"
}

uml_prepare() {
	# one CPU by default: SMP makes system calls of a UML guest twice as dear
	modules=$kernel.modules cpus=${cpus:-1} boot=60 alone=()
	[ "$cpus" = 1 ] || return 0
	uml_cpu
	alone=(taskset -c "$cpu" env LD_PRELOAD="$(uml_mask)")
}

# A guest of one CPU stays on one CPU of ours: each of its system calls is a hand-over between two processes,
# and to another CPU that takes five times as long. Guests that run at once take different ones.
uml_cpu() { # sets cpu
	local mine part lock all=()
	mine=$(taskset -cp $$); mine=${mine##*: }
	for part in ${mine//,/ }; do all+=($(seq "${part%-*}" "${part#*-}")); done
	for cpu in "${all[@]}"; do
		exec {lock}>"$cache/cpu-$cpu" && flock -n "$lock" && return # kept until this run has ended
		exec {lock}>&-
	done
	cpu=${all[RANDOM % ${#all[@]}]}
}

uml_mask() { # prints the library of uml-mask.c, or nothing where there is no compiler: then it is but slower
	local so=$cache/uml-mask.so
	[ "$so" -nt "$here/lib/uml-mask.c" ] || cc -O2 -shared -fPIC -o "$so" "$here/lib/uml-mask.c" 2>/dev/null || return 0
	echo "$so"
}

uml_command() { # sets command. uml_dir is where the kernel keeps its pid file and socket
	command=("${alone[@]}" "$kernel" "uml_dir=$work/uml/" "mem=${mem}M" "ncpus=$cpus" seccomp=auto
		root=/dev/root rootfstype=hostfs rootflags=/ ro
		con=null con0=null,fd:7 ssl=null ssl0=null,fd:8
		quiet loglevel=4 panic=-1 oops=panic
		# netns teardown waits for RCU: expedited, a test with many of them takes half as long
		rcupdate.rcu_expedited=1 rcupdate.rcu_cpu_stall_suppress=1
		init=/bin/bash -- "$job/uml-root.sh" "$job")
}
