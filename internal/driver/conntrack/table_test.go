package conntrack

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/row"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func key(protocol uint8, s string) row.FlowsKey {
	return row.FlowsKey{Addr: ap(s).Addr(), Port: ap(s).Port(), Protocol: protocol}
}

func flows(protocol uint8, front string, to ...string) row.Flows {
	var list []netip.AddrPort
	for _, s := range to {
		list = append(list, ap(s))
	}
	return row.Flows{Front: key(protocol, front), To: row.FlowsTo(list...)}
}

func flow(protocol uint8, client, front, by string) Flow {
	return Flow{Protocol: protocol, Orig: Tuple{ap(client), ap(front)}, Reply: Tuple{ap(by), ap(client)}}
}

// turn applies what a lane would: the change from one row to another, and once more if the table says later.
func turn(t *testing.T, tab *Table, old, new *row.Flows) {
	t.Helper()
	c := row.Change[row.FlowsKey, row.Flows]{Old: old, New: new}
	if c.Key = (row.Flows{}).Key(); new != nil {
		c.Key = new.Key()
	} else {
		c.Key = old.Key()
	}
	for range 3 {
		err := tab.Apply(context.Background(), []row.Change[row.FlowsKey, row.Flows]{c})
		var failed row.Failed[row.FlowsKey]
		var later row.Later
		if err == nil {
			return
		}
		if !errors.As(err, &failed) || !errors.As(failed[c.Key], &later) {
			t.Fatal(err)
		}
	}
	t.Fatal("the table says later for ever")
}

func answered(k *Fake) []string {
	var list []string
	for _, f := range k.All() {
		list = append(list, f.String())
	}
	return list
}

func TestOnlyWhatIsNotAllowedIsDeleted(t *testing.T) {
	k := NewFake()
	for _, f := range []Flow{
		flow(17, "10.244.1.1:1000", "10.96.0.10:53", "10.244.1.5:53"),
		flow(17, "10.244.1.1:1001", "10.96.0.10:53", "10.244.2.5:53"),
		flow(17, "10.244.1.1:1002", "10.96.0.10:54", "10.244.2.5:53"),  // another port
		flow(132, "10.244.1.1:1003", "10.96.0.10:53", "10.244.2.5:53"), // another protocol
		flow(17, "10.244.1.1:1004", "10.244.2.5:53", "10.244.2.5:53"),  // to the endpoint itself
		flow(17, "10.244.1.1:1005", "10.96.0.10:53", "10.96.0.10:53"),  // from before the front was served
	} {
		k.Add(f)
	}
	tab := NewTable(k)
	both := flows(17, "10.96.0.10:53", "10.244.1.5:53", "10.244.2.5:53")
	turn(t, tab, nil, &both)
	one := flows(17, "10.96.0.10:53", "10.244.1.5:53")
	turn(t, tab, &both, &one)
	want := []string{
		"udp 10.96.0.10:53 from 10.244.1.1:1000 answered by 10.244.1.5:53",
		"udp 10.96.0.10:54 from 10.244.1.1:1002 answered by 10.244.2.5:53",
		"sctp 10.96.0.10:53 from 10.244.1.1:1003 answered by 10.244.2.5:53",
		"udp 10.244.2.5:53 from 10.244.1.1:1004 answered by 10.244.2.5:53",
	}
	if d := cmp.Diff(want, answered(k)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAFrontThatGoesEndsItsOwnFlowsAlone(t *testing.T) {
	k := NewFake()
	k.Add(flow(17, "10.244.1.1:1000", "10.96.0.10:53", "10.244.1.5:53"))
	tab := NewTable(k)
	r := flows(17, "10.96.0.10:53", "10.244.1.5:53")
	turn(t, tab, nil, &r)
	turn(t, tab, &r, nil)
	k.Add(flow(17, "10.244.1.1:1001", "10.96.0.10:53", "10.96.0.10:53"))
	turn(t, tab, &r, nil)
	want := []string{"udp 10.96.0.10:53 from 10.244.1.1:1001 answered by 10.96.0.10:53"}
	if d := cmp.Diff(want, answered(k)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestFlowsThatBeginTooLate: a packet may slip through between our turn and that of the service tables.
func TestFlowsThatBeginTooLate(t *testing.T) {
	k := NewFake()
	tab := NewTable(k)
	ctx := context.Background()
	both := flows(17, "10.96.0.10:53", "10.244.1.5:53", "10.244.2.5:53")
	one := flows(17, "10.96.0.10:53", "10.244.1.5:53")
	turn(t, tab, nil, &both)
	change := []row.Change[row.FlowsKey, row.Flows]{{Key: one.Key(), Old: &both, New: &one}}
	if err := tab.Apply(ctx, change); !errors.As(err, &row.Later{}) {
		t.Fatalf("an endpoint went and the table answers %v; want later", err)
	}
	k.Add(flow(17, "10.244.1.1:1001", "10.96.0.10:53", "10.244.2.5:53"))
	if err := tab.Apply(ctx, change); err != nil {
		t.Fatal(err)
	}
	if got := answered(k); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	k.Add(flow(17, "10.244.1.1:1002", "10.96.0.10:53", "10.244.2.5:53"))
	have, err := tab.Dump(ctx)
	if err != nil || len(have) != 0 {
		t.Errorf("a row that a flow breaks is said to hold: %v, %v", have, err)
	}
	turn(t, tab, nil, &one)
	if have, _ := tab.Dump(ctx); len(have) != 1 || len(k.All()) != 0 {
		t.Errorf("after repair: rows %v, flows %v", have, k.All())
	}
}

// TestNothingIsReadWithoutNeed: more endpoints, or TCP alone, cost no look at the kernel's table.
func TestNothingIsReadWithoutNeed(t *testing.T) {
	k := NewFake()
	tab := NewTable(k)
	if _, err := tab.Dump(context.Background()); err != nil || len(k.Asked()) > 0 {
		t.Errorf("no row, but %v asked, %v", k.Asked(), err)
	}
	one := flows(17, "10.96.0.10:53", "10.244.1.5:53")
	both := flows(17, "10.96.0.10:53", "10.244.1.5:53", "10.244.2.5:53")
	turn(t, tab, nil, &one)
	before := len(k.Asked())
	turn(t, tab, &one, &both)
	if n := len(k.Asked()) - before; n > 0 {
		t.Errorf("an endpoint more costs %d looks", n)
	}
	turn(t, tab, &both, &one)
	for _, f := range k.Asked()[before:] {
		if f.Dst != ap("10.96.0.10:53") || f.Protocol != 17 {
			t.Errorf("one front is asked for by %+v", f)
		}
	}
	var many []row.Change[row.FlowsKey, row.Flows]
	for i := range 1000 {
		r := flows(17, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), 53).String(), "10.244.1.5:53")
		many = append(many, row.Change[row.FlowsKey, row.Flows]{Key: r.Key(), New: &r})
	}
	before = len(k.Asked())
	if err := tab.Apply(context.Background(), many); err != nil {
		t.Fatal(err)
	}
	if n := len(k.Asked()) - before; n != 1 {
		t.Errorf("a thousand fronts cost %d looks; want 1", n)
	}
}

func TestAKernelThatFails(t *testing.T) {
	k := NewFake()
	tab := NewTable(k)
	k.Break(errors.New("no buffer space"))
	r := flows(17, "10.96.0.10:53", "10.244.1.5:53")
	err := tab.Apply(context.Background(), []row.Change[row.FlowsKey, row.Flows]{{Key: r.Key(), New: &r}})
	if err == nil || errors.As(err, new(row.Failed[row.FlowsKey])) {
		t.Errorf("the table can't be read: %v; want an error about all of it", err)
	}
	k.Break(nil)
	turn(t, tab, nil, &r)
}

// TestClientsOutside ends what clients outside have with endpoints that are for clients inside, and nothing else.
func TestClientsOutside(t *testing.T) {
	k := &Fake{}
	tab := NewTable(k)
	const front = "192.0.2.1:30053"
	for _, f := range []Flow{
		flow(17, "10.244.1.5:4000", front, "10.244.2.1:53"),
		flow(17, "192.0.2.1:4000", front, "10.244.2.1:53"),
		flow(17, "198.51.100.7:4000", front, "10.244.2.1:53"),
		flow(17, "198.51.100.8:4000", front, "10.244.1.1:53"),
	} {
		k.Add(f)
	}
	hidden := flow(17, "198.51.100.9:4000", front, "10.244.1.1:53")
	hidden.Reply.Dst = ap("10.244.1.254:4000") // masqueraded when all endpoints were for everybody
	k.Add(hidden)
	old := flows(17, front, "10.244.1.1:53", "10.244.2.1:53")
	turn(t, tab, nil, &old)
	if n := len(k.All()); n != 5 {
		t.Fatalf("%d flows are left", n)
	}
	inside := row.FlowsInside(nil, netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("192.0.2.1/32"))
	turn(t, tab, nil, &inside)
	local := old
	local.Far, local.Plain, local.Near = true, true, row.FlowsTo(ap("10.244.1.1:53"))
	turn(t, tab, &old, &local)
	for _, f := range k.All() {
		if f.Orig.Src == ap("198.51.100.7:4000") || f.Orig.Src == hidden.Orig.Src {
			t.Errorf("still there: %s", f)
		}
	}
	if n := len(k.All()); n != 3 {
		t.Errorf("%d flows are left, want 3", n)
	}
	if have, err := tab.Dump(t.Context()); err != nil || len(have) != 2 || have[inside.Key()] != inside || have[local.Key()] != local {
		t.Errorf("have %v, %v", have, err)
	}
}

// TestNodeChangesItsAddress: flows whose clients were given the one before end; of a family that has none now all stay.
func TestNodeChangesItsAddress(t *testing.T) {
	k := NewFake()
	given := func(client, front, by, as string) {
		w := flow(17, client, front, by)
		w.Reply.Dst = ap(as)
		k.Add(w)
	}
	given("198.51.100.7:4000", "192.0.2.1:30080", "10.244.2.1:53", "192.0.2.1:4000")
	given("198.51.100.8:4000", "192.0.2.1:30080", "10.244.2.1:53", "192.0.2.2:4000")
	given("[2001:db8::7]:4000", "[fd00::1]:30080", "[fd00:244::1]:53", "[fd00::1]:4000")
	k.Add(flow(17, "192.0.2.1:4001", "10.96.0.10:53", "10.244.2.1:53")) // its own
	tab := NewTable(k)
	as := func(list ...string) *row.Flows {
		var addrs []netip.Addr
		for _, s := range list {
			addrs = append(addrs, netip.MustParseAddr(s))
		}
		r := row.FlowsInside(addrs)
		return &r
	}
	turn(t, tab, nil, as("192.0.2.1", "fd00::1"))
	turn(t, tab, as("192.0.2.1", "fd00::1"), as("192.0.2.1", "fd00::1"))
	if n := len(k.All()); n != 4 {
		t.Fatalf("%d flows are left, want all 4", n)
	}
	turn(t, tab, as("192.0.2.1", "fd00::1"), as("192.0.2.2"))
	want := []string{
		"udp 192.0.2.1:30080 from 198.51.100.8:4000 answered by 10.244.2.1:53",
		"udp [fd00::1]:30080 from [2001:db8::7]:4000 answered by [fd00:244::1]:53",
		"udp 10.96.0.10:53 from 192.0.2.1:4001 answered by 10.244.2.1:53",
	}
	if diff := cmp.Diff(want, answered(k)); diff != "" {
		t.Error(diff)
	}
}
