package nft

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// described makes a set of the name whose user data a later version wrote: ours to look at, in words that we don't have.
func described(b *batch, name string, wire []byte) {
	b.message(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE)
	b.buf = appendText(appendTable(b.buf), unix.NFTA_SET_NAME, name)
	b.buf = append32(b.buf, unix.NFTA_SET_ID, 7)
	b.buf = append32(b.buf, unix.NFTA_SET_KEY_TYPE, 99)
	b.buf = append32(b.buf, unix.NFTA_SET_KEY_LEN, 12)
	b.buf = appendAttr(b.buf, unix.NFTA_SET_USERDATA, userdata(string(wire), []byte("words of later")))
	b.endFor(nil, false)
}

// futures are what a table of a later version may hold, each beside what is wanted now.
var futures = map[string]struct {
	tool  string
	write func(b *batch)
}{
	"a set of types that came later, under a name of ours": {write: func(b *batch) {
		b.newTable()
		described(b, hosts.Name, append([]byte{0xff, 200, 201, 202}, make([]byte, 20)...))
	}},
	"a set of types that came later, under another name": {write: func(b *batch) { b.newTable(); described(b, "later-map", []byte{1}) }},
	"a chain of another type":                            {tool: "chain later { type route hook output priority 0; }"},
	"a chain at another hook":                            {tool: `chain later { type filter hook ingress device "lo" priority 0; }`},
	"an object, which a rule uses":                       {tool: "counter later { }\n chain policy-forward { type filter hook forward priority 0; policy drop; counter name later; }"},
	"a table that sleeps":                                {tool: "flags dormant; chain policy-forward { type filter hook forward priority 0; policy drop; }"},
}

// TestTheTableOfALaterVersion: it shows as one row, is replaced by what is wanted, and goes where nothing is.
func TestTheTableOfALaterVersion(t *testing.T) {
	needTool(t)
	for name, future := range futures {
		t.Run(name, func(t *testing.T) {
			s := newSpace(t)
			d := newDriver(t, s)
			want := index(sample())
			lay := func() map[row.NftKey]row.Nft {
				t.Helper()
				if future.tool != "" {
					s.nft(t, "add table inet "+row.NftTable+"; delete table inet "+row.NftTable+"\ntable inet "+row.NftTable+" {\n"+future.tool+"\n}\n", "-f", "-")
				} else {
					another(t, s, future.write)
				}
				have := mustDump(t, d)
				if len(have) != 1 || have[otherTable(false).Key()] == nil {
					t.Fatalf("the dump: %v", printed(have))
				}
				return have
			}
			mustApply(t, d, lay(), want)
			if diff := cmp.Diff(printed(want), dumped(t, d)); diff != "" {
				t.Error(diff)
			}
			if text := s.nft(t, "", "list", "ruleset"); strings.Contains(text, "later") || strings.Contains(text, "dormant") {
				t.Errorf("something of it is left:\n%s", text)
			}
			// Cleanup: nothing is wanted.
			mustApply(t, d, want, nil)
			mustApply(t, d, lay(), nil)
			if text := s.nft(t, "", "list", "ruleset"); text != "" {
				t.Errorf("after cleanup:\n%s", text)
			}
		})
	}
}

// TestOneBadRowDoesNotKeepTheOldTable: the kernel refuses one row; all the others replace the table, still at once.
func TestOneBadRowDoesNotKeepTheOldTable(t *testing.T) {
	s := newSpace(t)
	d := newDriver(t, s)
	another(t, s, futures["a set of types that came later, under another name"].write)
	want := index(sample())
	all := maps.Clone(want)
	bad := rule1("policy-pod", 0, row.NftStmt{Op: row.NftLookup, Key: key6(row.NftSaddr), Set: "missing"})
	all[bad.Key()] = bad
	changes := append(adds(values(all)...), removes(otherTable(false))...)
	var failed row.Failed[row.NftKey]
	if err := d.Apply(t.Context(), changes); !errors.As(err, &failed) || len(failed) != 1 || failed[bad.Key()] == nil {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(printed(want), dumped(t, d)); diff != "" {
		t.Error(diff)
	}
}

// TestALargeTableIsReplacedAtOnce: whoever looks meanwhile finds the old table or the new one, whole; the chain of policies stands in
// either.
func TestALargeTableIsReplacedAtOnce(t *testing.T) {
	s := newSpace(t)
	d := newDriver(t, s)
	another(t, s, func(b *batch) {
		b.newTable()
		described(b, "later-map", []byte{1})
		b.newChain(&edit{new: row.NftChain{Name: "policy-forward", Hook: row.NftForward, Drop: true}})
	})
	want := index(sample())
	for _, c := range services(6000, 3) {
		want[c.Key] = *c.New
	}
	look := newDriver(t, s)
	stop, torn := make(chan struct{}), make(chan string, 1)
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			chains, tables := 0, 0
			err := look.sock.list(t.Context(), unix.NFT_MSG_GETCHAIN, nil, func(data []byte) {
				if c, ok := readChain(data); ok && c.Name == "policy-forward" {
					chains++
				}
			})
			if err == nil {
				err = look.sock.list(t.Context(), unix.NFT_MSG_GETTABLE, nil, func([]byte) { tables++ })
			}
			// A list that is being read as the tables change may have both of them; it never has none. The policy of a base chain is
			// the kernel's to set a moment later (nft_chain_commit_drop_policy), which is why ours end in rules.
			if err == nil && (chains < 1 || tables < 1) {
				select {
				case torn <- fmt.Sprintf("%d tables, %d times the chain", tables, chains):
				default:
				}
			}
		}
	})
	mustApply(t, d, mustDump(t, d), want)
	close(stop)
	wait.Wait()
	select {
	case what := <-torn:
		t.Error("seen: " + what)
	default:
	}
	if have := mustDump(t, d); len(have) != len(want) {
		t.Errorf("%d rows stand, want %d", len(have), len(want))
	}
}

func values(rows map[row.NftKey]row.Nft) (list []row.Nft) {
	for _, r := range rows {
		list = append(list, r)
	}
	return list
}
