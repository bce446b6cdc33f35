// Package forward looks at the chains of other programs that packets of pods pass at hook forward (Look, Follow), and keeps our
// accept rules in chain FORWARD of iptables-nft (Driver, with row.Forward). A rule is ours by its comment alone.
//
// iptables-legacy keeps its rules outside of nftables. They are read, and nothing is written there: a table is replaced as a whole.
package forward
