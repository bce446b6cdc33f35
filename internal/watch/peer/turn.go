package peer

import "slices"

// Turn is a session that came up or went down, or one that doesn't come up for another reason than before.
type Turn struct {
	State
	Up    bool
	Fresh bool     // of Up: it came up in this daemon's life; else it stood when the daemon came
	Vain  bool     // it was down before, too
	Nodes []string // those that sessions lead to, each of which may tell of this one's other end
}

// mostReasons are told of a session that doesn't come up: what it meets may change to and fro.
const mostReasons = 5

// between is what happened to a session since it was last looked at. Between two looks one may have ended and another begun.
func (w *Watch) between(was, is State, ended bool) (turns []Turn) {
	if is.Established() {
		delete(w.vain, is.Addr)
	}
	if ended {
		down := is
		down.Session = "IDLE"
		turns = append(turns, Turn{State: down})
	}
	switch {
	case is.Established() && (ended || !was.Established()):
		turns = append(turns, Turn{State: is, Up: true, Fresh: is.Since.After(w.born)})
	case !is.Established() && is.Reason != "" && !slices.Contains(w.vain[is.Addr], is.Reason) && len(w.vain[is.Addr]) < mostReasons:
		w.vain[is.Addr] = append(w.vain[is.Addr], is.Reason)
		if !ended {
			turns = append(turns, Turn{State: is, Vain: true})
		}
	}
	return turns
}

// turned logs one line, and tells whoever wants to know.
func (w *Watch) turned(t Turn) {
	about := []any{"peer", t.Addr, "as", t.ASN, "type", t.Type()}
	if t.Node != "" {
		about = append(about, "node", t.Node)
	}
	reason := t.Reason
	if reason == "" {
		reason = "unknown"
	}
	switch {
	case t.Up && t.Fresh:
		w.Log.Info("BGP session is up", about...)
	case t.Up:
		w.Log.Info("BGP session is established", append(about, "since", t.Since)...)
	case t.Vain:
		w.Log.Warn("BGP session doesn't come up", append(about, "reason", reason)...)
	default:
		w.Log.Warn("BGP session is down", append(about, "reason", reason)...)
	}
	if w.Turned != nil {
		w.Turned(t)
	}
}
