// Package nft is the verb between intents and the rows of our nftables table. It is pure: one intent in, all
// rows that it needs out, the shared ones included; the ledger keeps a shared row until the last one that
// wants it has gone. Each part has its prefix: services-, policy-, host-, dsr-.
//
// Services take the shape of heads and slots. One data map per family leads from address, protocol and port to
// a class, three numbers, and a small verdict map from there to a chain; one more leads from a front and a slot
// number to an endpoint. The chain depends only on how many endpoints there are and how one is chosen, so
// thousands of Services share it, and a change of endpoints touches elements alone:
//
//	( ip daddr . meta l4proto . th dport map @services-heads4 ) vmap @services-classes4
//	dnat to ip daddr . meta l4proto . th dport . numgen random mod 3 map @services-slots4
package nft
