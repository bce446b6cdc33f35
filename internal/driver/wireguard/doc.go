// Package wireguard writes rows of WireGuard: to the kernel's own over generic netlink, or to a process beside the daemon over
// WireGuard's text protocol (www.wireguard.com/xplatform) where the kernel has none. The link is another driver's row; here are its
// key and port, its peers, and which addresses are whose.
//
// It is the only room that knows private keys. They are in a file that root alone reads, and go nowhere but into the device.
package wireguard
