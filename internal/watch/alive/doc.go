// Package alive tells within a second that a node has fallen silent. It asks the kernels of a few nodes, those whose work another would
// take over, by ICMP echo: no listener, no agreement about a port, nothing to forge that an attacker on the way could not do anyway, and a node
// whose daemon restarts goes on answering as it goes on forwarding. Decision 0131 says why neither leases nor gossip.
package alive
