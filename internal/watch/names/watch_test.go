package names

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/model"
)

// inbox keeps what it was told last.
type inbox map[string]*model.Domain

func (b inbox) Put(o model.Object) { b[o.(*model.Domain).Name] = o.(*model.Domain) }

func (b inbox) Delete(r model.Ref) { delete(b, r.Name.Name) }

func (b inbox) Replace(_ model.Kind, list []model.Object) {
	clear(b)
	for _, o := range list {
		b.Put(o)
	}
}

func watching(t *testing.T, file string, patterns ...string) (*Watch, inbox) {
	t.Helper()
	in := inbox{}
	w := New(Config{Inbox: in, Least: 10 * time.Second, Grace: 5 * time.Second, File: file, Log: slog.New(slog.DiscardHandler)})
	w.Load()
	w.Want(patterns)
	return w, in
}

func answer(name string, ttl int, addrs ...string) Answer {
	a := Answer{Name: name}
	for _, text := range addrs {
		a.Addrs = append(a.Addrs, told(text, ttl))
	}
	return a
}

func texts(list []netip.Addr) (s []string) {
	for _, a := range list {
		s = append(s, a.String())
	}
	return s
}

// TestTime: an address counts for its TTL, at least the minimum, and a grace period; each for itself; told again, again.
func TestTime(t *testing.T) {
	w, in := watching(t, filepath.Join(t.TempDir(), "names"), "*.a.b")
	begin := time.Now()
	w.learn(answer("x.a.b", 60, "192.0.2.1"), begin)
	w.learn(answer("x.a.b", 1, "192.0.2.2"), begin)
	for _, c := range []struct {
		after         int
		again         string
		count, lapsed []string
	}{
		{14, "", []string{"192.0.2.1", "192.0.2.2"}, nil},
		{16, "", []string{"192.0.2.1"}, []string{"192.0.2.2"}},
		{40, "192.0.2.1", []string{"192.0.2.1"}, []string{"192.0.2.2"}},
		{70, "", []string{"192.0.2.1"}, []string{"192.0.2.2"}},
		{106, "", nil, []string{"192.0.2.1", "192.0.2.2"}},
		{107, "192.0.2.2", []string{"192.0.2.2"}, []string{"192.0.2.1"}},
	} {
		now := begin.Add(time.Duration(c.after) * time.Second)
		if c.again != "" {
			w.learn(answer("x.a.b", 60, c.again), now)
		}
		w.expire(now)
		if d := cmp.Diff([][]string{c.count, c.lapsed}, [][]string{texts(in["x.a.b"].Addrs), texts(in["x.a.b"].Lapsed)}); d != "" {
			t.Errorf("after %d s: %s", c.after, d)
		}
	}
	w.expire(begin.Add(lapsedFor + time.Hour))
	if len(in) > 0 || len(w.known) > 0 || len(w.due) > 0 {
		t.Errorf("it is never forgotten: %v", in)
	}
}

// TestWait: an answer waits until the network has its addresses, one that tells nothing new doesn't, and none waits for ever.
func TestWait(t *testing.T) {
	w, in := watching(t, filepath.Join(t.TempDir(), "names"), "*.a.b")
	packet := udp4(response("x.a.b", at("x.a.b", 60, "192.0.2.1")))
	done, standing := make(chan bool, 1), make(chan error)
	pass := func() { done <- true }
	w.Packet(t.Context(), packet, pass)
	select {
	case <-done:
		t.Fatal("it passes before anything is planned")
	case <-time.After(20 * time.Millisecond):
	}
	w.Learned(in["x.a.b"], func(ctx context.Context) error {
		select {
		case err := <-standing:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	second := make(chan bool, 1)
	w.Packet(t.Context(), packet, func() { second <- true }) // the same again meanwhile
	select {
	case <-done:
		t.Fatal("it passes before it stands")
	case <-second:
		t.Fatal("a second one passes before it stands")
	case <-time.After(20 * time.Millisecond):
	}
	standing <- nil
	standing <- nil
	<-done
	<-second
	w.Packet(t.Context(), packet, pass)
	select {
	case <-done:
	default:
		t.Error("what is known waits")
	}
	w.Packet(t.Context(), udp4(response("y.a.b", at("y.a.b", 60, "192.0.2.1"))), pass)
	select {
	case <-done:
	case <-time.After(20 * hold):
		t.Fatal("nobody lets it pass")
	}
	for _, junk := range [][]byte{nil, {0x45}, udp4(nil), udp4([]byte("junk")), udp4(response("elsewhere.b", at("elsewhere.b", 60, "192.0.2.1")))} {
		w.Packet(t.Context(), junk, pass)
		<-done
	}
	if s := w.Stats(); s.Late != 1 || s.Held != 3 || s.Others != 1 || s.Names != 2 {
		t.Errorf("%+v", s)
	}
	if len(w.known["y.a.b"].waiters) > 0 {
		t.Error("who waits no longer is kept")
	}
}

// TestBounds: a pod that asks for any number of names fills its own pattern and no other, and no name opens this machine.
func TestBounds(t *testing.T) {
	w, in := watching(t, filepath.Join(t.TempDir(), "names"), "*.a.b", "c.d")
	now := time.Now()
	w.learn(answer("own.a.b", 60, "127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::ffff:192.0.2.1", "ff02::1"), now)
	if len(in) > 0 || w.Stats().Barred != 9 {
		t.Errorf("%v, barred %d", in, w.Stats().Barred)
	}
	for i := range 12_000 {
		w.learn(answer(fmt.Sprintf("n%d.a.b", i), 60, fmt.Sprintf("198.18.%d.%d", i/250, i%250)), now)
	}
	w.learn(answer("c.d", 60, "192.0.2.1"), now)
	if s := w.Stats(); s.Addrs != MostOfPattern+1 || s.Beyond != 2000 || in["c.d"] == nil || len(in) != MostOfPattern+1 {
		t.Errorf("%+v, %d names", s, len(in))
	}
	if d := cmp.Diff([]string{"*.a.b"}, w.Over()); d != "" {
		t.Error(d)
	}
	for round := range 3 { // what lapses doesn't pile up
		now = now.Add(2 * time.Minute)
		w.expire(now)
		for i := range MostOfPattern {
			w.learn(answer(fmt.Sprintf("r%d-%d.a.b", round, i), 60, fmt.Sprintf("198.18.%d.%d", i/250, i%250)), now)
		}
	}
	if len(w.known) > 2*MostOfPattern+10 || w.Stats().Addrs != MostOfPattern {
		t.Errorf("%d names are kept, %d addresses count", len(w.known), w.Stats().Addrs)
	}
	var many []string
	for i := range 1200 {
		many = append(many, fmt.Sprintf("198.19.%d.%d", i/250, i%250))
	}
	w.learn(answer("c.d", 60, many...), now)
	if got := len(in["c.d"].Addrs); got != MostOfName {
		t.Errorf("one name has %d addresses", got)
	}
	w.Want([]string{"c.d"})
	if len(in) != 1 || len(w.known) != 1 {
		t.Errorf("%d names are kept that no policy is about", len(in))
	}
	w.Want(nil)
	if len(in) > 0 || len(w.due) > 0 {
		t.Error("a name is kept without any policy")
	}
}

// TestRestart: what is known is known to the next life, whatever end the file has; what is in the way of reading opens nothing.
func TestRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run", "names")
	w, in := watching(t, file, "*.a.b")
	now := time.Now()
	w.learn(answer("x.a.b", 600, "192.0.2.1", "2001:db8::1"), now)
	w.learn(answer("y.a.b", 600, "192.0.2.1"), now)
	old := map[string]*model.Domain(maps.Clone(in))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"", "z.a.b 192.0.2.9", "z.a.b 127.0.0.1 99999999999\njunk\n\x00 1 2\n", "z.a.b 192.0.2.9 99999999999999\n"} {
		if err := os.WriteFile(file, append(slices.Clone(text), end...), 0o600); err != nil {
			t.Fatal(err)
		}
		next, in := watching(t, file, "*.a.b")
		if d := cmp.Diff(old, map[string]*model.Domain(in), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" || !next.Synced() {
			t.Errorf("after %q: %s", end, d)
		}
		if next.learn(answer("x.a.b", 600, "192.0.2.1"), now) != nil {
			t.Error("what an earlier life had in the kernel is waited for")
		}
		next.expire(now)
	}
	for i := range 3000 {
		w.learn(answer("x.a.b", 600+i, "192.0.2.1"), now)
		w.expire(now)
	}
	if text, err = os.ReadFile(file); err != nil || len(text) > 100_000 {
		t.Errorf("the file has %d bytes: %v", len(text), err)
	}
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if next, in := watching(t, file, "*.a.b"); len(in) > 0 || !next.Synced() {
		t.Error("a file that can't be read stops it")
	}
}
