package flow

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Key is something that flows are chosen by, as a flag of the commands.
type Key struct {
	Name, Doc string
	Value     string // what the value is, for the help
}

// Keys are all of them, under the names that users of hubble know.
func Keys() []Key {
	list := []Key{
		{"verdict", "FORWARDED, DROPPED, or REFUSED: dropped and the sender was told", "VERDICT"},
		{"reason", "a word of why it was dropped: \"default deny\", POLICY_DENIED", "WORDS"},
		{"protocol", "tcp, udp, sctp, icmp", "PROTOCOL"},
		{"traffic-direction", "ingress or egress, as the node that saw it has it", "DIRECTION"},
		{"id", "a flow's identifier, as -o wide and JSON have it", "UUID"},
		{"to-service", "NAMESPACE/NAME that the client sent to; without a namespace in every one", "SERVICE"},
	}
	for _, k := range []Key{
		{"pod", "pods whose name begins so: NAMESPACE/NAME, or NAME in namespace default", "POD"}, {"namespace", "pods of a namespace", "NAMESPACE"},
		{"label", "pods with a label: KEY or KEY=VALUE", "LABEL"}, {"workload", "pods of a workload, such as a Deployment", "NAME"},
		{"ip", "an address or a range", "IP"}, {"port", "a port, of either end or of the frontend", "PORT"},
	} {
		list = append(list, k, Key{"from-" + k.Name, "the same of the client alone", k.Value}, Key{"to-" + k.Name, "the same of the server alone", k.Value})
	}
	return list
}

// Filter chooses flows. One key said twice is either, two keys are both.
type Filter struct {
	tests [][]test
	part  bool // what is judged may be a part of a flow, of which other nodes see more
}

// test judges a flow. Of a part it must not say no where another node's part of the same flow may change the answer.
type test func(f *Flow, part bool) bool

// NewFilter makes a filter of "KEY=VALUE".
func NewFilter(terms []string) (*Filter, error) {
	byKey, order := map[string][]test{}, []string{}
	for _, t := range terms {
		key, value, ok := strings.Cut(t, "=")
		if !ok || !slices.ContainsFunc(Keys(), func(k Key) bool { return k.Name == key }) {
			return nil, fmt.Errorf("%q: not one of the filters KEY=VALUE; see kube-router flows --help", t)
		}
		test, err := newTest(key, value)
		if err != nil {
			return nil, fmt.Errorf("--%s %q: %w", key, value, err)
		}
		if byKey[key] == nil {
			order = append(order, key)
		}
		byKey[key] = append(byKey[key], test)
	}
	f := &Filter{}
	for _, key := range order {
		f.tests = append(f.tests, byKey[key])
	}
	return f, nil
}

// Matches tells whether a flow is chosen. What was lost always is: it might have been.
func (f *Filter) Matches(w *Flow) bool {
	if w.Lost > 0 {
		return true
	}
	for _, any := range f.tests {
		if !slices.ContainsFunc(any, func(t test) bool { return t(w, f.part) }) {
			return false
		}
	}
	return true
}

// Question is what is asked of a node.
type Question struct {
	Filter *Filter
	Last   int       // that many at most, the latest; 0: all
	Since  time.Time // zero: from the beginning
	From   string    // a cursor of an earlier answer: only what came later
}

// NewQuestion reads "KEY=VALUE" of filters, and last=N, since=5m or a time of RFC 3339, from=CURSOR, part=true for who puts
// parts of flows together.
func NewQuestion(args []string, now time.Time) (Question, error) {
	var q Question
	var terms []string
	part := false
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		var err error
		switch key {
		case "last":
			q.Last, err = strconv.Atoi(value)
		case "from":
			q.From = value
		case "part":
			part, err = strconv.ParseBool(value)
		case "since":
			q.Since, err = sinceOf(value, now)
		default:
			terms = append(terms, a)
		}
		if err != nil || q.Last < 0 {
			return q, fmt.Errorf("--%s %q: not understood", key, value)
		}
	}
	var err error
	if q.Filter, err = NewFilter(terms); err == nil {
		q.Filter.part = part
	}
	return q, err
}

func sinceOf(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	return time.Parse(time.RFC3339, text)
}

// Answer is what a node says.
type Answer struct {
	Node    string   `json:"node"`
	Records []Record `json:"records"`
	Next    string   `json:"next"` // cursor: what comes after this answer
	More    bool     `json:"more"` // there is more already
}
