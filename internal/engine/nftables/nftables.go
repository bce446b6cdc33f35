// Package nftables is the engine that translates with nftables alone: maps that static rules look into, so that nothing has to
// bring packets of an address here.
package nftables

import (
	"kube-router/internal/engine"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/render/nft"
)

// Engine is the engine nftables.
type Engine struct{}

// Name is what --service-proxy-engine calls it.
func (Engine) Name() model.Engine { return model.EngineNftables }

// Base is the static rules, and the maps they look into.
func (Engine) Base(n engine.Node) engine.Rows {
	return engine.Rows{Nft: nft.ServiceSkeleton(n.Params)}
}

// Front is the frontend's elements of those maps.
func (Engine) Front(s *intent.Service, _ engine.Place) engine.Rows {
	return engine.Rows{Nft: nft.Service(s)}
}

// Remarks tells what nftables can't do for a frontend.
func (Engine) Remarks(s *intent.Service) []string { return nft.ServiceRemarks(s) }
