// Package ipvs is the verb between intents and the rows of the ipvs engine: virtual servers and destinations,
// the addresses and routes that bring packets to them, settings, and what direct server return sets up in
// pods. Its nftables rows are in render/nft. It is pure: a front and its marks in, rows out.
//
// Most fronts are one virtual server. A front whose clients don't all meet the same endpoints (externalTraffic-
// Policy Local, seen from this node's pods and the node itself) is two, and the second takes marked packets. A
// front with direct server return takes marked packets alone, because its address must not be on this node:
// the kernel would drop replies that come from a pod with one of the node's own addresses. The other fronts at
// such an address have to be marked as well.
package ipvs
