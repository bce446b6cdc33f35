package agent

import (
	"context"

	"kube-router/internal/driver/forward"
	"kube-router/internal/model"
)

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
