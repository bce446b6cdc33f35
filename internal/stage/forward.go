package stage

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"kube-router/internal/model"
	"kube-router/internal/plan/host"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/linux"
	"kube-router/internal/row"
)

// Blocked are the chains of others that drop packets of pods. The thinking goroutine notes them; health reads them.
type Blocked struct{ chains atomic.Pointer[[]string] }

func (b *Blocked) list() []string {
	if l := b.chains.Load(); l != nil {
		return *l
	}
	return nil
}

// planForward plans what chains of others are told about pods, and notes those that can't be told.
func (l Ledgers) planForward(m *model.Model, _ model.Ref) []model.Remark {
	var rows []row.Forward
	for _, f := range host.Forward(m) {
		rows = append(rows, linux.Forward(f)...)
	}
	l.Forward.Claim(reconcile.Owner{Name: "forward"}, rows...)
	var list []string
	var remarks []model.Remark
	for _, c := range host.Blocked(m) {
		list = append(list, c.String())
		remarks = append(remarks, model.Remark{Object: c.Ref(), Message: "drops packets of pods; " + host.OpenIt})
	}
	l.Blocked.chains.Store(&list)
	return remarks
}

// Why tells which chains of others drop packets of pods; empty: none is known to.
func (b *Blocked) Why(s reconcile.Status) string {
	list := slices.Clone(b.list())
	for _, f := range s.Failing {
		list = append(list, f.Row+": "+f.Error)
	}
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("packets of pods are dropped by %s; %s", strings.Join(list, ", "), host.OpenIt)
}
