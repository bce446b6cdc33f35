package cni

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/model"
)

// world is what the server talks to.
type world struct {
	mu      sync.Mutex
	objects map[model.Ref]model.Object
	stands  chan error // what the gate answers; closed: at once and well
}

func (w *world) Put(o model.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects[o.Ref()] = o
}

func (w *world) Delete(r model.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.objects, r)
}

func (w *world) Replace(_ model.Kind, list []model.Object) {
	for _, o := range list {
		w.Put(o)
	}
}

func (w *world) refs() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.objects {
		list = append(list, r.Name.String())
	}
	slices.Sort(list)
	return list
}

func (w *world) Stands(ctx context.Context, _ *model.Attachment) error {
	select {
	case err := <-w.stands:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) Wish(context.Context, *model.Attachment) (model.Wish, error) {
	return model.Wish{Addrs: []netip.Addr{netip.MustParseAddr("10.244.1.50")}}, nil
}

func (w *world) Ready() error { return nil }

// start runs a server; netns is a directory where the pods' namespaces are.
func start(t *testing.T, dir string) (*world, string) {
	t.Helper()
	w := &world{objects: map[model.Ref]model.Object{}, stands: make(chan error)}
	path := filepath.Join(dir, "cni.sock")
	s := New(path, w, w, slog.New(slog.DiscardHandler))
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w, path
}

func ask(t *testing.T, path string, r model.AttachRequest) (reply model.AttachReply) {
	t.Helper()
	var conn net.Conn
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		var err error
		if conn, err = net.Dial("unix", path); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		t.Fatal(err)
	}
	return reply
}

func attachment(dir, id, addr string) *model.Attachment {
	netns := filepath.Join(dir, "ns-"+id)
	_ = os.WriteFile(netns, nil, 0o600)
	return &model.Attachment{
		Container: id, Ifname: "eth0", Netns: netns, Pod: model.Name{Namespace: "a", Name: id}, Addrs: []netip.Addr{netip.MustParseAddr(addr)},
	}
}

func TestAddWaitsForTheGate(t *testing.T) {
	dir := t.TempDir()
	w, path := start(t, dir)
	answer := make(chan model.AttachReply)
	go func() {
		answer <- ask(t, path, model.AttachRequest{Verb: model.AttachAdd, Attachment: attachment(dir, "c1", "10.0.0.1")})
	}()
	select {
	case <-answer:
		t.Fatal("answered before the policy stood")
	case <-time.After(50 * time.Millisecond):
	}
	w.stands <- nil
	if r := <-answer; r.Error != "" {
		t.Error(r.Error)
	}
	go func() {
		answer <- ask(t, path, model.AttachRequest{Verb: model.AttachCheck, Attachment: attachment(dir, "c1", "10.0.0.1")})
	}()
	w.stands <- errors.New("it is gone")
	if r := <-answer; r.Error != "it is gone" {
		t.Errorf("a failing check says %q", r.Error)
	}
}

func TestAttachmentsOutliveTheDaemon(t *testing.T) {
	dir := t.TempDir()
	t.Run("first life", func(t *testing.T) {
		w, path := start(t, dir)
		close(w.stands)
		for _, a := range []*model.Attachment{
			attachment(dir, "c1", "10.0.0.1"), attachment(dir, "c2", "10.0.0.2"), attachment(dir, "c3", "10.0.0.3"),
			attachment(dir, "c4", "10.0.0.1"), // its address was c1's, who went without a DEL
		} {
			if r := ask(t, path, model.AttachRequest{Verb: model.AttachAdd, Attachment: a}); r.Error != "" {
				t.Fatal(r.Error)
			}
		}
		ask(t, path, model.AttachRequest{Verb: model.AttachDel, Attachment: attachment(dir, "c2", "10.0.0.2")})
		if d := cmp.Diff([]string{"c3/eth0", "c4/eth0"}, w.refs()); d != "" {
			t.Error(d)
		}
	})
	if err := os.Remove(filepath.Join(dir, "ns-c3")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "attached", "broken.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("second life", func(t *testing.T) {
		w, path := start(t, dir)
		if d := cmp.Diff([]string{"c4/eth0"}, w.refs()); d != "" {
			t.Errorf("after a restart: %s", d)
		}
		ask(t, path, model.AttachRequest{Verb: model.AttachGC})
		if len(w.refs()) != 0 {
			t.Errorf("garbage is left: %v", w.refs())
		}
	})
}

func TestBadRequests(t *testing.T) {
	w, path := start(t, t.TempDir())
	close(w.stands)
	bad := attachment(t.TempDir(), "c1", "10.0.0.1")
	bad.Container = "../c1"
	for _, r := range []model.AttachRequest{
		{Verb: model.AttachAdd}, {Verb: "DANCE"}, {Verb: model.AttachAdd, Attachment: bad},
	} {
		if reply := ask(t, path, r); reply.Error == "" {
			t.Errorf("%v was taken", r)
		}
	}
	if reply := ask(t, path, model.AttachRequest{Verb: model.AttachStatus}); reply.Error != "" {
		t.Error(reply.Error)
	}
	if names := w.refs(); strings.Join(names, "") != "" {
		t.Errorf("noted: %v", names)
	}
}
