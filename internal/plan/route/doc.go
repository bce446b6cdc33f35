// Package route plans who reaches which prefix through what: from paths that BGP peers taught us, or
// straight from the Node objects (--node-routes=api). It stands between the model and intent.Route.
//
// A next hop in a subnet of this node is used as it is. A next hop that is another node and is not in a
// subnet of ours, or any other node with --overlay-type=full, is reached through a tunnel when overlays
// are on. What remains is left to the routers of the network (the default route), and a remark says so.
package route
