package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/flow"
)

// watch follows one node until ctx ends. Where it goes away it is asked again, for what came since.
func (c *Cluster) watch(ctx context.Context, n Node, choice *flow.Choice, news chan<- from) {
	tell := func(x from) bool {
		x.node = n
		select {
		case news <- x:
			return true
		case <-ctx.Done():
			return false
		}
	}
	asked, away, last := *choice, false, time.Time{}
	for ctx.Err() == nil {
		one, cancel := context.WithCancel(ctx)
		s := c.stream(one, n, asked.Words())
		for {
			r, ok, err := s.read(one)
			if err != nil || !ok {
				break
			}
			s.patience = 0 // whoever has answered may be quiet
			if away && !tell(from{back: true}) || !tell(from{record: r}) {
				break
			}
			if away = false; r.Flow != nil {
				last = r.Time
			}
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		if s.said != "" && !tell(from{said: s.said}) {
			return
		}
		if why := cmp.Or(s.silent, "its answer has ended"); !away && !tell(from{why: why}) {
			return
		}
		if away = true; !last.IsZero() {
			asked.Since, asked.Last, asked.All = last.Add(time.Nanosecond).Format(time.RFC3339Nano), 0, false
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
		n.Pod = c.daemonOf(ctx, n)
	}
}

// daemonOf is the pod of the daemon of a node now: an update has put another in its place. Who can't be told keeps the one that was.
func (c *Cluster) daemonOf(ctx context.Context, n Node) *corev1.Pod {
	var pods corev1.PodList
	if c.list(ctx, "", "pods", c.Home, metav1.ListOptions{LabelSelector: c.Selector, FieldSelector: "spec.nodeName=" + n.Name}, &pods) != nil {
		return n.Pod
	}
	var now *corev1.Pod
	for i := range pods.Items {
		if p := &pods.Items[i]; now == nil || better(p, now) {
			now = p
		}
	}
	return cmp.Or(now, n.Pod)
}

// stream is what one node's command prints, record by record.
type stream struct {
	node     Node
	records  chan flow.Record
	cancel   context.CancelFunc
	patience time.Duration // for the next record; 0: without an end
	begun    time.Time     // when the latest came, or it began
	ahead    time.Duration // how far the node's clock was ahead of this one when it began to answer; there once that record has been read
	head     *flow.Record
	ended    bool

	// These are there when records has been closed.
	silent string // why it ended, if it is no end
	said   string
}

// stream begins a command on a node.
func (c *Cluster) stream(ctx context.Context, n Node, words []string) *stream {
	s := &stream{node: n, records: make(chan flow.Record, 64), patience: c.Patience, begun: time.Now()}
	ctx, s.cancel = context.WithCancel(ctx)
	if n.Pod == nil {
		s.silent = "no kube-router pod on this node" + n.unready()
		close(s.records)
		return s
	}
	in, out := io.Pipe()
	var said bytes.Buffer
	done := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	go func() {
		err := c.exec(ctx, n.Pod, container(n.Pod), nil, out, &said, append([]string{program}, words...)...)
		done <- err
		out.CloseWithError(io.EOF)
	}()
	go func() {
		defer stop()
		defer close(s.records)
		bad := s.decode(ctx, in)
		in.CloseWithError(io.ErrClosedPipe)
		err := <-done
		s.said = strings.TrimSpace(said.String())
		s.silent = c.ending(n, bad, err, s.said)
		if s.silent != "" && err != nil {
			s.said = ""
		}
	}()
	return s
}

// off is how far the node's clock is off, if it is: what is less may be the way here.
func (s *stream) off() time.Duration {
	if s.ahead.Abs() < skew {
		return 0
	}
	return s.ahead
}

// decode reads records and passes them on until there are no more.
func (s *stream) decode(ctx context.Context, in io.Reader) error {
	d := json.NewDecoder(in)
	for {
		var r flow.Record
		err := d.Decode(&r)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if r.NodeName == "" {
			r.NodeName = s.node.Name
		}
		if r.NodeStatus != nil && r.NodeStatus.Change == flow.NodeConnected {
			s.ahead = time.Until(r.Time) // not when it is read, which may be much later: another node may be slow
		}
		select {
		case s.records <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ending says why a stream ended, if that isn't its end.
func (c *Cluster) ending(n Node, bad, err error, said string) string {
	switch {
	case err == nil && bad == nil:
		return ""
	case err != nil && said != "":
		return said
	case err != nil:
		return c.silence(n, err)
	}
	return "its answer is unreadable: " + bad.Error()
}

// read waits for the next record, as long as a node may take for one; false at the end.
func (s *stream) read(ctx context.Context) (flow.Record, bool, error) {
	select {
	case r, ok := <-s.records:
		s.begun = time.Now()
		return r, ok, nil
	default:
	}
	var late <-chan time.Time
	if s.patience > 0 {
		late = time.After(time.Until(s.begun.Add(s.patience)))
	}
	select {
	case r, ok := <-s.records:
		s.begun = time.Now()
		return r, ok, nil
	case <-ctx.Done():
		return flow.Record{}, false, ctx.Err()
	case <-late:
		s.cancel()
		for range s.records { // its end comes at once, and says less than this
		}
		s.silent, s.said = fmt.Sprintf("no answer within %s%s", s.patience, s.node.unready()), ""
		return flow.Record{}, false, nil
	}
}
