package view

import (
	"context"
	"strings"
	"time"

	"kube-router/internal/flow"
	"kube-router/internal/show"
)

// shown is how many drops a page shows.
const shown = 500

func (d *Daemon) dropsView(ctx context.Context, _ []string) (show.Page, error) {
	counts, err := d.Dropped(ctx)
	if err != nil {
		return show.Page{}, err
	}
	list, since := d.Recent(shown)
	records := make([]flow.Record, len(list))
	p := show.Page{Columns: []string{"when", "where", "why"}, Note: "drops are kept since " + since.Format(time.DateTime)}
	for _, c := range counts {
		if c.Packets > 0 {
			p.Rows = append(p.Rows, []string{"since its start", c.where(), show.Count(c.Packets, "packet") + ", " + show.Count(c.Bytes, "byte")})
		}
	}
	for i := range list {
		records[i] = list[i].Record(d.Options.Settings.Node)
		line := records[i].Line(false)
		when, rest, _ := strings.Cut(line, ": ")
		what, why, _ := strings.Cut(rest, "; ")
		p.Rows = append(p.Rows, []string{when, what, why})
	}
	p.Data = map[string]any{"counters": counts, "drops": records}
	for _, why := range d.Unheard() {
		if strings.HasPrefix(why, "drops") {
			p.Note = "the packets themselves are not seen: " + why
		}
	}
	return p, nil
}

// flowsView answers a question of `kube-router flows`.
func (d *Daemon) flowsView(_ context.Context, args []string) (show.Page, error) {
	q, err := flow.NewQuestion(args, time.Now())
	if err != nil {
		return show.Page{}, err
	}
	a, err := d.Flows(q)
	if err != nil {
		return show.Page{}, err
	}
	p := show.Page{Data: a}
	for _, r := range a.Records {
		p.Rows = append(p.Rows, []string{r.Line(false)})
	}
	if q.From == "" {
		p.Note = strings.Join(d.Unheard(), "; ")
	}
	return p, nil
}
