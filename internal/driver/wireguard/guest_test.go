//go:build guest

package wireguard

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// link makes our link in a namespace of its own.
func link(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Close()
		if err := netns.Set(before); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
	l := &netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: row.WireName}}
	if err := netlink.LinkAdd(l); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
}

func TestKernelConforms(t *testing.T) {
	conform.Target(t, config(t, func(k *Keys) *Driver { return over(kernel{}, k) }, link))
}

// TestOnePeerCostsOnePeer changes one of a thousand peers and takes it away.
func TestOnePeerCostsOnePeer(t *testing.T) {
	keys, own := store(t)
	link(t)
	d := over(kernel{}, keys)
	begun := time.Now()
	if err := d.Apply(t.Context(), conform.Diff(nil, conform.Index(sample(own, 3000)))); err != nil {
		t.Fatal(err)
	}
	all := time.Since(begun)
	r := sample(own, 3)[2].(row.WireAllowed)
	const times = 50
	begun = time.Now()
	for i := range times {
		now := r
		now.Public = pub(1 + i%2)
		if err := d.Apply(t.Context(), conform.Diff(conform.Index([]row.Linux{r}), conform.Index([]row.Linux{now}))); err != nil {
			t.Fatal(err)
		}
		r = now
	}
	one := time.Since(begun) / times
	fmt.Printf("1,000 peers with 2 prefixes: all %s, moving one prefix %s\n", all.Round(time.Millisecond), one.Round(time.Microsecond))
	if one > all/100 {
		t.Errorf("one of a thousand costs %s of %s", one, all)
	}
}
