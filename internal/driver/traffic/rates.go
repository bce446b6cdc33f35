package traffic

import (
	"sync"
	"time"
)

// Rates makes rates of counters that have none: the mean between one look and the next. The zero value is ready.
type Rates struct {
	mu   sync.Mutex
	last map[Front]Counters
	when time.Time
}

// Add gives counters their rates since the look before. Looks within a second of each other share one.
func (r *Rates) Add(now map[Front]Counters, when time.Time) map[Front]Counters {
	r.mu.Lock()
	defer r.mu.Unlock()
	span := when.Sub(r.when).Seconds()
	fresh := span >= 1
	for f, c := range now {
		old, known := r.last[f]
		switch {
		case !known || r.when.IsZero():
		case !fresh:
			c.ConnectionRate, c.PacketRateIn, c.PacketRateOut = old.ConnectionRate, old.PacketRateIn, old.PacketRateOut
			c.ByteRateIn, c.ByteRateOut = old.ByteRateIn, old.ByteRateOut
		default:
			per := func(now, old uint64) float64 { return float64(now-min(now, old)) / span }
			c.ConnectionRate = per(c.Connections, old.Connections)
			c.PacketRateIn, c.PacketRateOut = per(c.PacketsIn, old.PacketsIn), per(c.PacketsOut, old.PacketsOut)
			c.ByteRateIn, c.ByteRateOut = per(c.BytesIn, old.BytesIn), per(c.BytesOut, old.BytesOut)
		}
		now[f] = c
	}
	if fresh {
		r.last, r.when = now, when
	}
	return now
}
