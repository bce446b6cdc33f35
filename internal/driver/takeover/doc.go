// Package takeover finds what kube-router v2 and kube-proxy left on a node, and removes it: row.Leftover is
// its row, and it is a row.Target whose ledger stays empty. Unlike every other driver it removes what others made;
// therefore it goes by their own names alone, and the agent runs it only where --take-over says so.
//
// iptables has two faces: rules made by iptables-nft are nftables rules and are removed over netlink. Those of
// iptables-legacy can be read here, and removed by that tool alone.
package takeover
