// Package encryption plans what nodes send each other through WireGuard: this node's end of it, who is a peer and which
// addresses may come from him, and what must not be on the wire in clear.
//
// Which node has which key, which addresses are whose, and whether traffic takes the tunnel is told by package holder, which
// plan/route asks too: it plans the routes.
package encryption
