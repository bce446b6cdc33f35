package kube

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

// patience is how long the API server may take, and how soon it is asked again when its answers are of no use.
type patience struct {
	answer  time.Duration // until the header of a watch; a proxy may keep it until the first event, a bookmark each minute
	list    time.Duration // for a whole list; the API server itself ends one after a minute
	silence time.Duration // between two events of a watch: it is asked anew then, as after the watch's own time-out
	proof   time.Duration // a watch that is open for so long is a good one
	first   time.Duration // the least wait after a watch that failed
	most    time.Duration // the longest
}

// normal is for everybody. Silence is less than the time-out of five to ten minutes that a watch is asked with, since
// kube-apiserver sends a bookmark each minute; a server that sends none is asked more often, which costs nobody a list.
var normal = patience{answer: 90 * time.Second, list: 2 * time.Minute, silence: 3 * time.Minute, proof: 10 * time.Second, first: 200 * time.Millisecond, most: 10 * time.Second}

// errSilent is the error of a request that is taken and never answered.
var errSilent = errors.New("the API server takes requests and does not answer them")

// A few watches that fail one after the other are an outage, though the server accepts each of them. One alone is
// ordinary: its history is over (410), or the server restarts. From the second on, a plain list takes the place of a
// streaming one, for which client-go asks again at once.
const (
	plainAfter = 2
	badAfter   = 3
)

// ask makes a request whose answer must begin in time. What it returns must be called when the answer has been read.
func ask[A any](ctx context.Context, most time.Duration, f func(context.Context) (A, error)) (A, context.CancelFunc, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(most, func() { cancel(errSilent) })
	answer, err := f(ctx)
	timer.Stop()
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		err = fmt.Errorf("%w: nothing in %s", errSilent, most)
	}
	return answer, func() { cancel(nil) }, err
}

// pace waits before a watch, the longer the more of them have failed one after the other. The jitter is full, so that
// thousands of nodes don't come back together.
func (s *source) pace(ctx context.Context) {
	s.mu.Lock()
	bad := s.bad
	s.mu.Unlock()
	if bad == 0 {
		return
	}
	gap := min(s.patience.first<<min(bad, 16), s.patience.most)
	timer := time.NewTimer(gap/4 + rand.N(gap))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// stream hands a watch's events on, and ends it when it falls silent.
type stream struct {
	source *source
	in     watch.Interface
	out    chan watch.Event
	ctx    context.Context
	stop   context.CancelFunc // of the request, and of the stream
}

// hear begins to follow a watch that was accepted; end gives its request back.
func (s *source) hear(ctx context.Context, in watch.Interface, end context.CancelFunc) watch.Interface {
	ctx, cancel := context.WithCancel(ctx)
	w := &stream{source: s, in: in, out: make(chan watch.Event), ctx: ctx, stop: func() { cancel(); end() }}
	go w.run()
	return w
}

// Stop ends the watch.
func (w *stream) Stop() { w.stop() }

// ResultChan is closed when the watch ends.
func (w *stream) ResultChan() <-chan watch.Event { return w.out }

func (w *stream) run() {
	defer w.stop()
	defer w.in.Stop()
	defer close(w.out)
	p := &w.source.patience
	proof, silence := time.NewTimer(p.proof), time.NewTimer(p.silence)
	defer proof.Stop()
	defer silence.Stop()
	good := false
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-silence.C:
			return
		case <-proof.C:
			good = true
			w.source.good(w.ctx)
		case e, ok := <-w.in.ResultChan():
			switch {
			case !ok:
				if !good && w.ctx.Err() == nil {
					w.source.failed(w.ctx, errors.New("a watch ended at once, without an event"))
				}
				return
			case e.Type == watch.Error:
				w.source.failed(w.ctx, fmt.Errorf("a watch failed: %w", errorOf(e)))
			case !good:
				good = true
				w.source.good(w.ctx)
			}
			silence.Reset(p.silence)
			select {
			case w.out <- e:
			case <-w.ctx.Done():
				return
			}
		}
	}
}
