// Package kubestatus writes what we report to the Kubernetes API: addresses of LoadBalancer Services, the
// node condition that the network is there, and remarks as Events. Each is a row.Target.
//
// A row is recognised as ours without memory: an address by being in our ranges, a condition by its reason,
// an event by its name, which is derived from what it says.
package kubestatus
