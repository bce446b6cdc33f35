package nft

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Counter is what a rule has counted.
type Counter struct {
	Packets, Bytes uint64
}

// ChainCounters reads the counters of the rules of some chains of one table, by the rule's key, without a look at any other. A chain that isn't
// there has none.
func (d *Driver) ChainCounters(ctx context.Context, bridge bool, chains ...string) (map[row.NftKey]Counter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sock.bridge = bridge
	defer func() { d.sock.bridge = false }()
	counters := map[row.NftKey]Counter{}
	for _, name := range chains {
		if err := d.ruleCounters(ctx, appendText(appendTable(nil), unix.NFTA_RULE_CHAIN, name), counters); err != nil {
			return nil, fmt.Errorf("nftables: read the counters of chain %s: %w", name, err)
		}
	}
	return counters, nil
}

func (d *Driver) ruleCounters(ctx context.Context, request []byte, counters map[row.NftKey]Counter) error {
	pos := map[string]int{}
	return d.sock.list(ctx, unix.NFT_MSG_GETRULE, request, func(data []byte) {
		var chain string
		var c Counter
		found := false
		attrs(data, func(typ uint16, data []byte) {
			switch typ {
			case unix.NFTA_RULE_CHAIN:
				chain = text(data)
			case unix.NFTA_RULE_EXPRESSIONS:
				attrs(data, func(_ uint16, data []byte) { found = c.read(data) || found })
			}
		})
		if found {
			counters[row.NftKey{Kind: row.NftKindRule, Bridge: d.sock.bridge, Name: chain, Pos: pos[chain]}] = c
		}
		pos[chain]++
	})
}

// read adds an expression's count, if it is a counter.
func (c *Counter) read(expression []byte) bool {
	counts := false
	attrs(expression, func(typ uint16, data []byte) {
		switch {
		case typ == unix.NFTA_EXPR_NAME:
			counts = text(data) == "counter"
		case typ == unix.NFTA_EXPR_DATA && counts:
			attrs(data, func(typ uint16, data []byte) {
				switch typ {
				case unix.NFTA_COUNTER_BYTES:
					c.Bytes += number64(data)
				case unix.NFTA_COUNTER_PACKETS:
					c.Packets += number64(data)
				}
			})
		}
	})
	return counts
}
