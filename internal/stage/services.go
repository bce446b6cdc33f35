package stage

import (
	"slices"

	"kube-router/internal/engine/engines"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/service"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/conntrack"
	"kube-router/internal/render/sock"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// Services carries Services from the model to rows.
type Services struct {
	Intents *reconcile.Ledger[intent.Front, *intent.Service]
	flows   *reconcile.Ledger[row.FlowsKey, row.Flows]
	rows    *frontends
	bpf     *reconcile.Ledger[row.BpfKey, row.Bpf] // beside the engine
	sockets bool                                   // some sockets are served
	health  *reconcile.Ledger[uint16, row.HealthPort]
}

func newServices(l Ledgers) *Services {
	return &Services{
		Intents: reconcile.NewLedger[intent.Front, *intent.Service](),
		rows:    newFrontends(l, engines.All()),
		flows:   l.Flows, health: l.Health, bpf: l.Bpf,
	}
}

// stage is the stage of Services: one unit each.
func (s *Services) stage() think.Stage {
	return think.Stage{
		ID:    think.Services,
		Kinds: []model.Kind{model.KindService},
		Plan:  s.plan,
		Parts: true,
	}
}

// plan claims the fronts of one Service: those that it has, whoever else wants them (package holder).
func (s *Services) plan(m *model.Model, u model.Ref) []model.Remark {
	if !m.Settings.Proxy {
		return nil
	}
	serves := s.rows.choose(m.Settings.Services.Engine)
	s.sockets = m.Settings.AtSocket()
	fronts, remarks := service.Plan(m, u.Name)
	s.Intents.Claim(reconcile.Owner{Name: u.String()}, fronts...)
	s.planHealth(m, u)
	for _, f := range fronts {
		for _, text := range serves.Remarks(f) {
			remarks = append(remarks, model.Remark{Object: u, Message: text})
		}
	}
	return slices.Compact(remarks)
}

// planHealth claims the port at which balancers ask about the Service.
func (s *Services) planHealth(m *model.Model, u model.Ref) {
	var rows []row.HealthPort
	if h := service.Health(m, u.Name); h != nil {
		rows = append(rows, row.HealthPort{Port: h.Port, Service: row.KubeName{Namespace: h.Namespace, Name: h.Name}, Local: h.Local})
	}
	s.health.Claim(reconcile.Owner{Name: u.String()}, rows...)
}

// settle renders the fronts whose intent changed.
func (s *Services) settle(contain func(think.ID, model.Ref, func())) {
	for k := range s.Intents.Take() {
		want, ok := s.Intents.Want(k)
		owner := reconcile.Owner{Name: k.String()}
		if !ok {
			s.rows.put(k, nil)
			s.bpf.Claim(owner)
			s.flows.Claim(owner)
			continue
		}
		contain(think.Services, serviceRef(want.Owner), func() {
			flows := conntrack.Service(want)
			s.rows.put(k, want)
			s.flows.Claim(owner, flows...)
			if s.sockets {
				s.bpf.Claim(owner, sock.Service(want)...)
			}
		})
	}
	s.rows.settle(contain)
}

// serviceRef is the Service whose name an intent carries.
func serviceRef(owner intent.Name) model.Ref {
	return model.Ref{Kind: model.KindService, Name: model.Name(owner)}
}
