// Package cluster tests what an operator does from one place with all nodes: through the API server, into the daemons' pods.
package cluster
