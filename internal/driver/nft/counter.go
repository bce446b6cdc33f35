package nft

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Counter is what a rule or an element has counted.
type Counter struct {
	Packets, Bytes uint64
}

// Counters reads the counters of all rules that have one, by the rule's key. With names of sets it also
// reads those of their elements, where the set counts (row.NftSet's Count).
func (d *Driver) Counters(ctx context.Context, sets ...string) (map[row.NftKey]Counter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	counters := map[row.NftKey]Counter{}
	if err := d.ruleCounters(ctx, appendTable(nil), counters); err != nil {
		return nil, fmt.Errorf("nftables: read the counters of table inet %s: %w", row.NftTable, err)
	}
	for _, name := range sets {
		if err := d.elementCounters(ctx, name, counters); err != nil {
			return nil, fmt.Errorf("nftables: read the counters of set %s: %w", name, err)
		}
	}
	return counters, nil
}

// ChainCounters reads the counters of the rules of some chains, without a look at any other. A chain that isn't
// there has none.
func (d *Driver) ChainCounters(ctx context.Context, chains ...string) (map[row.NftKey]Counter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
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
			counters[row.NftKey{Kind: row.NftKindRule, Name: chain, Pos: pos[chain]}] = c
		}
		pos[chain]++
	})
}

func (d *Driver) elementCounters(ctx context.Context, name string, counters map[row.NftKey]Counter) error {
	sets, err := d.sets(ctx)
	if err != nil {
		return err
	}
	for _, set := range sets {
		if set.Name != name || !set.Count {
			continue
		}
		s := shapeOf(set)
		err = d.eachElement(ctx, name, func(data []byte) {
			var c Counter
			attrs(data, func(typ uint16, data []byte) {
				if typ == unix.NFTA_SET_ELEM_EXPR {
					c.read(data)
				}
			})
			if e := s.readElement(data); !e.end {
				counters[row.NftKey{Kind: row.NftKindElement, Name: name, Elem: e.Elem}] = c
			}
		})
	}
	return err
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
