package flow

import (
	"fmt"
	"strings"
)

// Line prints a record as Hubble's compact form does, with what we know beyond it behind:
// "Nov 30 12:53:48.043: shop/client-1:41813 -> shop/web-2:8080 FORWARDED (TCP) by Service shop/web at 10.96.0.10:80".
// Wide is with the nodes that saw it in front, and its identifier behind.
func (r Record) Line(wide bool) string {
	text := r.Time.Local().Format("Jan _2 15:04:05.000")
	if !wide || r.Flow == nil {
		return r.line(text)
	}
	nodes := r.NodeName
	if r.Own != nil && len(r.Own.SeenBy) > 0 {
		nodes = strings.Join(r.Own.SeenBy, " ")
	}
	return r.line(text+" ["+nodes+"]") + "; id " + r.Flow.UUID
}

func (r Record) line(text string) string {
	switch {
	case r.Lost != nil:
		return fmt.Sprintf("%s: EVENTS LOST: %s %d on %s", text, r.Lost.Source, r.Lost.Number, r.NodeName)
	case r.NodeStatus != nil:
		return fmt.Sprintf("%s: %s: %s %s", text, r.NodeStatus.Change, strings.Join(r.NodeStatus.Nodes, ", "), r.NodeStatus.Why)
	case r.Flow == nil:
		return text
	}
	b, own := r.Flow, r.Own
	if own == nil {
		own = &Own{}
	}
	protocol, from, to := b.protocolName()
	text += fmt.Sprintf(": %s -> %s %s (%s)", b.at(b.Source, b.IP.Source, from, own.SourceNode), b.at(b.Destination, b.IP.Destination, to, own.DestNode), b.Verdict, protocol)
	if b.Service != nil {
		text += " by Service " + b.Service.Namespace + "/" + b.Service.Name
		if own.Frontend != "" {
			text += " at " + own.Frontend
		}
	} else if own.Frontend != "" {
		text += " sent to " + own.Frontend
	}
	if own.Gateway != "" {
		text += " by EgressGateway " + own.Gateway
		if own.LeavesAs != "" {
			text += " from " + own.LeavesAs
		}
	}
	if b.Verdict == Dropped {
		return text + own.ended(b)
	}
	if own.Ended != nil {
		text += fmt.Sprintf("; ended after %s, %d packets (%d bytes) out, %d (%d) in", own.Ended.Sub(b.Time).Round(1e6), own.PacketsOut, own.BytesOut, own.PacketsIn, own.BytesIn)
	}
	return text
}

// ended says who ended a flow.
func (o *Own) ended(b *Body) string {
	how := "refused"
	if o.Silent {
		how = "dropped"
	}
	text := "; " + how + ": " + o.Reason
	if o.Reason == Forged.String() {
		text += " " + b.IP.Source
	}
	if o.Tier != "" {
		text += " in tier " + o.Tier
	}
	direction, by := "ingress", b.IngressBy
	if len(b.EgressBy) > 0 {
		direction, by = "egress", b.EgressBy
	}
	if len(by) > 0 {
		var names []string
		for _, p := range by {
			names = append(names, strings.TrimPrefix(p.Namespace+"/"+p.Name, "/"))
		}
		text += fmt.Sprintf(" (%s) by %s %s", direction, by[0].Kind, strings.Join(names, ", "))
	}
	if o.Rule != "" {
		text += ", " + o.Rule
	}
	if o.Times > 1 {
		text += fmt.Sprintf(" ×%d", o.Times)
	}
	return text
}
