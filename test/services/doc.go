// Package services judges Services by real packets: a cluster of nodes in network namespaces, the real binary on each, and the
// question who answered at an address, and which source address it saw. The engine is a parameter; where the engine or a protocol
// needs more than this machine's kernel has, the same program runs in the guest kernel. See README.md; "run" runs all of it.
//
// What is right is worked out by expect_test.go from the words of the Kubernetes API, not from our own planner.
package services
