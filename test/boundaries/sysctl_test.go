//go:build boundaries

package boundaries

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// TestBridgedPacketsAreJudged: another program on the node (Docker, a tuning daemon) sets what lets policies see packets between pods
// of one node to 0; within about a second they do again.
func TestBridgedPacketsAreJudged(t *testing.T) {
	s := newScene(t, lab.Config{})
	if err := s.Apply(s.ctx, framePolicy); err != nil {
		t.Fatal(err)
	}
	denied := func(f int) bool {
		r := s.mallory.Probe(probe.Request{To: netip.AddrPortFrom(s.db.Addrs()[f], 8080), Timeout: 300 * time.Millisecond})
		return !r.OK()
	}
	for f, name := range []string{"iptables", "ip6tables"} {
		if err := s.Until(s.ctx, "the policy holds", func() error {
			if !denied(f) {
				return fmt.Errorf("it doesn't")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		setting := "net.bridge.bridge-nf-call-" + name
		mustRun(t, s.world, s.Node("n1").Host, "sysctl", "-qw", setting+"=0")
		began, complaint := time.Now(), ""
		for mustRun(t, s.world, s.Node("n1").Host, "sysctl", "-n", setting) != "1\n" || !denied(f) {
			if time.Since(began) > 30*time.Second {
				complaint = "policies don't hold after 30 s"
				break
			}
		}
		t.Logf("%s: healed within %s", setting, time.Since(began))
		judge(t, setting+" is healed", complaint)
		if r := s.teller.Probe(probe.Request{To: netip.AddrPortFrom(s.db.Addrs()[f], 8080), Timeout: 3 * time.Second}); !r.OK() {
			t.Error(r)
		}
	}
}
