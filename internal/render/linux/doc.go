// Package linux renders intents in the words of the kernel's own network configuration: links, addresses,
// neighbours, routes, rules, settings, and of the CNI file beside them. Each function is pure and gives all
// rows that one intent needs; rows that several intents need (a tunnel, a vxlan link) are equal in each.
package linux
