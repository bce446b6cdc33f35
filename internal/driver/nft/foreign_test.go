package nft

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// another is somebody else who writes into the same tables.
func another(t testing.TB, s space, write func(b *batch)) {
	t.Helper()
	sock, err := dial(s.fd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sock.close() }()
	b := newBatch(false, sock.seq+1, nil)
	write(b)
	if v := sock.transact(b); !v.ok() {
		t.Fatal(v)
	}
}

func mustApply(t testing.TB, d row.Target[row.NftKey, row.Nft], have, want map[row.NftKey]row.Nft) {
	t.Helper()
	if err := d.Apply(t.Context(), conform.Diff(have, want)); err != nil {
		t.Fatal(err)
	}
}

func mustDump(t testing.TB, d row.Target[row.NftKey, row.Nft]) map[row.NftKey]row.Nft {
	t.Helper()
	rows, err := d.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestRulesOfOthersInOurChain: they show in the dump, and applying the difference removes them.
func TestRulesOfOthersInOurChain(t *testing.T) {
	s := newSpace(t)
	d := newDriver(t, s)
	accept, drop := row.NftStmt{Op: row.NftAccept}, row.NftStmt{Op: row.NftDropPkt}
	want := index([]row.Nft{row.NftChain{Name: "policy"}, rule1("policy", 0, accept), rule1("policy", 1, drop)})
	mustApply(t, d, nil, want)
	another(t, s, func(b *batch) {
		b.rule("policy", unix.NLM_F_CREATE, 0, ruleData{}, nil)                   // first, without user data
		b.rule("policy", unix.NLM_F_CREATE|unix.NLM_F_APPEND, 0, ruleData{}, nil) // last
		b.rule("policy", unix.NLM_F_CREATE|unix.NLM_F_APPEND, 0, changed(t), nil) // ours, meaning something else
		b.newSet(&edit{key: peers.Key(), new: row.NftSet{Name: "theirs", Keys: row.NftTypesOf(row.NftMark)}})
		b.newChain(&edit{new: row.NftChain{Name: "theirs"}})
	})
	have := mustDump(t, d)
	foreign := 0
	for _, r := range have {
		if r, ok := r.(row.NftRule); ok && r.Body.Stmts()[0].Op == row.NftForeign {
			foreign++
		}
	}
	if foreign != 3 || len(have) != 8 {
		t.Errorf("%d of %d rows are foreign: %v", foreign, len(have), printed(have))
	}
	mustApply(t, d, have, want)
	if diff := cmp.Diff(printed(want), dumped(t, d)); diff != "" {
		t.Error(diff)
	}
}

// changed is a rule of an older kube-router, whose statement meant other expressions.
func changed(t testing.TB) ruleData {
	body := row.NftMakeBody(row.NftStmt{Op: row.NftAccept})
	d, err := encodeRule(false, body)
	if err != nil {
		t.Fatal(err)
	}
	return ruleData{exprs: d.exprs, user: userdata(body.Wire(), []byte("another"))}
}

func TestTableIsGoneWithItsLastRow(t *testing.T) {
	s := newSpace(t)
	d := newDriver(t, s)
	tables := func() (n int) {
		if err := d.sock.list(t.Context(), unix.NFT_MSG_GETTABLE, nil, func([]byte) { n++ }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	want := index(sample())
	mustApply(t, d, nil, want)
	if n := tables(); n != 1 {
		t.Fatalf("%d tables", n)
	}
	mustApply(t, d, want, nil)
	if n := tables(); n != 0 {
		t.Errorf("%d tables are left", n)
	}
	mustApply(t, d, want, nil)
}

// TestSetOfAnotherKind replaces sets and chains that are in use.
func TestSetOfAnotherKind(t *testing.T) {
	for name, d := range bothTargets(t) {
		t.Run(name, func(t *testing.T) {
			have := index(sample())
			mustApply(t, d, nil, have)
			want := maps.Clone(have)
			bigger := peers
			bigger.Size = 100000
			for k, r := range have {
				if e, ok := r.(row.NftElement); ok && e.Of.Value() == peers {
					e.Of = unique.Make(bigger)
					want[k] = e
				}
				if c, ok := r.(row.NftChain); ok && c.Name == "policy-forward" {
					c.Priority = 10
					want[k] = c
				}
			}
			want[bigger.Key()] = bigger
			mustApply(t, d, have, want)
			if diff := cmp.Diff(printed(want), dumped(t, d)); diff != "" {
				t.Error(diff)
			}
			mustApply(t, d, want, nil)
		})
	}
}

func bothTargets(t testing.TB) map[string]row.Target[row.NftKey, row.Nft] {
	return map[string]row.Target[row.NftKey, row.Nft]{"kernel": newDriver(t, newSpace(t)), "fake": NewFake()}
}

// TestRefusals are one row each that is refused while others stand.
func TestRefusals(t *testing.T) {
	deep := []row.Nft{row.NftChain{Name: "deep-0", Hook: row.NftForward}}
	for i := 1; i < 16; i++ {
		name, above := fmt.Sprintf("deep-%d", i), fmt.Sprintf("deep-%d", i-1)
		deep = append(deep, row.NftChain{Name: name}, rule1(above, 0, row.NftStmt{Op: row.NftJumpTo, Chain: name}))
	}
	long := row.NftStmt{Op: row.NftLog, Text: strings.Repeat("x", 300)}
	for _, test := range []struct {
		name   string
		stand  []row.Nft
		change Change
		want   error
	}{
		{"deep", append(deep, row.NftChain{Name: "deeper"}),
			adds(rule1("deep-15", 0, row.NftStmt{Op: row.NftJumpTo, Chain: "deeper"}))[0], unix.EMLINK},
		{"overlap", sample(), adds(prefixElement(peers, "10.1.0.0/16"))[0], unix.EEXIST},
		{"concatenation overlaps", sample(), adds(row.NftElement{
			Of: unique.Make(ports), Elem: string(row.NftWire{}.Addr(ip("fd00::1")).Proto(6).Port(1500))})[0], unix.EEXIST},
		{"set in use", sample(), removes(peers)[0], unix.EBUSY},
		{"chain in use", sample(), removes(row.NftChain{Name: "services-class-2"})[0], unix.EBUSY},
		{"wrong hook", sample(), adds(rule1("policy-pod", 0, row.NftStmt{Op: row.NftMasquerade}))[0], unix.EOPNOTSUPP},
		{"long", sample(), adds(rule1("policy-pod", 0, long))[0], errLongRule},
		{"families", sample(), adds(rule1("policy-pod", 0, row.NftStmt{Op: row.NftLookup, Set: hosts.Name,
			Key: row.NftKeyOf(term6(row.NftSaddr), term(row.NftDaddr))}))[0], errFamilies},
	} {
		for name, d := range bothTargets(t) {
			t.Run(test.name+" "+name, func(t *testing.T) {
				have := index(test.stand)
				mustApply(t, d, nil, have)
				err := d.Apply(t.Context(), []Change{test.change})
				var failed row.Failed[row.NftKey]
				if !errors.As(err, &failed) || !errors.Is(failed[test.change.Key], test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				if diff := cmp.Diff(printed(have), dumped(t, d)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestOneBadRuleAmongMany has rules before and behind a refused one keep their places.
func TestOneBadRuleAmongMany(t *testing.T) {
	d := newDriver(t, newSpace(t))
	rows := []row.Nft{row.NftChain{Name: "policy"}}
	for i := range 5 {
		s := row.NftStmt{Op: row.NftSetMark, Num: uint32(i)}
		if i == 2 {
			s = row.NftStmt{Op: row.NftLookup, Key: key6(row.NftSaddr), Set: hosts.Name}
		}
		rows = append(rows, rule1("policy", i, s))
	}
	all := index(rows)
	good := maps.Clone(all)
	delete(good, rows[3].Key())
	err := d.Apply(t.Context(), conform.Diff(nil, all))
	var failed row.Failed[row.NftKey]
	if !errors.As(err, &failed) || len(failed) != 1 || failed[rows[3].Key()] == nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(printed(good), dumped(t, d)); diff != "" {
		t.Error(diff)
	}
	all[hosts.Key()] = hosts
	mustApply(t, d, good, all)
	if diff := cmp.Diff(printed(all), dumped(t, d)); diff != "" {
		t.Error(diff)
	}
	rules, err := d.rules(t.Context(), "")
	if n := len(rules["policy"]); err != nil || n != 5 {
		t.Error(n, err)
	}
}

func TestWatchTellsOfOthersOnly(t *testing.T) {
	s := newSpace(t)
	d := newDriver(t, s)
	want := index(sample())
	mustApply(t, d, nil, want)
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan struct{}, 100)
	ended := make(chan error)
	conn, err := d.subscribe() // so that what follows is seen
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- d.watch(ctx, conn, func() { changed <- struct{}{} }) }()
	mustApply(t, d, want, nil)
	mustApply(t, d, nil, want)
	strangers(t, s)
	select {
	case <-changed:
		t.Error("called for our own change or for another table")
	case <-time.After(50 * time.Millisecond):
	}
	another(t, s, func(b *batch) { b.flush("policy-forward", nil) })
	select {
	case <-changed:
	case <-time.After(5 * time.Second):
		t.Error("not called")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCounters(t *testing.T) {
	s := newSpace(t)
	d := newDriver(t, s)
	counting := row.NftSet{Name: "services-count", Keys: row.NftTypesOf(row.NftIPv4), Count: true}
	rows := []row.Nft{
		counting, element(counting, row.NftWire{}.Addr(ip("127.0.0.2")), nil),
		row.NftChain{Name: "policy-output", Hook: row.NftOutput},
		rule1("policy-output", 0, row.NftStmt{Op: row.NftMatchNum, Key: key(row.NftL4proto), Num: 17}, row.NftStmt{Op: row.NftCounter}),
		rule1("policy-output", 1, row.NftStmt{Op: row.NftLookup, Key: key(row.NftDaddr), Set: counting.Name}),
	}
	mustApply(t, d, nil, index(rows))
	s.ping(t)
	got, err := d.ChainCounters(t.Context(), false, "policy-output", "no-such-chain")
	if err != nil {
		t.Fatal(err)
	}
	want := map[row.NftKey]Counter{rows[3].Key(): {1, 32}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(printed(index(rows)), dumped(t, d)); diff != "" {
		t.Error(diff)
	}
}

// ping sends one datagram of four bytes to the namespace's own 127.0.0.2.
func (s space) ping(t testing.TB) {
	t.Helper()
	var err error
	inThread(func() {
		if err = unix.Setns(s.fd, unix.CLONE_NEWNET); err != nil {
			return
		}
		var fd int
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err != nil {
			return
		}
		defer func() { _ = unix.Close(fd) }()
		ifr, _ := unix.NewIfreq("lo")
		ifr.SetUint16(unix.IFF_UP)
		if err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err == nil {
			err = unix.Sendto(fd, []byte("ping"), 0, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 2}})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
