// Package holder answers who owns what, from the model alone: which Service has an address, port and protocol on this
// node, which addresses a Service may have at all, and whose a range of addresses is. It holds nothing itself.
//
// Several planners need the same answer: Services, announcements, routes, tunnels, the firewall. Each of them asks here,
// so that no two of them can differ about it, and `kube-router why` prints what they were told.
//
// The rules, in their order:
//
//   - An address that is a Service's cluster address is that Service's, with all its ports; the API server gives it.
//   - A node's address has the node ports of Services before their balancer and external addresses.
//   - Of two Services the older one keeps what both want: by metadata.creationTimestamp, then by namespace and name.
package holder
