// Package scale measures network policies on a real kernel with a cluster's worth of objects: how long a cold
// start takes and how much memory, how long until one change is in the kernel, and what policies cost a
// packet. `go test -tags scale -v ./test/policy/scale`.
package scale
