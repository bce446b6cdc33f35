package kubestatus

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kube-router/internal/row"
)

// ElectionOptions are what an Election needs.
type ElectionOptions struct {
	Lease    row.KubeName          // by which the candidates agree
	Identity string                // of this candidate, one of its own for each
	Duration time.Duration         // of the lease, whole seconds: for so long others leave a leader alone that is not heard of
	Deadline time.Duration         // after which a leader that could not renew the lease stops; below Duration
	Retry    time.Duration         // between two attempts
	Lead     func(context.Context) // runs for as long as this candidate leads, and ends with its context
	Log      *slog.Logger
}

// Election lets one of many candidates lead, by a Lease of the API server (coordination.k8s.io/v1) in the way that everybody has: the
// holder renews it, and who sees it unchanged for as long as it lasts, by its own clock, may take it. client-go's election does the same; its
// package brings the clients and schemas of every API group along.
type Election struct {
	ElectionOptions
	api rest.Interface

	seen   *coordinationv1.Lease // by the election's goroutine alone
	seenAt time.Time

	mu      sync.Mutex
	leader  string
	leading bool
}

// NewElection prepares an election.
func NewElection(c *rest.Config, o ElectionOptions) (*Election, error) {
	api, err := client(c, "/apis", coordinationv1.SchemeGroupVersion)
	return &Election{ElectionOptions: o, api: api}, err
}

// Leader is the leader's identity, as this candidate last heard; empty: nobody's.
func (e *Election) Leader() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leader
}

// Leading tells whether this candidate leads.
func (e *Election) Leading() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leading
}

// Run stands for election until ctx ends, and gives a lease that it holds then to the others.
func (e *Election) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if e.attempt(ctx) {
			e.lead(ctx)
		}
		// Many candidates that begin together don't ask together for ever.
		pause(ctx, e.Retry+time.Duration(rand.Float64()*1.2*float64(e.Retry)))
	}
	return nil
}

// lead leads until the lease can't be renewed. Nobody else leads before the last of what was led has ended.
func (e *Election) lead(ctx context.Context) {
	e.note(func() { e.leading = true })
	leads, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); e.Lead(leads) }()
	for renewed := time.Now(); ctx.Err() == nil && time.Since(renewed) < e.Deadline && e.holds(); {
		pause(ctx, e.Retry)
		attempt, cancel := context.WithDeadline(ctx, renewed.Add(e.Deadline))
		if at := time.Now(); e.attempt(attempt) {
			renewed = at
		}
		cancel()
	}
	stop()
	<-ended
	e.note(func() { e.leading = false })
	e.release()
}

// attempt takes the lease or renews it, if nobody else has it.
func (e *Election) attempt(ctx context.Context) bool {
	lease, err := e.get(ctx)
	switch {
	case apierrors.IsNotFound(err):
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: e.Lease.Namespace, Name: e.Lease.Name}}
	case err != nil:
		e.Log.Debug("election", "lease", e.Lease, "error", err)
		return false
	}
	holder := holderOf(lease)
	if holder != "" && holder != e.Identity && time.Since(e.seenAt) < lasts(lease) {
		return false
	}
	now := metav1.NowMicro()
	next := lease.DeepCopy()
	if holder != e.Identity {
		next.Spec.AcquireTime = &now
		transitions := int32(0)
		if lease.Spec.LeaseTransitions != nil {
			transitions = *lease.Spec.LeaseTransitions + 1
		}
		next.Spec.LeaseTransitions = &transitions
	}
	seconds := int32(e.Duration / time.Second)
	next.Spec.HolderIdentity, next.Spec.LeaseDurationSeconds, next.Spec.RenewTime = &e.Identity, &seconds, &now
	return e.write(ctx, next) == nil
}

// get reads the lease, and notes when it is another than before.
func (e *Election) get(ctx context.Context) (*coordinationv1.Lease, error) {
	var lease coordinationv1.Lease
	err := e.api.Get().Namespace(e.Lease.Namespace).Resource("leases").Name(e.Lease.Name).Do(ctx).Into(&lease)
	if err != nil {
		return nil, err
	}
	e.saw(&lease)
	return &lease, nil
}

// write writes the lease, unless somebody else did since it was read.
func (e *Election) write(ctx context.Context, lease *coordinationv1.Lease) error {
	request := e.api.Put().Name(lease.Name)
	if lease.ResourceVersion == "" {
		request = e.api.Post()
	}
	var now coordinationv1.Lease
	err := request.Namespace(lease.Namespace).Resource("leases").Body(lease).Do(ctx).Into(&now)
	if err != nil {
		e.Log.Debug("election", "lease", e.Lease, "error", err)
		return fmt.Errorf("write lease %s: %w", e.Lease, err)
	}
	e.saw(&now)
	return nil
}

func (e *Election) saw(lease *coordinationv1.Lease) {
	if e.seen == nil || e.seen.ResourceVersion != lease.ResourceVersion {
		e.seen, e.seenAt = lease, time.Now()
	}
	e.note(func() { e.leader = holderOf(lease) })
}

// holds tells whether the lease, as last seen, is this candidate's.
func (e *Election) holds() bool { return e.seen != nil && holderOf(e.seen) == e.Identity }

// release gives the lease to whoever asks first.
func (e *Election) release() {
	ctx, cancel := context.WithTimeout(context.Background(), e.Deadline)
	defer cancel()
	for range 3 {
		// A renewal whose answer was not waited for may have changed it meanwhile.
		lease, err := e.get(ctx)
		if err != nil || holderOf(lease) != e.Identity {
			return
		}
		now, second, nobody := metav1.NowMicro(), int32(1), ""
		lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &nobody, &second, &now
		if err := e.write(ctx, lease); !apierrors.IsConflict(err) {
			return
		}
	}
}

func (e *Election) note(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

func holderOf(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// lasts is how long a lease lasts that isn't renewed.
func lasts(lease *coordinationv1.Lease) time.Duration {
	if lease.Spec.LeaseDurationSeconds == nil {
		return 0
	}
	return time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
