// Package interop proves BGP against other people's routers: BIRD 2 and FRR, in network namespaces beside a
// cluster of nodes with the real binary on each. What counts is what the router's own command line prints,
// and what packets do. It needs root and the Debian packages bird2 and frr, which test/setup installs.
//
// "run" runs all of it: go test -tags interop ./test/interop.
package interop
