package config

import (
	"testing"

	"github.com/spf13/pflag"
)

func TestAct(t *testing.T) {
	for _, c := range []struct {
		args []string
		euid int
		want Action
		fail bool
	}{
		{nil, 0, ActRun, false},
		{nil, 1000, "", true},
		{[]string{"--help"}, 1000, ActHelp, false},
		{[]string{"-h", "extra"}, 1000, ActHelp, false},
		{[]string{"--version"}, 1000, ActVersion, false},
		{[]string{"-V", "--bgp-port=x"}, 1000, ActVersion, false},
		{[]string{"--version=false"}, 0, ActRun, false},
		{[]string{"--version=x"}, 0, ActRun, false}, // Options names the fault
		{[]string{"extra"}, 0, "", true},
		{[]string{"--run-router", "false"}, 0, "", true},
		{[]string{"--cleanup-config"}, 0, ActCleanup, false},
		{[]string{"--cleanup-config"}, 1000, "", true},
		{[]string{"--cleanup-config", "extra"}, 0, "", true},
	} {
		set := pflag.NewFlagSet("test", pflag.ContinueOnError)
		raw := Flags(set)
		if err := set.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		have, err := raw.Act(set.Args(), c.euid)
		if have != c.want || (err != nil) != c.fail {
			t.Errorf("%q as %d: %q, %v; want %q", c.args, c.euid, have, err, c.want)
		}
	}
}

func TestUnknownFlags(t *testing.T) {
	for _, arg := range []string{"--log-format=x", "--run-network-policy-controller", "--bgp-prot=1", "-x"} {
		set := pflag.NewFlagSet("test", pflag.ContinueOnError)
		Flags(set)
		if err := set.Parse([]string{arg}); err == nil {
			t.Errorf("%s is accepted", arg)
		}
	}
}

func TestNothing(t *testing.T) {
	off := []string{"--run-router=false", "--run-firewall=false", "--run-service-proxy=false"}
	balancer := []string{"--run-loadbalancer", "--loadbalancer-ip-range=10.9.0.0/24"}
	for i := range off {
		args := append([]string{}, off...)
		args[i] = "--v=0"
		if o, err := parse(t, caseHost(), args...); err != nil || o.Nothing() {
			t.Errorf("%q: counts as nothing (%v)", args, err)
		}
	}
	for _, args := range [][]string{off, append(off, balancer...)} {
		if o, err := parse(t, caseHost(), args...); err != nil || !o.Nothing() {
			t.Errorf("%q: does not count as nothing (%v)", args, err)
		}
	}
}
