package ipvs

import (
	"path/filepath"
	"testing"
	"time"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// TestTimeoutsAreAsTheyWere: a later life of the daemon, or its cleanup, puts back what the first one met.
func TestTimeoutsAreAsTheyWere(t *testing.T) {
	k, o := NewFake(), Options{Originals: filepath.Join(t.TempDir(), "timeouts.json")}
	before := row.IpvsTimeouts{TCP: time.Hour, TCPFin: time.Minute, UDP: 7 * time.Second}
	if err := k.SetTimeouts(before); err != nil {
		t.Fatal(err)
	}
	for _, udp := range []time.Duration{30 * time.Second, 40 * time.Second} { // two lives, with other flags
		want := conform.Index[row.IpvsKey]([]row.Ipvs{row.IpvsTimeouts{UDP: udp}})
		d := New(k, o)
		have, err := d.Dump(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Apply(t.Context(), conform.Diff(have, want)); err != nil {
			t.Fatal(err)
		}
		if got, _ := k.Timeouts(); got.UDP != udp || got.TCP != before.TCP {
			t.Errorf("timeouts are %v, want udp %s", got, udp)
		}
	}
	d := New(k, o)
	have, err := d.Dump(t.Context())
	if err != nil || len(have) != 1 {
		t.Fatalf("a later life has %v, %v; want the timeouts", have, err)
	}
	if err = d.Apply(t.Context(), conform.Diff(have, nil)); err != nil {
		t.Fatal(err)
	}
	if got, _ := k.Timeouts(); got != before {
		t.Errorf("timeouts are %v, want %v", got, before)
	}
	if have, err = New(k, o).Dump(t.Context()); err != nil || len(have) != 0 {
		t.Errorf("afterwards there is %v, %v; want nothing", have, err)
	}
}
