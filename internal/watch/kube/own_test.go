package kube

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"kube-router/internal/model"
)

// nodes is an inbox that keeps Nodes as "name" or "name (remarks)".
type nodes struct{ all map[string]string }

func (n *nodes) Put(o model.Object) {
	text := ""
	for _, r := range o.(*model.Node).Remarks {
		text += " " + r.Message
	}
	n.all[o.Ref().Name.Name] = text
}

func (n *nodes) Delete(r model.Ref) { delete(n.all, r.Name.Name) }

func (n *nodes) Replace(_ model.Kind, all []model.Object) {
	n.all = map[string]string{}
	for _, o := range all {
		n.Put(o)
	}
}

// TestOwnNodeStays through its deletion, in a watch and between two lists; others go.
func TestOwnNodeStays(t *testing.T) {
	const gone = " the object was deleted; the network of the node goes on with what it said"
	var log bytes.Buffer
	to := &nodes{all: map[string]string{}}
	self, other := &model.Node{Name: "a"}, &model.Node{Name: "b"}
	o := &own{Inbox: to, ref: self.Ref(), log: slog.New(slog.NewTextHandler(&log, nil))}
	for i, c := range []struct {
		do   func()
		want map[string]string
	}{
		{func() { o.Replace(model.KindNode, []model.Object{other}) }, map[string]string{"b": ""}},
		{func() { o.Delete(self.Ref()) }, map[string]string{"b": ""}},
		{func() { o.Put(self) }, map[string]string{"a": "", "b": ""}},
		{func() { o.Delete(self.Ref()) }, map[string]string{"a": gone, "b": ""}},
		{func() { o.Delete(other.Ref()) }, map[string]string{"a": gone}},
		{func() { o.Replace(model.KindNode, []model.Object{other}) }, map[string]string{"a": gone, "b": ""}},
		{func() { o.Replace(model.KindNode, nil) }, map[string]string{"a": gone}},
		{func() { o.Put(self) }, map[string]string{"a": ""}},
		{func() { o.Replace(model.KindNode, nil) }, map[string]string{"a": gone}},
		{func() { o.Replace(model.KindNode, []model.Object{self, other}) }, map[string]string{"a": "", "b": ""}},
	} {
		c.do()
		same(t, c.want, to.all)
		if t.Failed() {
			t.Fatalf("after step %d", i)
		}
	}
	lines := slices.Collect(strings.Lines(log.String()))
	if len(lines) != 4 || !strings.Contains(lines[0], "was deleted") || !strings.Contains(lines[1], "is back") {
		t.Errorf("log: %q", lines)
	}
}
