package doctor

import (
	"fmt"

	"kube-router/internal/show"
)

// wireFact is what the daemon says of another node that it speaks with through WireGuard.
type wireFact struct {
	Node, State    string
	Encrypted      bool
	Silent         bool
	Received, Sent int64
}

// checkEncryption judges how other nodes are reached through WireGuard.
func checkEncryption(p *patient) []finding {
	if !p.running || !p.s.Encryption.On {
		return nil
	}
	if p.daemon.wireErr != nil {
		return []finding{{bad, "encryption", "WireGuard does not answer: " + p.daemon.wireErr.Error(), "see the rows that fail above; where a process carries it, the daemon starts it again"}}
	}
	var list []finding
	good, silent := 0, 0
	for _, w := range p.daemon.wires {
		switch {
		case w.Encrypted:
			good++
		case w.Silent:
			silent++
			fallthrough
		default:
			list = append(list, finding{warn, "encryption", fmt.Sprintf("node %s: %s", w.Node, w.State),
				fmt.Sprintf("is it up, has it --encryption=wireguard, and may UDP pass both ways (--wireguard-port, %d here)?", p.s.Encryption.Port)})
		}
	}
	if silent > 1 && good == 0 {
		list = append([]finding{{bad, "encryption", "no node answers through WireGuard", fmt.Sprintf("a firewall on this node or before it drops UDP port %d", p.s.Encryption.Port)}}, list...)
	}
	if len(list) > shownMost {
		list = append(list[:shownMost], finding{warn, "encryption", fmt.Sprintf("%d more nodes", len(list)-shownMost), "kube-router show encryption"})
	}
	if len(list) == 0 {
		return []finding{{fine, "encryption", show.Count(len(p.daemon.wires), "node") + " reached through WireGuard", ""}}
	}
	return list
}
