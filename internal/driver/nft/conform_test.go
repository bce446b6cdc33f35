package nft

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

func TestKernelConforms(t *testing.T) {
	var s space
	c := samples()
	c.World = func(t testing.TB) { s = newSpace(t) }
	c.Open = func(t testing.TB) row.Target[row.NftKey, row.Nft] { return newDriver(t, s) }
	c.Foreign = func(t testing.TB) func() error { return strangers(t, s) }
	conform.Target(t, c)
}

func TestFakeConforms(t *testing.T) {
	var f *Fake
	c := samples()
	c.World = func(testing.TB) { f = NewFake() }
	c.Open = func(testing.TB) row.Target[row.NftKey, row.Nft] { return f }
	conform.Target(t, c)
}

func samples() conform.Config[row.NftKey, row.Nft] {
	return conform.Config[row.NftKey, row.Nft]{Rows: manyRows, Change: changeRow, Bad: badRows}
}

// manyRows is the sample and then chains with rules, each with an address that leads there, and ranges.
func manyRows(n int) []row.Nft {
	pods := row.NftSet{Name: "policy-pods", Keys: row.NftTypesOf(row.NftIPv4), Values: row.NftTypesOf(row.NftVerdict)}
	nets := row.NftSet{Name: "policy-nets", Keys: row.NftTypesOf(row.NftIPv4), Interval: true}
	rows := append(sample(), pods, nets,
		row.NftChain{Name: "policy-output", Hook: row.NftOutput},
		rule1("policy-output", 0, row.NftStmt{Op: row.NftVmap, Key: key(row.NftDaddr), Set: pods.Name}),
		rule1("policy-output", 1, row.NftStmt{Op: row.NftLookup, Key: key(row.NftDaddr), Set: nets.Name},
			row.NftStmt{Op: row.NftDropPkt}))
	for i := range n / 6 {
		name := fmt.Sprintf("policy-pod-%d", i)
		rows = append(rows,
			row.NftChain{Name: name},
			rule1(name, 0, row.NftStmt{Op: row.NftCounter}),
			rule1(name, 1, row.NftStmt{Op: row.NftLookup, Key: key(row.NftSaddr), Set: peers.Name},
				row.NftStmt{Op: row.NftAccept}),
			rule1(name, 2, row.NftStmt{Op: row.NftRejectAdmin}),
			jump(pods, row.NftWire{}.Addr(address(0x0a000000+uint32(i))), name),
			prefixElement(nets, address(0x0b000000+uint32(i)<<8).String()+"/24"),
		)
	}
	return rows
}

// changeRow makes another row of the same key.
func changeRow(r row.Nft) (row.Nft, bool) {
	switch r := r.(type) {
	case row.NftChain:
		r.Drop = !r.Drop && r.Hook == row.NftForward
		return r, r.Hook == row.NftForward
	case row.NftRule:
		stmts := append([]row.NftStmt{{Op: row.NftCounter}}, r.Body.Stmts()...)
		r.Body = row.NftMakeBody(stmts...)
		return r, true
	case row.NftElement:
		set := r.Of.Value()
		switch {
		case r.Verdict.Op != row.NftNop:
			r.Verdict = row.NftJump{Op: row.NftReturn}
			return r, true
		case set.Name == slotsMap.Name:
			r.Value = string(target("192.0.2.1", 99))
			return r, true
		case set.Name == "policy-nets":
			r.Last = r.Elem[:3] + "\x0f"
			return r, true
		}
	}
	return r, false
}

// badRows refer to what is not there, overlap, don't fit or can't be said.
func badRows() []row.Nft {
	accept := row.NftStmt{Op: row.NftAccept}
	return []row.Nft{
		rule1("policy-output", 2, row.NftStmt{Op: row.NftLookup, Key: key(row.NftDaddr), Set: "nowhere"}, accept),
		rule1("policy-pod", 0, row.NftStmt{Op: row.NftJumpTo, Chain: "nowhere"}),
		rule1("nowhere", 0, accept),
		rule1("policy-pod-0", 3, row.NftStmt{Op: row.NftMatchNum, Key: key(row.NftDport), Num: 80}, accept),
		rule1("services", 1, row.NftStmt{Op: row.NftForeign, Text: "handle 1"}),
		rule1("services", 2),
		rule1("policy-input", 0, row.NftStmt{Op: row.NftMasquerade}), // reached from no hook for that
		jump(heads, headKey("10.96.0.9", 6, 1), "nowhere"),
		jump(heads, headKey("10.96.0.8", 6, 1), "policy-forward"), // a base chain
		element(row.NftSet{Name: "nowhere", Keys: row.NftTypesOf(row.NftIPv4)}, row.NftWire{}.Addr(ip("1.2.3.4")), nil),
		element(slotsMap, headKey("10.96.0.1", 6, 443), target("10.0.0.1", 1)), // a field short
		row.NftSet{Name: "keyless"},
	}
}

// strangers makes a table of somebody else with our names in it.
func strangers(t testing.TB, s space) func() error {
	t.Helper()
	sock, err := dial(s.fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sock.close() })
	table := appendText(nil, unix.NFTA_TABLE_NAME, "kube-router-too")
	chain := appendText(table, unix.NFTA_CHAIN_NAME, "services")
	b := newBatch(false, sock.seq+1, nil)
	b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE)
	b.buf = append(b.buf, table...)
	b.endFor(nil, false)
	b.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE)
	b.buf = append(b.buf, chain...)
	b.endFor(nil, false)
	if v := sock.transact(b); !v.ok() {
		t.Fatal(v)
	}
	return func() error {
		there := false
		err := sock.list(context.Background(), unix.NFT_MSG_GETCHAIN, nil, func(data []byte) {
			attrs(data, func(typ uint16, data []byte) {
				there = there || typ == unix.NFTA_CHAIN_TABLE && text(data) == "kube-router-too"
			})
		})
		if err == nil && !there {
			err = errors.New("the table of others is gone")
		}
		return err
	}
}
