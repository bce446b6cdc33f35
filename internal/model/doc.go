// Package model is the first noun of the picture: what is true now. It holds immutable values
// converted from Kubernetes objects, host links and BGP peers, and the one Model that collects them.
//
// Only the thinking goroutine of the agent touches a Model, so it has no locks. Values are never
// changed after they were put; a change is a new value. The package imports the standard library only.
package model
