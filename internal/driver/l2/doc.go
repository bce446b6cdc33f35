// Package l2 answers for addresses on links: ARP for IPv4 (RFC 826), neighbour discovery for IPv6 (RFC 4861). The table is its own packet sockets: what it
// answers for is gone when it is, so nothing is left behind that would go on answering beside another node.
package l2
