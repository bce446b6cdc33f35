package page

import (
	"strings"
	"testing"
	"time"

	"kube-router/internal/flow"
)

// halves are what the two nodes of a client and of a pod tell of one connection to a Service.
func halves(at time.Time) (client, end flow.Record) {
	client = passed("n1", 1, "shop/web", at)
	client.Flow.Direction = "EGRESS"
	end = passed("n2", 1, "shop/web", at.Add(3*time.Millisecond))
	end.Flow.Service, end.Own = nil, nil
	return client, end
}

func TestHalves(t *testing.T) {
	now := time.Now()
	client, end := halves(now)
	refusal := end
	body := *end.Flow
	body.Verdict, body.IngressBy, body.UUID = flow.Dropped, []flow.Denier{{Name: "closed", Namespace: "shop", Kind: "NetworkPolicy"}}, "drop"
	refusal.Flow, refusal.Own = &body, &flow.Own{Reason: "default deny"}
	masked := end // the pod sees the node's address
	other := *end.Flow
	other.IP.Source, other.L4, other.Source = "192.0.2.1", &flow.L4{TCP: &flow.Ports{Source: 40000, Destination: 8080}}, flow.End{}
	masked.Flow, masked.Own = &other, &flow.Own{SourceNode: "n1"}
	outside := client
	world := *client.Flow
	world.Source, world.Direction = flow.End{Identity: 2}, "TRAFFIC_DIRECTION_UNKNOWN"
	outside.Flow, outside.Own = &world, &flow.Own{Frontend: "172.30.0.11:30080", Seen: "192.0.2.1:40000"}

	for what, c := range map[string]struct {
		records []flow.Record
		after   time.Duration
		want    string // verdict path nodes; …
	}{
		"client first":              {[]flow.Record{client, end}, 0, "forwarded default/client-1 s:shop/web shop/web n1,n2"},
		"end first":                 {[]flow.Record{end, client}, 0, "forwarded default/client-1 s:shop/web shop/web n1,n2"},
		"refused at the end":        {[]flow.Record{client, refusal}, 0, "refused default/client-1 s:shop/web shop/web n1,n2"},
		"refused, told of first":    {[]flow.Record{refusal, client}, 0, "refused default/client-1 s:shop/web shop/web n1,n2"},
		"the end alone, too early":  {[]flow.Record{end}, patience / 2, ""},
		"the end alone":             {[]flow.Record{end}, 2 * patience, "forwarded default/client-1 shop/web n2"},
		"the client alone":          {[]flow.Record{client}, 2 * patience, "sent default/client-1 s:shop/web shop/web n1"},
		"a refusal alone":           {[]flow.Record{refusal}, 2 * patience, "refused default/client-1 shop/web n2"},
		"from outside by a node":    {[]flow.Record{masked, outside}, 0, "forwarded world s:shop/web shop/web n1,n2"},
		"from outside, other order": {[]flow.Record{outside, masked}, 0, "forwarded world s:shop/web shop/web n1,n2"},
		"both on one node":          {[]flow.Record{passed("n1", 1, "shop/web", now)}, 0, "forwarded default/client-1 s:shop/web shop/web n1"},
	} {
		h := newHub()
		h.now = func() time.Time { return now }
		for _, r := range c.records {
			h.take(r)
		}
		h.now = func() time.Time { return now.Add(c.after) }
		b, _ := h.since(0, kept)
		var got []string
		for _, l := range b.Lines {
			var words []string
			for _, v := range l.path() {
				words = append(words, strings.NewReplacer("w:", "", "Deployment/", "").Replace(v.ID))
			}
			got = append(got, l.Verdict+" "+strings.Join(words, " ")+" "+strings.Join(l.Nodes, ","))
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %q, want %q", what, text, c.want)
		}
	}
}

// TestHalfTooLate: a half that comes after the other has been shown is not shown as another connection.
func TestHalfTooLate(t *testing.T) {
	now := time.Now()
	h := newHub()
	client, end := halves(now)
	for _, r := range []flow.Record{end, client} {
		h.now = func() time.Time { return now }
		h.take(r)
		now = now.Add(2 * patience)
		h.since(0, kept)
	}
	if h.next != 2 {
		t.Errorf("%d lines", h.next-1)
	}
}

// TestSentWhereRefused: nodes tell of ten refusals a minute; the rest, of which the client's node alone told, doesn't pass for connections.
func TestSentWhereRefused(t *testing.T) {
	g := newGraph()
	now := time.Now()
	l := lineOf(passed("n1", 1, "shop/web", now))
	l.Verdict = refused
	g.add(&l)
	l.Verdict = sent
	g.add(&l)
	l.Time = now.Add(2 * time.Minute)
	g.add(&l)
	for _, e := range g.snapshot(l.Time, "").Edges {
		if e.Total != 2 || e.Ended != 1 || e.Passed != 1 || e.Refused != 0 {
			t.Errorf("%+v", e)
		}
	}
}
