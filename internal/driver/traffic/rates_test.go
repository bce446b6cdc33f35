package traffic

import (
	"net/netip"
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	front := Front{netip.MustParseAddr("10.96.0.1"), 80, 6}
	begin := time.Unix(1000, 0)
	r := &Rates{}
	at := func(after time.Duration, connections, bytes uint64) Counters {
		return r.Add(map[Front]Counters{front: {Connections: connections, BytesIn: bytes}}, begin.Add(after))[front]
	}
	if c := at(0, 10, 1000); c.ConnectionRate != 0 {
		t.Errorf("a rate at the first look: %+v", c)
	}
	if c := at(10*time.Second, 30, 3000); c.ConnectionRate != 2 || c.ByteRateIn != 200 || c.ByteRateOut != 0 {
		t.Errorf("%+v", c)
	}
	if c := at(10*time.Second+time.Millisecond, 31, 3000); c.ConnectionRate != 2 || c.Connections != 31 {
		t.Errorf("a look right afterwards: %+v", c)
	}
	if c := at(20*time.Second, 5, 0); c.ConnectionRate != 0 {
		t.Errorf("a counter that began anew: %+v", c)
	}
}
