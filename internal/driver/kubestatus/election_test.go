package kubestatus

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"

	"kube-router/internal/lab/apiserver"
	"kube-router/internal/row"
)

// candidate is one that stands for election.
type candidate struct {
	*Election
	led  chan context.Context // receives the context of each time that it leads
	stop func()               // and waits until it has ended
}

func stand(t *testing.T, c *rest.Config, name string) *candidate {
	t.Helper()
	s := &candidate{led: make(chan context.Context, 1)}
	var err error
	s.Election, err = NewElection(c, ElectionOptions{
		Lease: row.KubeName{Namespace: "kube-system", Name: "election"}, Identity: name,
		Duration: 2 * time.Second, Deadline: time.Second, Retry: 50 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Lead: func(ctx context.Context) { s.led <- ctx; <-ctx.Done() },
	})
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	s.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			check(t, <-ended)
		}
	}
	t.Cleanup(s.stop)
	return s
}

// leads waits until the candidate leads.
func (s *candidate) leads(t *testing.T) context.Context {
	t.Helper()
	select {
	case ctx := <-s.led:
		return ctx
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not lead after 30 s; %q does", s.Identity, s.Leader())
		return nil
	}
}

func electorate(t *testing.T) (*apiserver.Server, *rest.Config) {
	t.Helper()
	s, err := apiserver.New(apiserver.Options{})
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	t.Cleanup(func() { cancel(); check(t, <-done) })
	return s, &rest.Config{Host: "http://" + l.Addr().String(), QPS: -1}
}

// One leads, and whoever gives up lets another lead at once.
func TestElection(t *testing.T) {
	_, c := electorate(t)
	a := stand(t, c, "a")
	first := a.leads(t)
	b := stand(t, c, "b")
	for deadline := time.Now().Add(30 * time.Second); b.Leader() != "a"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("b takes %q for the leader", b.Leader())
		}
	}
	time.Sleep(3 * time.Second) // longer than the lease: it is renewed
	if len(b.led) > 0 || b.Leading() || !a.Leading() || first.Err() != nil {
		t.Fatal("b leads beside a")
	}
	a.stop()
	if first.Err() == nil || a.Leading() {
		t.Error("a leads still")
	}
	b.leads(t)
	var lease coordinationv1.Lease
	check(t, b.api.Get().Namespace("kube-system").Resource("leases").Name("election").Do(t.Context()).Into(&lease))
	if holderOf(&lease) != "b" || *lease.Spec.LeaseTransitions != 1 || *lease.Spec.LeaseDurationSeconds != 2 {
		t.Errorf("%+v", lease.Spec)
	}
}

// A leader that can't renew the lease stops leading; a holder that has gone without a word is waited for.
func TestElectionWithoutServer(t *testing.T) {
	s, c := electorate(t)
	a := stand(t, c, "a")
	first := a.leads(t)
	s.SetDown(true)
	select {
	case <-first.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("a leads without having renewed the lease")
	}
	gone := "gone"
	s.SetDown(false)
	a.stop()
	var lease coordinationv1.Lease
	check(t, s.Store.Modify(&lease, "kube-system", "election", func() { lease.Spec.HolderIdentity = &gone; *lease.Spec.LeaseDurationSeconds = 2 }))
	begun := time.Now()
	stand(t, c, "b").leads(t)
	if waited := time.Since(begun); waited < 2*time.Second {
		t.Errorf("b leads after %s; the lease of the one that has gone lasts 2 s", waited)
	}
}
