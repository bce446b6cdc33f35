package flow

import (
	"fmt"
	"net/netip"
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
	tests [][]func(*Flow) bool
}

// NewFilter makes a filter of "KEY=VALUE".
func NewFilter(terms []string) (*Filter, error) {
	byKey, order := map[string][]func(*Flow) bool{}, []string{}
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
		if !slices.ContainsFunc(any, func(t func(*Flow) bool) bool { return t(w) }) {
			return false
		}
	}
	return true
}

func newTest(key, value string) (func(*Flow) bool, error) {
	switch key {
	case "verdict":
		return verdictTest(value)
	case "reason":
		return func(f *Flow) bool {
			return f.Reason != Passed && (strings.Contains(f.Reason.String(), value) || strings.EqualFold(words()[f.Reason].hubble, value))
		}, nil
	case "protocol":
		return protocolTest(value)
	case "traffic-direction":
		d := map[string]Direction{"ingress": Ingress, "egress": Egress}[strings.ToLower(value)]
		if d == Through {
			return nil, fmt.Errorf("neither ingress nor egress")
		}
		return func(f *Flow) bool { return f.Direction == d }, nil
	case "to-service":
		namespace, name, ok := strings.Cut(value, "/")
		if !ok {
			namespace, name = "", value
		}
		return func(f *Flow) bool {
			return f.Service != nil && f.Service.Name == name && (namespace == "" || f.Service.Namespace == namespace)
		}, nil
	}
	base, from, to := key, true, true
	if rest, ok := strings.CutPrefix(key, "from-"); ok {
		base, to = rest, false
	} else if rest, ok := strings.CutPrefix(key, "to-"); ok {
		base, from = rest, false
	}
	return endTest(base, value, from, to)
}

func verdictTest(value string) (func(*Flow) bool, error) {
	switch v := strings.ToUpper(value); v {
	case Forwarded, Dropped:
		return func(f *Flow) bool { return f.Verdict() == v }, nil
	case "REFUSED":
		return func(f *Flow) bool { return f.Reason != Passed && !f.Reason.Silent() }, nil
	}
	return nil, fmt.Errorf("none of FORWARDED, DROPPED, REFUSED")
}

func protocolTest(value string) (func(*Flow) bool, error) {
	numbers := map[string][]uint8{"tcp": {6}, "udp": {17}, "sctp": {132}, "icmp": {1, 58}, "icmpv4": {1}, "icmpv6": {58}}[strings.ToLower(value)]
	if numbers == nil {
		return nil, fmt.Errorf("none of tcp, udp, sctp, icmp, icmpv4, icmpv6")
	}
	return func(f *Flow) bool { return slices.Contains(numbers, f.Protocol) }, nil
}

// endTest judges one end or both.
func endTest(base, value string, from, to bool) (func(*Flow) bool, error) {
	either := func(has func(*Owner) bool) (func(*Flow) bool, error) {
		return func(f *Flow) bool { return from && has(f.Source) || to && has(f.Dest) }, nil
	}
	switch base {
	case "pod":
		namespace, name, ok := strings.Cut(value, "/")
		if !ok {
			namespace, name = "default", value
		}
		return either(func(o *Owner) bool { return o.Pod != "" && o.Namespace == namespace && strings.HasPrefix(o.Pod, name) })
	case "namespace":
		return either(func(o *Owner) bool { return o.Pod != "" && o.Namespace == value })
	case "label":
		key, want, exact := strings.Cut(value, "=")
		return either(func(o *Owner) bool {
			have, ok := o.Labels[key]
			return ok && (!exact || have == want)
		})
	case "workload":
		return either(func(o *Owner) bool { return o.Workload == value })
	case "port":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("not a port")
		}
		port := uint16(n)
		return func(f *Flow) bool {
			return from && f.Src.Port() == port || to && (f.Dst.Port() == port || f.Front.IsValid() && f.Front.Port() == port)
		}, nil
	}
	p, err := netip.ParsePrefix(value)
	if a, failed := netip.ParseAddr(value); failed == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil {
		return nil, fmt.Errorf("neither an address nor a range")
	}
	return func(f *Flow) bool {
		return from && p.Contains(f.Src.Addr()) || to && (p.Contains(f.Dst.Addr()) || f.Front.IsValid() && p.Contains(f.Front.Addr()))
	}, nil
}

// Question is what is asked of a node.
type Question struct {
	Filter *Filter
	Last   int       // that many at most, the latest; 0: all
	Since  time.Time // zero: from the beginning
	From   string    // a cursor of an earlier answer: only what came later
}

// NewQuestion reads "KEY=VALUE" of filters, and last=N, since=5m or a time of RFC 3339, from=CURSOR.
func NewQuestion(args []string, now time.Time) (Question, error) {
	var q Question
	var terms []string
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		var err error
		switch key {
		case "last":
			q.Last, err = strconv.Atoi(value)
		case "from":
			q.From = value
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
	q.Filter, err = NewFilter(terms)
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
	Records []Record `json:"records"`
	Next    string   `json:"next"` // cursor: what comes after this answer
	More    bool     `json:"more"` // there is more already
}

// Choice is what a command was told: the values of each filter's flag, and how much of what matches is wanted.
type Choice struct {
	Values map[string]*[]string // by the filters' names
	Last   int
	Since  string
	All    bool
	Follow bool
}

// few is how many flows are shown where nobody says how many.
const few = 20

// After are the arguments of view "flows" for what comes behind an answer.
func (c *Choice) After(next string) []string { return append(c.filters(), "from="+next) }

// Args are the arguments of view "flows".
func (c *Choice) Args() []string {
	list := c.filters()
	last := c.Last
	if last == 0 && c.Since == "" && !c.All {
		last = few
	}
	if c.Since != "" {
		list = append(list, "since="+c.Since)
	}
	if last > 0 {
		list = append(list, "last="+strconv.Itoa(last))
	}
	return list
}

func (c *Choice) filters() (list []string) {
	for _, k := range Keys() {
		if v := c.Values[k.Name]; v != nil {
			for _, text := range *v {
				list = append(list, k.Name+"="+text)
			}
		}
	}
	return list
}
