// Package engines is the list of engines of Services. A new engine is a package beside ours, its name and abilities in package
// model, and a line here.
package engines

import (
	"kube-router/internal/engine"
	"kube-router/internal/engine/ipvs"
	"kube-router/internal/engine/nftables"
)

// All are the engines, the ones that auto prefers first. The last one works wherever kube-router does.
func All() []engine.Engine {
	return []engine.Engine{
		ipvs.Engine{},
		nftables.Engine{},
	}
}
