package stage

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"kube-router/internal/engine"
	"kube-router/internal/engine/engines"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// toy is a third engine: a route for each frontend, and a setting. It is all that a new engine has to bring, beside its line in
// the list of engines.
type toy struct{}

func (toy) Name() model.Engine { return "toy" }

func (toy) Base(engine.Node) engine.Rows {
	return engine.Rows{Sysctl: []row.Sysctl{{Name: "net/toy", Value: "1"}}}
}

func (toy) Front(s *intent.Service, _ engine.Place) engine.Rows {
	return engine.Rows{Linux: []row.Linux{row.Route{Dst: netip.PrefixFrom(s.Addr, s.Addr.BitLen()), Table: row.TableLocal, Metric: uint32(s.Port)}}}
}

func (toy) Facility() engine.Facility { return engine.Facility{} }

func (toy) Remarks(s *intent.Service) []string { return []string{"a toy serves " + s.Front.String()} }

// TestAThirdEngineIsAPackageAndALine has a toy serve Services as the engines do that we have: they come, change and go.
func TestAThirdEngineIsAPackageAndALine(t *testing.T) {
	settings := model.Settings{Node: "n1", Proxy: true, IPv4: true}
	settings.Services.Engine = "toy"
	l := NewLedgers()
	s := newServices(l)
	s.rows = newFrontends(l, append([]engine.Engine{toy{}}, engines.All()...))
	th := newThinking(model.New(settings), think.Hooks{Settle: s.settled}, s.stage(), s.rows.stage())
	service := newService("1")
	service.ClusterIPs, service.Families = []netip.Addr{netip.MustParseAddr("10.96.0.1")}, []model.Family{model.IPv4}
	service.Ports = []model.ServicePort{{Protocol: model.TCP, Port: 80}}
	th.model.Put(service)
	th.model.Put(benchSlice(1, 2))
	th.PlanAll()
	have := func() string {
		var list []string
		for _, r := range l.Linux.All {
			list = append(list, fmt.Sprint(r.(row.Route).Dst, " ", r.(row.Route).Metric))
		}
		for _, r := range l.Sysctl.All {
			list = append(list, r.Name)
		}
		slices.Sort(list)
		return fmt.Sprint(list, l.Nft.Len(), l.Ipvs.Len())
	}
	if got := have(); got != "[10.96.0.1/32 80 net/toy] 0 0" {
		t.Errorf("it came: %s", got)
	}
	if r := th.Remarks(); len(r) != 1 || r[0].Message != "a toy serves 10.96.0.1:80/tcp" {
		t.Errorf("remarks %v", r)
	}
	changed := *service
	changed.Ports = []model.ServicePort{{Protocol: model.TCP, Port: 81}}
	th.put(&changed)
	if got := have(); got != "[10.96.0.1/32 81 net/toy] 0 0" {
		t.Errorf("it changed: %s", got)
	}
	th.inbox.Delete(service.Ref())
	th.drain()
	if got := have(); got != "[net/toy] 0 0" {
		t.Errorf("it went: %s", got)
	}
}
