package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"kube-router/internal/driver/forward"
	"kube-router/internal/model"
	"kube-router/internal/plan/host"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/linux"
	"kube-router/internal/row"
)

// blocked are the chains of others that drop packets of pods. The thinking goroutine notes them; health reads them.
type blocked struct{ chains atomic.Pointer[[]string] }

func (b *blocked) list() []string {
	if l := b.chains.Load(); l != nil {
		return *l
	}
	return nil
}

// planForward plans what chains of others are told about pods, and notes those that can't be told.
func (l ledgers) planForward(m *model.Model, _ model.Ref) []model.Remark {
	var rows []row.Forward
	for _, f := range host.Forward(m) {
		rows = append(rows, linux.Forward(f)...)
	}
	l.forward.Claim(reconcile.Owner{Name: "forward"}, rows...)
	var list []string
	for _, c := range host.Blocked(m) {
		list = append(list, c.String())
	}
	l.blocked.chains.Store(&list)
	return nil
}

// why tells which chains of others drop packets of pods; empty: none is known to.
func (b *blocked) why(s reconcile.Status) string {
	list := slices.Clone(b.list())
	for _, f := range s.Failing {
		list = append(list, f.Row+": "+f.Error)
	}
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("packets of pods are dropped by %s; %s", strings.Join(list, ", "), host.OpenIt)
}

// foreign are chains of others as the model has them.
func foreign(list []forward.Foreign) []model.Object {
	var objects []model.Object
	for _, c := range list {
		chain := model.ForwardChain(c)
		objects = append(objects, &chain)
	}
	return objects
}

// lookAround reads the chains of others once, before the first plan: what an earlier life put there stays.
func (a *agent) lookAround() error {
	list, err := forward.Look()
	if err == nil {
		a.inbox.Replace(model.KindForeign, foreign(list))
	}
	return err
}

// followChains follows the chains of others. What was known stands while they can't be read.
func (a *agent) followChains(ctx context.Context) error {
	failed := false
	forward.Follow(ctx, func(list []forward.Foreign, err error) {
		if err != nil && !failed {
			a.log.Warn("it is not known what other programs' chains do with packets of pods", "error", err)
		}
		if failed = err != nil; !failed {
			a.inbox.Replace(model.KindForeign, foreign(list))
		}
	})
	return nil
}
