package config

import (
	"slices"

	"github.com/spf13/pflag"
)

// old are the flags of kube-router's first releases (0.0.x) that later ones renamed or dropped. Command lines of then go on
// working: what has a meaning today is taken for the flag of today, the rest has no effect, and each use is remarked on.
var old = []struct {
	name, typ string
	now       string // the flag that takes its place; empty: none does
	why       string // why there is none
}{
	{"peer-router", "string", "peer-router-ips", ""},
	{"peer-asn", "uint", "peer-router-asns", ""},
	{"peer-router-asn", "uint", "peer-router-asns", ""},
	{"peer-router-password", "string", "peer-router-passwords", ""},
	{"cluster-ip-cidr", "string", "service-cluster-ip-range", ""},
	{"config-sync-period", "duration", "", "changes are seen at once"},
	{"logtostderr", "bool", "", "the log always goes to standard error"},
	{"alsologtostderr", "bool", "", "the log always goes to standard error"},
	{"stderrthreshold", "string", "", "the log always goes to standard error; use --v for how much there is"},
	{"log-dir", "string", "", "the log always goes to standard error"},
	{"log_dir", "string", "", "the log always goes to standard error"},
	{"log-backtrace-at", "string", "", "there are no backtraces; use --v for how much is logged"},
	{"log_backtrace_at", "string", "", "there are no backtraces; use --v for how much is logged"},
	{"vmodule", "string", "", "use --v for how much is logged"},
}

// oldWords is the pflag.Value of an old flag.
type oldWords struct {
	raw  *Raw
	to   *words // nil: the value has no effect
	name string
	typ  string
}

// Set remembers the use, and hands the value on.
func (o *oldWords) Set(s string) error {
	if !slices.Contains(o.raw.old, o.name) {
		o.raw.old = append(o.raw.old, o.name)
	}
	if o.to == nil {
		return nil
	}
	return o.to.Set(s)
}

// Type names the flag's type.
func (o *oldWords) Type() string { return o.typ }

// String is nothing: the value in force is that of the flag of today.
func (o *oldWords) String() string { return "" }

// oldFlags registers the old flags on a set; its usage doesn't show them.
func (r *Raw) oldFlags(set *pflag.FlagSet) {
	for _, f := range old {
		p := set.VarPF(&oldWords{r, r.words[f.now], f.name, f.typ}, f.name, "", "Of the first releases.")
		p.Hidden = true
		if f.typ == "bool" {
			p.NoOptDefVal = "true"
		}
	}
}

// oldRemarks tells of each old flag what to say in its place.
func (d *draft) oldRemarks(used []string) {
	for _, f := range old {
		switch {
		case !slices.Contains(used, f.name):
		case f.now != "":
			d.remark("--%s is obsolete and still taken for --%s, the name of today: use that", f.name, f.now)
		default:
			d.remark("--%s is obsolete and has no effect: %s; leave it out", f.name, f.why)
		}
	}
}
