package stage

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// TestAPanicStaysWithItsObject: a Service whose planning panics keeps its rows and is told of; all others go on.
func TestAPanicStaysWithItsObject(t *testing.T) {
	l := NewLedgers()
	s := newServices(l)
	bad := ""
	st := s.stage()
	plan := st.Plan
	st.Plan = func(m *model.Model, u model.Ref) []model.Remark {
		if u.Name.Name == bad {
			panic("injected")
		}
		return plan(m, u)
	}
	var heard []string
	failed := func(stage think.ID, u model.Ref, what string, stack []byte) {
		heard = append(heard, string(stage)+" "+u.String()+" "+what)
		if !strings.Contains(string(stack), "contain_test.go") {
			t.Errorf("the stack doesn't tell where:\n%s", stack)
		}
	}
	bad = "none yet"
	th := newThinking(benchThinker(model.EngineNftables, 3).model, think.Hooks{Settle: s.settled, Failed: failed}, st)
	th.PlanAll()
	rows := func(i int) []row.Nft {
		f := intent.Front{Addr: netip.AddrFrom4([4]byte{10, 96, 0, byte(i)}), Port: 80, Protocol: uint8(model.TCP)}
		return l.Nft.Claims(reconcile.Owner{Name: f.String()})
	}
	one, two := rows(1), rows(2)

	bad = "1"
	th.put(benchSlice(1, 3), benchSlice(2, 12))
	if len(one) == 0 || !slices.Equal(rows(1), one) {
		t.Errorf("the Service that failed has %v, had %v", rows(1), one)
	}
	if slices.Equal(rows(2), two) {
		t.Errorf("the other one has still %v", two)
	}
	if th.Panics() != 1 || len(heard) != 1 || heard[0] != "service Service default/1 injected" {
		t.Errorf("%d panics, heard %q", th.Panics(), heard)
	}
	remarks := th.Remarks()
	if len(remarks) != 1 || remarks[0].Object.Name.Name != "1" || !strings.Contains(remarks[0].Message, "planning failed (service)") {
		t.Errorf("remarks %v", remarks)
	}

	bad = ""
	th.put(benchSlice(1, 4))
	if remarks := th.Remarks(); len(remarks) != 0 {
		t.Errorf("remarks stay: %v", remarks)
	}
	if slices.Equal(rows(1), one) {
		t.Errorf("the Service that works again has still %v", one)
	}
}

// TestAListIsMadeOnceATurn: a pod's lists are made once however many of its policies change, and never lead to what isn't claimed.
func TestAListIsMadeOnceATurn(t *testing.T) {
	th := loadThinker()
	for _, o := range loadPods(20)(0) {
		th.model.Put(o)
	}
	th.PlanAll()
	for _, o := range loadPolicies(300, podPeer) {
		th.inbox.Put(o)
	}
	turns := 0
	for more := true; more || !th.Due().IsZero(); turns++ {
		more = th.Once()
		standing(t, th)
	}
	if turns > 200 {
		t.Errorf("300 policies took %d turns", turns)
	}
}

// standing fails when an element's set or a jump's chain is claimed by nobody.
func standing(t *testing.T, th loaded) {
	t.Helper()
	all := map[row.NftKey]row.Nft{}
	for k, r := range th.nft.All {
		all[k] = r
	}
	for _, r := range all {
		e, ok := r.(row.NftElement)
		if !ok {
			continue
		}
		if all[e.Of.Value().Key()] == nil {
			t.Fatalf("%s: nobody claims the set", e)
		}
		if e.Verdict.Chain != "" && all[row.NftChain{Name: e.Verdict.Chain}.Key()] == nil {
			t.Fatalf("%s: nobody claims the chain", e)
		}
	}
}
