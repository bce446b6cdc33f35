package kube

import (
	"log/slog"
	"sync"

	"kube-router/internal/model"
)

// own passes everything on but the end of the Node that we run on. As long as we run there is such a node,
// whatever somebody did to its object: kubelet makes it again when it starts, and what it told until then goes
// on being true. Without this, one wrong "kubectl delete node" would take the node's routes, announcements
// and masquerade from pods that run.
type own struct {
	Inbox
	ref model.Ref
	log *slog.Logger

	mu   sync.Mutex
	last *model.Node
	gone bool
}

// Put passes an object on, and notes our Node.
func (o *own) Put(obj model.Object) {
	o.note(obj)
	o.Inbox.Put(obj)
}

// Delete passes the end of any other object on. Of our Node it tells that it is gone.
func (o *own) Delete(r model.Ref) {
	if n := o.lost(r == o.ref); n != nil {
		o.Inbox.Put(n)
		return
	}
	o.Inbox.Delete(r)
}

// Replace passes a complete list on, with our Node if it was known before.
func (o *own) Replace(k model.Kind, all []model.Object) {
	found := k != o.ref.Kind
	for _, obj := range all {
		found = o.note(obj) || found
	}
	if n := o.lost(!found); n != nil {
		all = append(all, n)
	}
	o.Inbox.Replace(k, all)
}

// note remembers our Node.
func (o *own) note(obj model.Object) bool {
	n, ok := obj.(*model.Node)
	if !ok || n.Ref() != o.ref {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		o.log.Info("the Node object of this node is back", "node", n.Name)
	}
	o.last, o.gone = n, false
	return true
}

// lost is our Node as it was last told, with a remark, if it is gone.
func (o *own) lost(gone bool) *model.Node {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !gone || o.last == nil {
		return nil
	}
	if !o.gone {
		o.log.Warn("the Node object of this node was deleted; the network goes on with what it said", "node", o.last.Name)
	}
	o.gone = true
	n := *o.last
	n.Remarks = append(n.Remarks[:len(n.Remarks):len(n.Remarks)], model.Remark{
		Object: o.ref, Message: "the object was deleted; the network of the node goes on with what it said",
	})
	return &n
}
