package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/show"
	"kube-router/internal/watch/kube"
	"kube-router/internal/watch/peer"
)

// daemonFacts are what a running daemon says about itself.
type daemonFacts struct {
	silent  bool // it takes questions and answers none
	state   string
	why     []string
	rows    string
	up      string
	failing []show.FailingRow
	sources []kube.SourceStatus
	peers   []peer.State
	peerErr error
	wires   []wireFact
	wireErr error
	remarks []model.Remark
}

// askDaemon asks the daemon at a socket for all that it knows to be wrong; false: nobody answers. One that hangs must
// leave the doctor time for the rest.
func askDaemon(ctx context.Context, socket string) (daemonFacts, bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var d daemonFacts
	var sum struct {
		State, Rows, Up string
		Why             []string
	}
	if _, err := show.AskInto(ctx, socket, "summary", nil, &sum); err != nil {
		d.silent = errors.Is(err, show.ErrSilent)
		return d, false
	}
	d.state, d.rows, d.up, d.why = sum.State, sum.Rows, sum.Up, sum.Why
	for view, into := range map[string]any{"failing": &d.failing, "sources": &d.sources, "remarks": &d.remarks} {
		if _, err := show.AskInto(ctx, socket, view, nil, into); err != nil {
			d.why = append(d.why, fmt.Sprintf("%s: %v", view, err))
		}
	}
	_, d.peerErr = show.AskInto(ctx, socket, "peers", nil, &d.peers)
	_, d.wireErr = show.AskInto(ctx, socket, "encryption", nil, &d.wires)
	return d, true
}

// shownMost is how many of one kind of fault are told one by one.
const shownMost = 8

// checkDaemon tells what the daemon itself finds wrong.
func checkDaemon(p *patient) []finding {
	d := &p.daemon
	if d.silent {
		return []finding{{bad, "daemon", "hangs: it takes questions at " + p.socket + " and answers none; what follows is judged by the flags of this command",
			"kill -QUIT its process: that ends it, with all its goroutines in its log; the kernel goes on with what it has"}}
	}
	if !p.running {
		return []finding{{warn, "daemon", "no kube-router answers at " + p.socket + "; what follows is judged by the flags of this command",
			"start it; if it does not stay, its log says why; if it has another --control-socket, name that"}}
	}
	list := []finding{{fine, "daemon", fmt.Sprintf("has been up for %s and is well: %s rows in place", d.up, d.rows), ""}}
	switch d.state {
	case "starting":
		list[0] = finding{warn, "daemon", "is starting: " + strings.Join(d.why, "; "), "wait; or see the API server below"}
	case "unwell":
		list[0] = finding{bad, "daemon", "is unwell: " + strings.Join(first(d.why), "; "), "see the rows that fail below"}
	}
	for i, f := range d.failing {
		if i == shownMost {
			list = append(list, finding{bad, "rows", fmt.Sprintf("%d more fail", len(d.failing)-i), "kube-router show failing"})
			break
		}
		list = append(list, finding{bad, "rows: " + f.Table, fmt.Sprintf("fails since %s: %s: %s", f.Since.Format(time.TimeOnly), f.Row, f.Error), mending(f.Table, f.Error)})
	}
	for _, s := range d.sources {
		if !s.Connected {
			list = append(list, finding{bad, "API server", fmt.Sprintf("the watch of %ss is broken since %s: %s", s.Kind, s.Since.Format(time.TimeOnly), s.LastError),
				"the node goes on with what it knows; see the API server and the rights below"})
			break
		}
	}
	if n := len(d.remarks); n > 0 {
		r := d.remarks[0]
		list = append(list, finding{warn, "remarks", fmt.Sprintf("%d; the first: %s", n, r), "kube-router show remarks"})
	}
	return list
}

func first(list []string) []string { return list[:min(len(list), shownMost)] }

// mending are words of errors, and what is to be done about them.
func mending(table, text string) string {
	if table == "bpf" && strings.Contains(text, "operation not permitted") {
		return "an earlier --socket-lb left programs: give the container BPF once more, as the fastpath manifest does, or run kube-router cleanup on the node"
	}
	for _, m := range []struct{ word, fix string }{
		{"not supported", "the kernel lacks something; see its checks below"},
		{"no such device", "a link or module is missing; see the kernel's checks below"},
		{"address already in use", "another program has that port: ss -lntup"},
		{"read-only file system", "mount the host's folder writable, as the manifests in deploy/ do"},
		{"operation not permitted", "run as root, with NET_ADMIN and NET_RAW"},
		{"permission denied", "run as root, with the capabilities of the manifests in deploy/"},
		{"forbidden", "apply the ClusterRole of the manifest; see the rights below"},
		{"connection refused", "nobody listens there; see the API server below"},
		{"no space left", "a table of the kernel is full; its log (dmesg) names it"},
		{"cannot allocate memory", "free memory, or raise the limits of the node"},
	} {
		if strings.Contains(strings.ToLower(text), m.word) {
			return m.fix
		}
	}
	switch table {
	case "conditions", "events", "balancer":
		return "the error is the API server's; it is tried again all the time, and the node's network does without"
	case "bgp":
		return "the error is the BGP speaker's; it is tried again all the time"
	}
	return "the error is the kernel's; it is tried again all the time"
}

// checkSessions judges the BGP sessions.
func checkSessions(p *patient) []finding {
	if !p.running || !p.s.Router {
		return nil
	}
	if p.daemon.peerErr != nil {
		return []finding{{bad, "BGP", "the speaker does not answer: " + p.daemon.peerErr.Error(), "the daemon starts it again; its log says why it ended"}}
	}
	peers := slices.Clone(p.daemon.peers)
	slices.SortFunc(peers, func(a, b peer.State) int { return cmp.Compare(a.Type(), b.Type()) })
	var list []finding
	for _, s := range peers {
		if !s.Established() {
			list = append(list, p.session(s))
		}
	}
	switch {
	case len(peers) == 0:
		return []finding{{fine, "BGP", "no sessions are wanted", ""}}
	case len(list) == 0:
		return []finding{{fine, "BGP", show.Count(len(peers), "session") + " established", ""}}
	case len(list) > shownMost:
		list = append(list[:shownMost], finding{warn, "BGP", fmt.Sprintf("%d more sessions are down", len(list)-shownMost), "kube-router show peers"})
	}
	return list
}

// session tells of one that is down.
func (p *patient) session(s peer.State) finding {
	who, since := "router", "never established"
	if s.Node != "" {
		who = "node " + s.Node
	}
	if !s.Since.IsZero() {
		since = "down for " + time.Since(s.Since).Round(time.Second).String()
	}
	f := finding{warn, "BGP", fmt.Sprintf("the session with %s (%s, AS %d) is %s, %s", s.Addr, who, s.ASN, s.Session, since),
		fmt.Sprintf("is it up, may TCP pass between the two, and are its AS and ours what the other expects? nc -vz %s PORT", s.Addr)}
	if s.Reason != "" {
		f.What += ": " + s.Reason
	}
	switch {
	case strings.Contains(s.Reason, "wrong AS"):
		f.Fix = "give both ends the AS of the other: --peer-router-asns, kube-router.io/peers"
	case strings.Contains(s.Reason, "MD5"):
		f.Fix = "give both ends the same password: --peer-router-passwords-file, kube-router.io/peers, --ibgp-password-file"
	}
	return f
}
