// Package scale measures the daemon as it is delivered: the program itself in a network namespace, beside an API server with a
// cluster's worth of objects. Every figure is printed as a claim with its goal; `make bench` runs it and makes docs/performance.md of what it
// prints.
package scale
