// Package egress plans which pods leave the cluster from addresses of EgressGateways, and what this node does for them: it sends its own
// pods' packets to the gateway, and as a gateway writes the address for pods of every node (decision 0140). It stands between
// the model and intent.GatewayBase, intent.Leaving and intent.Leaver.
package egress
