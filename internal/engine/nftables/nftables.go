// Package nftables is the engine that translates with nftables alone: maps that static rules look into, so that nothing has to
// bring packets of an address here.
package nftables

import (
	"strings"

	"kube-router/internal/engine"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
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

// Facility is what every part of kube-router needs. Its rules stand while another engine takes over: the kernel goes on translating
// what it has begun to translate.
func (Engine) Facility() engine.Facility {
	return engine.Facility{Nft: func(k row.NftKey) bool { return strings.HasPrefix(k.Name, "services-") }}
}

// Remarks tells what nftables can't do for a frontend.
func (Engine) Remarks(s *intent.Service) []string { return nft.ServiceRemarks(s) }
