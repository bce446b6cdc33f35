package view

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kube-router/internal/show"
	"kube-router/internal/watch/kube"
	"kube-router/internal/watch/peer"
)

// soon is how long the first look waits for the thinking goroutine. It must answer above all when that one hangs.
const soon = time.Second

// fact is one line of the first look.
type fact struct{ name, value string }

// summary is the first look: is this node well, and if not, why.
func (d *Daemon) summary(ctx context.Context, _ []string) (show.Page, error) {
	pulse := d.Pulse()
	state, why := "well", pulse.Unhealthy(time.Now())
	if missing := pulse.NotReady(); len(missing) > 0 {
		state, why = "starting", append(missing, why...)
	} else if len(why) > 0 {
		state = "unwell"
	}
	if pulse.NoPath != "" {
		state, why = "unwell", append(why, "no path to other nodes: "+pulse.NoPath)
	}
	if pulse.Blocked != "" {
		state, why = "unwell", append(why, pulse.Blocked)
	}
	failing, rows := 0, 0
	for _, t := range pulse.Tables {
		failing += len(t.Failing)
		if t.Broken != "" {
			failing++ // the whole table, as `show failing` tells it
		}
		rows += t.Want
	}
	remarks := "unknown"
	short, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	if list, err := d.Remarks(short); err == nil {
		remarks = strconv.Itoa(len(list))
	} else if busy := d.Busy(); busy > 0 && busy <= show.Stuck {
		why = append(why, fmt.Sprintf("one thought has taken %s so far; what is new since then waits for it", busy.Round(time.Second)))
	}
	facts := []fact{
		{"node", d.Options.Settings.Node}, {"state", state}, {"version", d.Version},
		{"up", time.Since(d.Born).Round(time.Second).String()}, {"service engine", string(d.Options.Settings.Services.Engine)},
		{"API server", apiFact(d.Sources())},
	}
	if d.Sessions != nil {
		facts = append(facts, fact{"BGP sessions", sessionsFact(d.Sessions(ctx, false))})
	}
	if d.Options.Settings.Encryption.On {
		facts = append(facts, fact{"encrypted", d.wireFact(short)})
	}
	facts = append(facts, fact{"rows", strconv.Itoa(rows)}, fact{"failing", strconv.Itoa(failing)}, fact{"remarks", remarks})
	if d.Options.Settings.CNI.Enabled && d.Options.Settings.Router {
		facts = append(facts, fact{"CNI file", cniFact(d.Options.Settings.CNI.File)}, fact{"CNI plugin", connects(d.Options.Settings.CNI)})
	}
	return summaryPage(facts, why), nil
}

func summaryPage(facts []fact, why []string) show.Page {
	p, data := show.Page{}, map[string]any{"why": why}
	for _, f := range facts {
		p.Rows = append(p.Rows, []string{f.name, f.value})
		data[strings.ReplaceAll(f.name, " ", "_")] = f.value
		if f.name == "state" {
			for _, w := range why {
				p.Rows = append(p.Rows, []string{"", w})
			}
		}
	}
	p.Data = data
	return p
}

// apiFact tells whether the node hears of changes. It forwards and is well without, but what it does may be old.
func apiFact(sources []kube.SourceStatus) string {
	var first *kube.SourceStatus
	cut := 0
	for i, s := range sources {
		if s.Connected || s.Since.IsZero() {
			continue
		}
		if cut++; first == nil || s.Since.Before(first.Since) {
			first = &sources[i]
		}
	}
	if first == nil {
		return "answers"
	}
	return fmt.Sprintf("NO ANSWER since %s for %d of %d watches: this node goes on with what it knows; %s",
		first.Since.Format(time.TimeOnly), cut, len(sources), first.LastError)
}

// sessionsFact counts the sessions that stand.
func sessionsFact(list []peer.State, err error) string {
	if err != nil {
		return "unknown: the speaker does not answer: " + err.Error()
	}
	stand := 0
	for _, s := range list {
		if s.Established() {
			stand++
		}
	}
	text := fmt.Sprintf("%d of %d established", stand, len(list))
	if stand < len(list) {
		text += "; see kube-router show peers"
	}
	return text
}
