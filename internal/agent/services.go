package agent

import (
	"fmt"
	"slices"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/service"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/conntrack"
	"kube-router/internal/row"
)

// services carries Services from the model to rows.
type services struct {
	intents *reconcile.Ledger[intent.Front, *intent.Service]
	nft     *reconcile.Ledger[row.NftKey, row.Nft]
	flows   *reconcile.Ledger[row.FlowsKey, row.Flows]
	ipvs    *ipvsServices // beside nft: which of the two has Services is told by engine
	engine  model.Engine
	health  *reconcile.Ledger[uint16, row.HealthPort]
	lost    map[intent.Front][]model.Remark // by front: who wants it and may not have it
	// losing hears who may not have a front whose claims changed; nobody: it is settled.
	losing func(intent.Front, []model.Remark)
}

func newServices(l ledgers) *services {
	return &services{
		intents: reconcile.NewLedger[intent.Front, *intent.Service](),
		ipvs:    newIpvsServices(l),
		nft:     l.nft, flows: l.flows, health: l.health, lost: map[intent.Front][]model.Remark{},
		losing: func(intent.Front, []model.Remark) {},
	}
}

// stage is the stage of Services: one unit each.
func (s *services) stage() stage {
	return stage{
		name:  "service",
		units: func(m *model.Model) []model.Ref { return m.Refs(model.KindService) },
		plan:  s.plan,
	}
}

// plan claims the fronts of one Service. Who may have a front that several want is settled by the kind of
// front, then by name.
func (s *services) plan(m *model.Model, u model.Ref) []model.Remark {
	if !m.Settings.Proxy {
		return nil
	}
	s.engine = m.Settings.Services.Engine
	fronts, remarks := service.Plan(m, u.Name)
	for kind := intent.ClusterFront; kind <= intent.ExternalFront; kind++ {
		var rows []*intent.Service
		for _, f := range fronts {
			if f.Kind == kind {
				rows = append(rows, f)
			}
		}
		s.intents.Claim(reconcile.Owner{Rank: int(kind), Name: u.String()}, rows...)
	}
	s.planHealth(m, u)
	for _, f := range fronts {
		for _, text := range s.limits(f) {
			remarks = append(remarks, model.Remark{Object: u, Message: text})
		}
	}
	return slices.Compact(remarks)
}

// planHealth claims the port at which balancers ask about the Service.
func (s *services) planHealth(m *model.Model, u model.Ref) {
	var rows []row.HealthPort
	if h := service.Health(m, u.Name); h != nil {
		rows = append(rows, row.HealthPort{Port: h.Port, Service: row.KubeName{Namespace: h.Namespace, Name: h.Name}, Local: h.Local})
	}
	s.health.Claim(reconcile.Owner{Name: u.String()}, rows...)
}

// settle renders the fronts whose intent changed.
func (s *services) settle() {
	keys := s.intents.Take()
	for k := range keys {
		delete(s.lost, k)
		want, ok := s.intents.Want(k)
		owner := reconcile.Owner{Name: k.String()}
		s.render(k, want)
		if !ok {
			s.flows.Claim(owner)
			continue
		}
		s.flows.Claim(owner, conntrack.Service(want)...)
	}
	s.ipvs.settle()
	for _, l := range s.intents.Losers(keys) {
		s.lost[l.Key] = append(s.lost[l.Key], lostRemark(l))
	}
	for k := range keys {
		s.losing(k, s.lost[k])
	}
}

// lostRemark tells a Service that another one has its front.
func lostRemark(l reconcile.Loser[intent.Front, *intent.Service]) model.Remark {
	namespace, name, _ := strings.Cut(l.Row.Owner, "/") // neither holds one (RFC 1123)
	return model.Remark{
		Object:  model.Ref{Kind: model.KindService, Name: model.Name{Namespace: namespace, Name: name}},
		Message: fmt.Sprintf("%s is not served: %s has it", l.Key, l.Wins.Name),
	}
}
