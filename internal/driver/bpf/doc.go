// Package bpf writes eBPF rows: entries of maps, and programs that are attached to a cgroup. It needs CAP_BPF and CAP_NET_ADMIN, a
// cgroup2 hierarchy and a BPF file system (Linux 5.13; network namespaces have cookies that can be asked for from 5.14).
//
// Maps, programs and links are pinned in a folder of our own, so that they outlive the daemon. It keeps nothing open between two
// calls: what stands is what the folder and the cgroup say.
package bpf
