// Package host plans how this node is prepared for pods: forwarding, the bridge and its MTU, the CNI
// configuration file, and which packets leave the cluster with the node's address. It stands between
// the model and intent.Host and intent.Egress.
package host
