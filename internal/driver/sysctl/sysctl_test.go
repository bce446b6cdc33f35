package sysctl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	vnetns "github.com/vishvananda/netns"

	"kube-router/internal/lab/netns"
	"kube-router/internal/row"
)

type change = row.Change[string, row.Sysctl]

func set(rows ...row.Sysctl) []change {
	var list []change
	for _, r := range rows {
		list = append(list, change{Key: r.Name, New: &r})
	}
	return list
}

func unset(rows ...row.Sysctl) []change {
	var list []change
	for _, r := range rows {
		list = append(list, change{Key: r.Name, Old: &r})
	}
	return list
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// has checks which rows the driver finds, and then the settings as "name=value".
func has(t *testing.T, d *Driver, rows []row.Sysctl, settings ...string) {
	t.Helper()
	want := map[string]row.Sysctl{}
	for _, r := range rows {
		want[r.Name] = r
	}
	have, err := d.Dump(t.Context())
	must(t, err)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("rows: want - have +:\n%s", diff)
	}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		if v, err := d.read(name); err != nil || v != value {
			t.Errorf("%s: want %s, have %s, %v", name, value, v, err)
		}
	}
}

var (
	forward = row.Sysctl{Name: "net/ipv4/ip_forward", Value: "1"}
	filter  = row.Sysctl{Name: "net/ipv4/conf/all/rp_filter", Value: "2", OnlyFrom: "1"}
	filter2 = row.Sysctl{Name: "net/ipv4/conf/lo/rp_filter", Value: "2", OnlyFrom: "1"}
	bridge  = row.Sysctl{Name: "net/bridge/nothing-there", Value: "1", Optional: true}
)

// everywhere runs a test on the fake and on the real settings of a new namespace.
func everywhere(t *testing.T, test func(*testing.T, *Driver)) {
	t.Run("fake", func(t *testing.T) {
		d, err := NewFake(t.TempDir(), map[string]string{forward.Name: "0", filter.Name: "1", filter2.Name: "0"})
		must(t, err)
		test(t, d)
	})
	t.Run("kernel", func(t *testing.T) {
		space, err := netns.New()
		must(t, err)
		defer space.Close()
		d := New(vnetns.NsHandle(space.Fd()), filepath.Join(t.TempDir(), "state.json"))
		must(t, d.inside(func() error {
			for name, v := range map[string]string{forward.Name: "0", filter.Name: "1", filter2.Name: "0"} {
				must(t, d.write(name, v))
			}
			return nil
		}))
		must(t, d.inside(func() error { test(t, &Driver{state: d.state, root: d.root}); return nil }))
	})
}

func TestSettingsComeAndGo(t *testing.T) {
	everywhere(t, func(t *testing.T, d *Driver) {
		all := []row.Sysctl{forward, filter, filter2}
		must(t, d.Apply(t.Context(), set(append(all, bridge)...)))
		has(t, d, all, "net/ipv4/ip_forward=1", "net/ipv4/conf/all/rp_filter=2", "net/ipv4/conf/lo/rp_filter=0")
		must(t, d.Apply(t.Context(), set(all...)))
		must(t, d.Apply(t.Context(), unset(append(all, bridge)...)))
		has(t, d, nil, "net/ipv4/ip_forward=0", "net/ipv4/conf/all/rp_filter=1", "net/ipv4/conf/lo/rp_filter=0")
		if _, err := os.Stat(d.state); !os.IsNotExist(err) {
			t.Errorf("the memory stays: %v", err)
		}
	})
}

func TestDriftIsSeenAndForeignChangesStay(t *testing.T) {
	everywhere(t, func(t *testing.T, d *Driver) {
		must(t, d.Apply(t.Context(), set(forward, filter)))
		must(t, d.write(forward.Name, "0"))
		has(t, d, []row.Sysctl{{Name: forward.Name, Value: "0"}, filter})
		must(t, d.write(filter.Name, "0"))
		has(t, d, []row.Sysctl{{Name: forward.Name, Value: "0"}, filter})
		must(t, d.Apply(t.Context(), unset(forward, filter)))
		has(t, d, nil, "net/ipv4/ip_forward=0", "net/ipv4/conf/all/rp_filter=0")
	})
}

func TestOneBadSettingHarmsNoOther(t *testing.T) {
	everywhere(t, func(t *testing.T, d *Driver) {
		missing := row.Sysctl{Name: "net/ipv4/conf/nolink/rp_filter", Value: "2"}
		outside := row.Sysctl{Name: "../../etc/passwd", Value: "x"}
		err := d.Apply(t.Context(), set(missing, outside, forward))
		failed, _ := err.(row.Failed[string])
		if len(failed) != 2 || failed[missing.Name] == nil || failed[outside.Name] == nil {
			t.Errorf("have %v", err)
		}
		has(t, d, []row.Sysctl{forward}, "net/ipv4/ip_forward=1")
	})
}

func TestForwardingIsSetAfterWhatItWouldUndo(t *testing.T) {
	list := set(row.Sysctl{Name: "net/ipv6/conf/all/forwarding"}, row.Sysctl{Name: "net/ipv6/conf/eth0/accept_ra"})
	if before(list[0], list[1]) <= 0 {
		t.Error("forwarding comes before accept_ra")
	}
}
