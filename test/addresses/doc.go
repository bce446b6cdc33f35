// Package addresses shows with packets which addresses the cluster has outside, and who has them: by which address pods leave, by which node, and
// that not one packet leaves with another. It runs the real program on every node of a lab: `make test-addresses`.
package addresses
