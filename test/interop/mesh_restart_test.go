//go:build interop

package interop

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestNodesRestart ends a node's daemon in each way there is, with no flag said: killed with its speaker, in peace, and
// replaced by a program of another version. Neither node loses a route of the other's for a moment.
func TestNodesRestart(t *testing.T) {
	w := begin(t, lab.Config{})
	n1, n2 := w.node("n1"), w.node("n2")
	meshed := func() error {
		if err := contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12", "fd00:10:244:2::/64"); err != nil {
			return err
		}
		return contains(w.routes("n2"), "10.244.1.0/24 via 172.30.0.11", "fd00:10:244:1::/64")
	}
	w.until("the nodes have each other's pods", 20*time.Second, meshed)
	looks := []*watched{
		w.watch(func() error {
			return w.leads(n1.Host, "10.244.2.1 via 172.30.0.12", "fd00:10:244:2::1 from :: via fd00:172:30::12")
		}),
		w.watch(func() error {
			return w.leads(n2.Host, "10.244.1.1 via 172.30.0.11", "fd00:10:244:1::1 from :: via fd00:172:30::11")
		}),
	}
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"killed with its speaker", func() error {
			err := n1.KillDaemon()
			w.killSpeaker("n1")
			return err
		}},
		{"ended in peace", n1.StopDaemon},
		{"of another version", func() error {
			later := time.Now().Add(time.Hour)
			if err := os.Chtimes(filepath.Join(programs, "kube-router"), later, later); err != nil {
				return err
			}
			return n1.KillDaemon()
		}},
	} {
		pid := w.speakerPID("n1")
		if err := c.do(); err != nil {
			t.Fatal(c.name, err)
		}
		time.Sleep(500 * time.Millisecond)
		if err := n1.StartDaemon(); err != nil {
			t.Fatal(c.name, err)
		}
		w.until(c.name+": another speaker peers", 30*time.Second, func() error {
			if w.speakerPID("n1") == pid {
				return os.ErrExist
			}
			return contains(w.show("n2", "peers"), "n1 ESTABLISHED")
		})
		time.Sleep(3 * time.Second) // what is stale goes, and nothing else
	}
	for i, o := range looks {
		if bad, n := o.end(); len(bad) > 0 || n < 100 {
			t.Errorf("node %d: %d looks, wrong: %v", i+1, n, bad)
		}
	}
	if err := meshed(); err != nil {
		t.Error(err)
	}
}

// leads is an error unless the host's kernel has these ways, which begin with where they lead.
func (w *world) leads(h *lab.Host, ways ...string) error {
	for _, way := range ways {
		to, _, _ := strings.Cut(way, " ")
		out, err := h.Run(context.Background(), "ip", "route", "get", to)
		if err == nil {
			err = contains(out, way)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
