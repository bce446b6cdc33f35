package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// withFile is a host with a settings file at /c.yaml.
func withFile(text string) host {
	h := caseHost()
	h.files["/c.yaml"] = text
	return h
}

// TestFileSaysTheSame gives every case of every flag through the file.
func TestFileSaysTheSame(t *testing.T) {
	process := map[string]bool{}
	for _, f := range Table() {
		process[f.Name] = f.Process
	}
	for _, c := range flagCases() {
		if process[c.flag] {
			continue
		}
		want, err := parse(t, caseHost(), c.args(c.value)...)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, arg := range c.args(`"` + c.value + `"`) {
			key, value, ok := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
			if !ok {
				value = "true"
			}
			text.WriteString(key + ": " + value + "\n")
		}
		have, err := parse(t, withFile(text.String()), "--config=/c.yaml")
		if err != nil {
			t.Fatalf("%s%v", text.String(), err)
		}
		if d := cmp.Diff(want, have, same()); d != "" {
			t.Errorf("%s(-flag +file):\n%s", text.String(), d)
		}
	}
}

func TestFileForms(t *testing.T) {
	o, err := parse(t, withFile(`
# comment
bgp-port: 1179
cluster-asn: 4200000000
run-firewall: false
excluded-cidrs:
- 10.0.0.0/8
- 10.1.0.0/16,10.2.0.0/16
loadbalancer-ip-range: []
pod-egress-exclude: 10.3.0.0/16
`), "--config=/c.yaml", "--pod-egress-exclude=10.4.0.0/16", "--bgp-port=2179")
	if err != nil {
		t.Fatal(err)
	}
	s := o.Settings
	if s.BGP.Port != 2179 || s.BGP.ASN != 4200000000 || s.Firewall || len(s.Allocator.Ranges) != 0 {
		t.Errorf("have %+v", s)
	}
	if d := cmp.Diff(cidrs("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"), s.Services.Excluded, same()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(cidrs("10.4.0.0/16"), s.Routes.EgressExclude, same()); d != "" {
		t.Errorf("the command line must replace the file's list: %s", d)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "null\n", "{}"} {
		if _, err := parse(t, withFile(empty), "--config=/c.yaml"); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

func TestFileFaults(t *testing.T) {
	for text, want := range map[string]string{
		"bgp-prot: 1":                 `line 1: "bgp-prot": no such setting`,
		"v: 1\nv: 2":                  `line 2: "v": said twice`,
		"v: [1, 2]":                   `"v": takes one value, not a list`,
		"v:":                          `"v": has no value`,
		"v: {a: b}":                   `"v": has no value`,
		"excluded-cidrs: [[a]]":       `"excluded-cidrs": has an entry`,
		"help: true":                  `"help": belongs to the command line`,
		"cleanup-config: true":        `"cleanup-config": belongs to the command line`,
		"config: /d.yaml":             `"config": belongs to the command line`,
		"- a":                         "not a mapping",
		"a":                           "not a mapping",
		"v: 1\n---\nv: 2":             "more than one YAML document",
		"v: 1\n\tx: [":                "line 2: not YAML",
		"bgp-port: x":                 `--bgp-port "x" (/c.yaml line 1): not a number`,
		"run-router: yes":             `--run-router "yes" (/c.yaml line 1): neither true nor false`,
		"peer-router-passwords: '#s'": `--peer-router-passwords (secret) (/c.yaml line 1): a password is not base64`,
	} {
		_, err := parse(t, withFile(text), "--config=/c.yaml")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
	if _, err := parse(t, plain(), "--config=/nowhere"); err == nil || !strings.Contains(err.Error(), `--config "/nowhere": `) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestAllFaultsTogether(t *testing.T) {
	_, err := parse(t, withFile("no-such: 1\nbgp-holdtime: 1s\n"), "--config=/c.yaml",
		"--bgp-port=x", "--overlay-type=any", "--enable-ipv4=false", "--peer-router-ips=10.0.0.1,10.0.0.2",
		"--peer-router-asns=64513", "--excluded-cidrs=a,b", "--enable-bfd", "--bfd-port=0")
	if err == nil {
		t.Fatal("accepted")
	}
	have := strings.Split(err.Error(), "\n")
	for _, want := range []string{
		`"no-such": no such setting`, `--bgp-holdtime "1s" (/c.yaml line 2)`, `--bgp-port "x" (command line)`,
		`--overlay-type "any"`, `--enable-ipv4 "false"`, `--service-cluster-ip-range "10.96.0.0/12"`,
		"--peer-router-asns: 1 entries for 2 addresses", `--excluded-cidrs "a"`, `--excluded-cidrs "b"`, `--bfd-port "0"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in:\n%v", want, err)
		}
	}
	if len(have) != 10 {
		t.Errorf("want 10 faults, have %d:\n%v", len(have), err)
	}
}

func TestCheckText(t *testing.T) {
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	raw := Flags(set)
	args := []string{"--config=/c.yaml", "--peer-router-ips=10.0.0.1", "--peer-router-asns=64513", "--peer-router-passwords=aGlkZGVu", "--bgp-port=0"}
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	h := withFile("bgp-holdtime: 30s\n")
	text, faults := raw.Check(h.getenv, h.read)
	if faults != 1 {
		t.Errorf("%d faults are counted", faults)
	}
	flat := strings.Join(strings.Fields(text), " ")
	for _, want := range []string{
		"bgp-holdtime 30s /c.yaml line 1", "overlay-encap ipip default", "peer-router-ips 10.0.0.1 command line",
		"peer-router-passwords (secret) command line", "excluded-cidrs - default", "node n1",
		`fault: --bgp-port "0" (command line): not a number from 1 to 65535`, "remark: --peer-router-passwords: ", "1 fault, 1 remark",
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if strings.Contains(text+set.FlagUsages(), "aGlkZGVu") || strings.Contains(text, "hidden") {
		t.Errorf("a password is printed:\n%s", text)
	}
}
