// Package nfqueue hears packets that rules of ours hold in a queue of the kernel, and lets each of them go on. The kernel lets packets
// pass where nobody listens, and where too many wait.
package nfqueue
