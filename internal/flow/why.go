package flow

import (
	"net/netip"
	"strconv"
	"strings"
)

// Why are the arguments of `why` that explain a flow: its ends, port and protocol; of what a Service refused its frontend, of what lacks a gateway who leaves and
// where to. None: it is no flow with ports.
func (r *Record) Why() []string {
	f, err := r.Read()
	if err != nil || r.Flow == nil {
		return nil
	}
	name, _, _ := r.Flow.protocolName()
	from, to := f.Source.word(f.Src.Addr()), f.Dest.word(f.Dst.Addr())
	switch f.Reason {
	case NoEndpoint, NoPort, NoLocal, SourceRange:
		at := f.Dst
		if f.Front.IsValid() {
			at = f.Front
		}
		return []string{at.String() + "/" + strings.ToLower(name)}
	case NoGateway:
		return []string{from, to}
	}
	switch f.Protocol {
	case 6, 17, 132:
		return []string{from, to, strconv.Itoa(int(f.Dst.Port())) + "/" + strings.ToLower(name)}
	}
	return nil
}

func (o *Owner) word(a netip.Addr) string {
	if o.Pod != "" {
		return o.Namespace + "/" + o.Pod
	}
	return a.String()
}
